from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from auditor.model.policy import Direction, Peer, Rule
from auditor.model.snapshot import Endpoint, EndpointKind, Family, IPAddress, Snapshot
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.representatives import Choice, Mode, ProbeRequest, choose_probe_pods
from auditor.policy.selectors import matches
from tests.strategies import Shape, boundary_ports, random_snapshot, snapshots

SHAPE = Shape(pods=8, policies=5, nodes=3, hosts=1)
SHAPES = (SHAPE, Shape(pods=12, policies=3, nodes=2, namespaces=3), Shape(pods=6, policies=8, nodes=1, host_network=0.3))
SHADOW_NODE = "elsewhere"


def choose(snapshot: Snapshot, mode: Mode = Mode.ONE_PER_CLASS, **request: object) -> Choice:
    return choose_probe_pods(snapshot, evaluate(snapshot), ProbeRequest(mode=mode, **request))


def by_name(choice: Choice) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {probe.name: (probe.node, probe.stands_for) for probe in choice.probe_pods}


def shadow_address(number: int, family: Family) -> IPAddress:
    return ip_address(f"10.200.7.{number + 1}" if family is Family.IPV4 else f"fd00:200::{number + 1:x}")


def without_blocks_that_tell_pods_apart(snapshot: Snapshot) -> Snapshot:
    """An ipBlock stays only where it holds every pod of its family and every shadow, or none of them."""
    addresses = [address for end in snapshot.endpoints if end.selectable for address in end.addresses]
    addresses += [shadow_address(number, family) for number in range(64) for family in Family]

    def stays(peer: Peer) -> bool:
        if peer.ip_block is None:
            return True
        inside = {
            address in peer.ip_block.cidr and not any(address in excepted for excepted in peer.ip_block.excepts)
            for address in addresses
            if address.version == peer.ip_block.cidr.version
        }
        return len(inside) < 2

    def kept(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(replace(item, peers=tuple(filter(stays, item.peers))) for item in rules)

    policies = tuple(replace(item, ingress=kept(item.ingress), egress=kept(item.egress)) for item in snapshot.policies)
    return replace(snapshot, policies=policies)


def shadow_of(snapshot: Snapshot, choice: Choice) -> tuple[Snapshot, dict[str, str]]:
    """The cluster with probe pods in place of its pods, at arbitrary addresses and nodes; and for each end a member that it is for."""
    members = {probe.name: probe.stands_for[0] for probe in choice.probe_pods}
    shadows = []
    for number, probe in enumerate(choice.probe_pods):
        families = snapshot.endpoint(members[probe.name]).families
        addresses = tuple(shadow_address(number, family) for family in families)
        shadows.append(Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, addresses, probe.ports, SHADOW_NODE))
    others = [end for end in snapshot.endpoints if not end.selectable]
    return replace(snapshot, endpoints=(*shadows, *others)), members | {end.name: end.name for end in others}


def differences(snapshot: Snapshot, mode: Mode) -> Iterator[str]:
    """Where the shadow cluster's verdicts differ from those for the classes in the original."""
    matrix = evaluate(snapshot)
    shadow, members = shadow_of(snapshot, choose_probe_pods(snapshot, matrix, ProbeRequest(mode=mode)))
    shadow_matrix = evaluate(shadow)
    for source, destination in product(shadow.endpoints, repeat=2):
        if source.name == destination.name or not (source.selectable or destination.selectable):
            continue
        numbers = (matrix.class_of(members[source.name]), matrix.class_of(members[destination.name]))
        for family, (protocol, port) in product(set(source.families) & set(destination.families), boundary_ports(matrix.atoms)):
            allowed = matrix.class_verdicts(*numbers, family).allowed >> matrix.port_atoms.index(protocol, port) & 1
            if (shadow_matrix.verdict(source.name, destination.name, protocol, port, family) is Verdict.ALLOWED) != bool(allowed):
                yield f"{source.name} -> {destination.name} {protocol}/{port} {family}"


@pytest.mark.parametrize("mode", Mode)
def test_a_cluster_of_probe_pods_has_the_same_verdicts(mode: Mode) -> None:
    for seed in range(60):
        snapshot = without_blocks_that_tell_pods_apart(random_snapshot(Random(seed), SHAPES[seed % len(SHAPES)]))
        if any(end.selectable for end in snapshot.endpoints):
            assert list(differences(snapshot, mode)) == [], f"seed {seed}"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(snapshots(replace(SHAPE, host_network=0.0)))
def test_the_same_and_failures_shrink(snapshot: Snapshot) -> None:
    assert list(differences(without_blocks_that_tell_pods_apart(snapshot), Mode.ONE_PER_CLASS)) == []


def requests(random: Random, snapshot: Snapshot) -> Iterator[ProbeRequest]:
    """Requests that audit something, of every mode."""
    nodes = sorted({end.node for end in snapshot.endpoints if end.node})
    for mode in Mode:
        namespaces = tuple(sorted(random.sample(sorted(snapshot.namespaces), random.randrange(len(snapshot.namespaces)))))
        usable = random.choice((None, random.sample(nodes, random.randrange(1, len(nodes) + 1))))
        request = ProbeRequest(namespaces, None, mode, usable)
        if any(map(request.audits, snapshot.endpoints)):
            yield request


def isolated_directions(snapshot: Snapshot, endpoint: Endpoint) -> set[Direction]:
    selecting = [item for item in snapshot.policies if item.namespace == endpoint.namespace and matches(item.pod_selector, endpoint.labels)]
    return {direction for item in selecting for direction in item.directions}


def check_promises(snapshot: Snapshot, request: ProbeRequest) -> None:
    matrix = evaluate(snapshot)
    probes = choose_probe_pods(snapshot, matrix, request).probe_pods
    stood_for = [name for probe in probes for name in probe.stands_for]
    assert sorted(stood_for) == sorted(end.name for end in snapshot.endpoints if end.selectable)
    assert len({probe.name for probe in probes}) == len(probes)
    assert request.usable_nodes is None or {probe.node for probe in probes} <= {*request.usable_nodes, ""}
    standing: dict[int, list[str]] = {}
    for probe in probes:
        (number,) = {matrix.class_of(name) for name in probe.stands_for}
        standing.setdefault(number, []).append(probe.namespace)
        models = [snapshot.endpoint(name) for name in matrix.classes[number].members]
        assert any(
            model.namespace == probe.namespace
            and model.ports == probe.ports
            and probe.labels.items() <= dict(model.labels).items()
            and (model.node == probe.node or not request.can_use(model.node))
            for model in models
        )
    for identity in matrix.classes:
        audited = [end for end in map(matrix.endpoint, identity.members) if request.audits(end)]
        if audited:
            assert {end.namespace for end in audited} & set(standing[identity.number])
        if request.mode is Mode.ONE_PER_CLASS and matrix.representative(identity.number).selectable:
            assert len(standing[identity.number]) == 1
    if request.mode is not Mode.ONE_PER_CLASS:
        check_nodes(snapshot, matrix, request, {(probe.node, matrix.class_of(probe.stands_for[0])) for probe in probes})


def check_nodes(snapshot: Snapshot, matrix: ExpectedMatrix, request: ProbeRequest, places: set[tuple[str, int]]) -> None:
    """Every node and direction in which one of its audited pods is isolated has a probe pod of a class isolated so."""
    tested = {
        (name, direction) for name, number in places for direction in isolated_directions(snapshot, matrix.representative(number)) if name
    }
    for endpoint in filter(request.audits, snapshot.endpoints):
        if endpoint.node and request.can_use(endpoint.node):
            assert {(endpoint.node, direction) for direction in isolated_directions(snapshot, endpoint)} <= tested


def test_every_choice_keeps_its_promises() -> None:
    checked = 0
    for seed in range(150):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPES[seed % len(SHAPES)])
        for request in requests(random, snapshot):
            check_promises(snapshot, request)
            checked += 1
    assert checked > 300


def test_the_choice_does_not_depend_on_the_order_of_the_input() -> None:
    for seed in range(30):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPES[0])
        shuffled = replace(snapshot, endpoints=tuple(random.sample(snapshot.endpoints, len(snapshot.endpoints))))
        for mode in Mode:
            if any(end.selectable for end in snapshot.endpoints):
                assert choose(snapshot, mode) == choose(shuffled, mode), f"seed {seed}"
