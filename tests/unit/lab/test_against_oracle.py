"""The lab's reading of policies under every dialect, held against the tests' own evaluator on random clusters."""

from dataclasses import replace
from random import Random

import pytest

from auditor.cluster.lab.dialects import BEHAVIOURS
from auditor.cluster.lab.policing import Policing
from auditor.cluster.lab.tiers import Tiers, policed
from auditor.cluster.lab.topology import build_topology
from auditor.model.admin_policy import Action
from auditor.model.dialect import OF_TIERS, Dialect, Enforcement, Enforcer
from auditor.model.policy import Direction
from auditor.model.snapshot import EndpointKind, Family
from auditor.model.verdict import Verdict
from tests.marking import slow, some
from tests.oracle import evaluator as oracle
from tests.strategies import LAB_SHAPE, boundaries_in_policies, random_policies, random_snapshot

FEW, MANY = 2, 4
PORTS = 7
HOOKS = {Dialect.STATELESS, Dialect.SLOW, Dialect.FLAKY, Dialect.REJECTS}
"""What these do is a matter of rules around the policies; packets show it."""


def lets_through(policing, snapshot, pod, other, direction, cell):
    protocol, _, family = cell
    behaviour = policing.behaviour
    if not pod.selectable or not behaviour.filters:
        return True
    if pod == other and not behaviour.own_address:
        return True
    if pod != other and oracle.is_own_node(pod, other) and not behaviour.own_node:
        return True
    if (family is Family.IPV6 and not behaviour.ipv6) or (protocol == "UDP" and not behaviour.udp):
        return True
    found = policed(policing, snapshot, pod, direction)
    if not isinstance(found, Tiers):
        return found is None or any(is_among(allowed, other, cell) for allowed in found)
    action = first_action(found.admin, other, cell)
    if action in (Action.ACCEPT, Action.DENY):
        return action is Action.ACCEPT
    if found.network is not None:
        allowed = any(is_among(each, other, cell) for each in found.network)
        if not (allowed and found.baseline_always):
            return allowed
    return first_action(found.baseline, other, cell) is not Action.DENY


def first_action(steps, other, cell):
    return next((step.action for step in steps if is_among(step.allowance, other, cell)), None)


def is_among(allowance, other, cell):
    protocol, port, family = cell
    return (allowance.addresses is None or other.address(family) in allowance.addresses) and (
        allowance.ports is None
        or any(each is protocol and first <= port <= last for each, first, last in allowance.ports)
    )


@pytest.mark.parametrize(("first", "count"), [(0, FEW), slow(FEW, MANY)])
@pytest.mark.parametrize("dialect", some(sorted(set(Dialect) - HOOKS), 3))
def test_agrees_with_the_oracle(dialect, first, count):
    seen = set()
    for seed in range(first, first + count):
        random = Random(f"{dialect} {seed}")
        snapshot = random_snapshot(
            random, replace(LAB_SHAPE, admin_policies=6 if dialect in OF_TIERS else seed % 2 * 3)
        )
        previous = random_policies(random, LAB_SHAPE, list(snapshot.endpoints))
        topology = build_topology(snapshot, sorted({endpoint.node for endpoint in snapshot.endpoints if endpoint.node}))
        stale = BEHAVIOURS[dialect].previous_policies
        policing = Policing(snapshot, previous if stale else snapshot.policies, BEHAVIOURS[dialect], topology.cluster)
        ports = random.sample(sorted(boundaries_in_policies(snapshot)), PORTS)
        for source in snapshot.endpoints:
            for destination in snapshot.endpoints:
                if EndpointKind.POD not in (source.kind, destination.kind):
                    continue
                for cell in ((protocol, port, family) for protocol, port in ports for family in Family):
                    expected = oracle.verdict(
                        snapshot,
                        source,
                        destination,
                        *cell,
                        enforcement=Enforcement(Enforcer(dialect)),
                        previous_policies=previous,
                        ip_block_matches_cluster=dialect is not Dialect.IP_BLOCK_SKIPS_PODS,
                    )
                    sent = lets_through(policing, snapshot, source, destination, Direction.EGRESS, cell)
                    received = lets_through(policing, snapshot, destination, source, Direction.INGRESS, cell)
                    assert (expected is Verdict.ALLOWED) == (sent and received), (source.name, destination.name, *cell)
                    seen.add(expected)
    assert len(seen) == 2 or dialect is Dialect.ENFORCES_NOTHING
