"""Implication between selectors, peers and blocks, against every set of labels that could tell them apart."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import product
from random import Random

import pytest

from auditor.lint.implication import block_implies, peer_implies, selector_implies
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import IPBlock, Peer

KEYS, VALUES = ("a", "b"), ("1", "2")
EVERY_LABELS = [
    {key: value for key, value in zip(KEYS, values, strict=True) if value is not None}
    for values in product((None, *VALUES, "other"), repeat=2)
]


def requirement(random: Random) -> Requirement:
    operator = random.choice(list(Operator))
    values = (
        tuple(sorted(random.sample(VALUES, random.randint(1, 2)))) if operator in (Operator.IN, Operator.NOT_IN) else ()
    )
    return Requirement(random.choice(KEYS), operator, values)


def selector(random: Random) -> LabelSelector:
    pairs = {random.choice(KEYS): random.choice(VALUES) for _ in range(random.randint(0, 1))}
    return LabelSelector(tuple(sorted(pairs.items())), tuple(requirement(random) for _ in range(random.randint(0, 3))))


def test_selectors_imply_each_other_exactly_when_no_labels_tell_otherwise():
    random = Random(1)
    seen = set()
    for _ in range(3000):
        narrow, wide = selector(random), selector(random)
        admitted = [labels for labels in EVERY_LABELS if narrow.matches(labels)]
        truth = all(wide.matches(labels) for labels in admitted)
        answer = selector_implies(narrow, wide)
        assert answer == truth or (truth and not admitted), (
            f"{narrow} => {wide}"
        )  # what can't match implies anything; no need to know
        seen.add(answer)
    assert seen == {True, False}


OWN = LabelSelector(((NAMESPACE_NAME_LABEL, "prod"),))
WEB = LabelSelector((("app", "web"),))
ANY = LabelSelector()


@pytest.mark.parametrize(
    ("narrow", "wide", "implied"),
    [
        (Peer(WEB), Peer(ANY), True),
        (Peer(WEB), Peer(None, OWN), True),
        (Peer(None, OWN), Peer(ANY), True),
        (Peer(WEB), Peer(WEB, ANY), True),
        (Peer(WEB, ANY), Peer(WEB), False),
        (Peer(None, WEB), Peer(ANY), False),
        (Peer(None, ANY), Peer(ANY), False),
        (Peer(ip_block=IPBlock(ip_network("10.0.0.0/8"))), Peer(None, ANY), False),
        (Peer(WEB), Peer(ip_block=IPBlock(ip_network("0.0.0.0/0"))), False),
    ],
)
def test_peers_mean_their_own_namespace_without_a_namespace_selector(narrow, wide, implied):
    assert peer_implies(narrow, wide, "prod") is implied


@pytest.mark.parametrize(
    ("narrow", "wide", "implied"),
    [
        (("10.1.0.0/16",), ("10.0.0.0/8",), True),
        (("10.0.0.0/8",), ("10.1.0.0/16",), False),
        (("10.1.0.0/16",), ("10.0.0.0/8", "10.2.0.0/16"), True),
        (("10.1.0.0/16",), ("10.0.0.0/8", "10.1.5.0/24"), False),
        (("10.1.0.0/16", "10.1.4.0/22"), ("10.0.0.0/8", "10.1.5.0/24"), True),
        (("10.1.0.0/16",), ("::/0",), False),
    ],
)
def test_blocks_with_exceptions(narrow, wide, implied):
    blocks = [IPBlock(ip_network(cidr), tuple(map(ip_network, excepts))) for cidr, *excepts in (narrow, wide)]
    assert block_implies(*blocks) is implied
