"""Scenarios that are there for what enforcers in the field have got wrong: each of these shows in them."""

from __future__ import annotations

import pytest

from tests.lab import scenarios
from tests.lab.naming import FOUND, World
from tests.lab.unknown_faults import (
    Enforcer,
    ExceptForbidsForThePod,
    FirstRuleOnly,
    LastRuleOnly,
    LongestPrefixDecides,
    NobodyMeansEverybody,
    OneNumberForAName,
    OnePodForAName,
    results,
)


class AnyPeerOnAnyPort(Enforcer):
    """All peers of a policy's rules may use all ports of these rules."""

    def rule(self, policy, rule, direction, other, packet):
        rules = policy.rules(direction)
        of_peers = any(
            super(AnyPeerOnAnyPort, self).rule(policy, replaced, direction, other, packet)
            for replaced in (type(rule)(each.peers, port.ports) for each in rules for port in rules)
        )
        return of_peers or super().rule(policy, rule, direction, other, packet)


SHOWN = [
    ("rule-06-rules-stand-apart", AnyPeerOnAnyPort),
    ("rule-06-rules-stand-apart", NobodyMeansEverybody),
    ("rule-06-rules-stand-apart", FirstRuleOnly),
    ("rule-06-rules-stand-apart", LastRuleOnly),
    ("rule-07-one-name-three-numbers", OneNumberForAName),
    ("rule-07-one-name-three-numbers", OnePodForAName),
    ("rule-09-except", ExceptForbidsForThePod),
    ("rule-09-overlapping-blocks", LongestPrefixDecides),
]


@pytest.mark.parametrize(("name", "enforcer"), SHOWN)
def test_the_fault_shows(name, enforcer):
    world = World.of(scenarios.read(name))
    assert any(result.result in FOUND for result in results(world, enforcer(world.snapshot)))
    assert not any(result.result in FOUND for result in results(world, Enforcer(world.snapshot)))
