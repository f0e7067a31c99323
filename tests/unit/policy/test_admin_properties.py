"""The tiers Admin and Baseline on random clusters: evaluator, oracle and explain agree, and what is open is noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from auditor.model.labels import NAMESPACE_NAME_LABEL
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Note
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import decide
from tests.marking import slow
from tests.oracle.evaluator import is_undefined
from tests.strategies import IPV4_ONLY, Shape, random_labels, random_snapshot
from tests.unit.policy.test_properties import FACTOR, cells, differences

SHAPES = (
    Shape(pods=3, policies=2, admin_policies=5),
    Shape(pods=2, policies=1, admin_policies=6, namespaces=1),
    Shape(pods=3, policies=0, admin_policies=4, hosts=2),
    Shape(pods=3, policies=3, admin_policies=2, host_network=0.4),
    Shape(pods=3, policies=2, admin_policies=3, addressless=0.5, node_endpoints=False),
)
PER_PART = 20
parts = pytest.mark.parametrize("part", [0, slow(1)])
many_parts = pytest.mark.parametrize("part", [0, *map(slow, range(1, 8))])


def clusters(part: int, count: int = PER_PART) -> Iterator[tuple[int, Snapshot]]:
    for seed in range(part * count * FACTOR, (part + 1) * count * FACTOR):
        yield seed, random_snapshot(Random(seed), SHAPES[seed % len(SHAPES)])


@many_parts
def test_verdicts_equal_the_oracles(part: int) -> None:
    for seed, snapshot in clusters(part):
        assert not differences(snapshot), f"seed {seed}"


@parts
def test_verdicts_are_undefined_where_another_order_of_equal_priorities_gives_another(part: int) -> None:
    for seed, snapshot in clusters(part, 10):
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            ends = (matrix.endpoint(cell.source), matrix.endpoint(cell.destination))
            if any(end.host_network for end in ends):
                continue
            undefined = is_undefined(snapshot, *ends, cell.protocol, cell.port, cell.family)
            assert (Note.UNDEFINED in matrix.notes(*cell)) is undefined, f"seed {seed}, {cell}"


@parts
def test_explain_agrees_and_says_which_rule_decides(part: int) -> None:
    for seed, snapshot in clusters(part, 3):
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            decision = decide(snapshot, cell)
            assert decision.verdict is matrix.verdict(*cell), f"seed {seed}, {cell}"
            assert decision.because(), f"seed {seed}, {cell}"


@parts
def test_what_hangs_on_an_unknown_address_is_noted(part: int) -> None:
    shape = Shape(pods=3, policies=1, admin_policies=3, addressless=0.6, families=(IPV4_ONLY,), host_network=0.0)
    for seed in range(part * 8, (part + 1) * 8):
        snapshot = random_snapshot(Random(seed), shape)
        matrix = evaluate(snapshot)
        for _, known in zip(range(3), addressed(snapshot, Random(seed)), strict=False):
            asked = evaluate(known)
            for cell in cells(snapshot, matrix):
                if matrix.verdict(*cell) is not asked.verdict(*cell):
                    assert set(matrix.notes(*cell)) & {Note.ADDRESS_UNKNOWN, Note.UNDEFINED}, f"seed {seed}, {cell}"


def addressed(snapshot: Snapshot, random: Random) -> Iterator[Snapshot]:
    """``snapshot`` with an address for each pod that has none."""

    def known(endpoint: Endpoint, number: int) -> Endpoint:
        address = ip_address(f"{random.choice(('10.244.0', '10.244.1', '9.9.9', '203.0.113'))}.{100 + number}")
        return endpoint if endpoint.addresses else replace(endpoint, addresses=(address,))

    while True:
        endpoints = tuple(known(endpoint, number) for number, endpoint in enumerate(snapshot.endpoints))
        yield replace(snapshot, endpoints=endpoints)


@parts
def test_what_hangs_on_unknown_labels_is_noted(part: int) -> None:
    shape = Shape(namespaces=3, pods=3, policies=1, admin_policies=3, families=(IPV4_ONLY,), host_network=0.0)
    for seed in range(part * 8, (part + 1) * 8):
        random = Random(seed)
        whole = random_snapshot(random, shape)
        namespaces = {
            name: replace(each, labels={NAMESPACE_NAME_LABEL: name}, known=random.random() < 0.3)
            for name, each in whole.namespaces.items()
        }
        snapshot = replace(whole, namespaces=namespaces)
        matrix = evaluate(snapshot)
        for _ in range(3):
            guess = {
                name: each if each.known else replace(each, labels={**random_labels(random), **each.labels}, known=True)
                for name, each in namespaces.items()
            }
            asked = evaluate(replace(snapshot, namespaces=guess))
            for cell in cells(snapshot, matrix):
                if matrix.verdict(*cell) is not asked.verdict(*cell):
                    assert set(matrix.notes(*cell)) & {Note.LABELS_UNKNOWN, Note.UNDEFINED}, f"seed {seed}, {cell}"
