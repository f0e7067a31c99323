"""What is told of addresses that pods see instead of other pods' own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Verdict
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.routes import route_cells
from auditor.probing.sites import ProbeSite
from auditor.probing.translations import Translations

M, N = ip_address("172.18.0.2"), ip_address("172.18.0.3")
SITES = [
    ProbeSite(f"a/{node}{number}", (ip_address(f"10.0.{where}.{number}"),), (f"a/{node}{number}",), node=node)
    for where, node in enumerate("mn")
    for number in (1, 2)
]
SITES = [replace(site, neighbour_addresses=(M if site.node == "m" else N,)) for site in SITES]
NODE = ProbeSite("node/n", (N,), ("node/n",), node="n", is_node=True)
ANSWERED, SILENT = AttemptResult(Answer.ALLOWED, "token", 1.0), AttemptResult(Answer.DROPPED, "timeout")
TRANSLATED = replace(ANSWERED, seen=str(M))


def cell(source, destination):
    return Cell(source, destination, Protocol.TCP, 80, Family.IPV4)


def translations(tries):
    cells = {cell(*ends): ones for ends, ones in tries.items()}
    return Translations(route_cells(cells, [*SITES, NODE]).routes, cells)


def test_whose_address_it_is_and_where_it_is_seen_is_told():
    told = list(translations({("a/m1", "a/n1"): [SILENT, TRANSLATED], ("a/m2", "a/n1"): [TRANSLATED]}).facts())
    first = (
        "2 connections from pods on node m to pods on node n came from 172.18.0.2, an address of node m, and not from "
    )
    rest = "the source's own: no selector of a policy stands for that "
    assert told == [f"{first}{rest}({cell('a/m1', 'a/n1')}, {cell('a/m2', 'a/n1')})"]
    (told,) = translations({("a/m1", "a/m2"): [TRANSLATED]}).facts()
    assert told.startswith("1 connection between pods on node m came from 172.18.0.2, an address of node m")


@pytest.mark.parametrize(
    "tries",
    [
        {("a/m1", "a/n1"): [ANSWERED]},
        {("a/m1", "a/n1"): [SILENT]},
        {("a/m1", "node/n"): [TRANSLATED]},
        {("node/n", "a/m1"): [TRANSLATED]},
    ],
)
def test_nothing_is_told_of_what_is_not_between_pods_or_not_translated(tries):
    assert list(translations(tries).facts()) == []


@pytest.mark.parametrize(
    ("ends", "expected", "seen", "told"),
    [
        (("a/m1", "a/n1"), Verdict.DENIED, Observed.ALLOWED, ": it came from 172.18.0.2, an address of node m"),
        (("a/m1", "a/n1"), Verdict.ALLOWED, Observed.ALLOWED, ""),
        (("a/m1", "a/n1"), None, Observed.ALLOWED, ""),
        (
            ("a/m2", "a/n1"),
            Verdict.ALLOWED,
            Observed.DROPPED,
            ": what others send there comes from 172.18.0.2, an address of node m",
        ),
        (("a/m2", "a/n1"), Verdict.DENIED, Observed.DROPPED, ""),
        (("a/n1", "a/m2"), Verdict.ALLOWED, Observed.DROPPED, ""),
        (("a/m2", "a/n1"), Verdict.ALLOWED, Observed.INCONCLUSIVE, ""),
    ],
)
def test_what_differs_says_so(ends, expected, seen, told):
    tries = {("a/m1", "a/n1"): [TRANSLATED], ("a/m2", "a/n1"): [SILENT], ("a/n1", "a/m2"): [SILENT]}
    observation = Observation(seen, "timeout")
    explained = translations(tries).explained(cell(*ends), expected, observation)
    assert explained == replace(observation, outcome="timeout" + told)
