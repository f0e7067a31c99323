"""The evaluator against the independent oracle, and against itself, on random clusters.

Bulk runs take their clusters from seeds, which the failure message names; the hypothesis runs exist because their
failures shrink. Set ``AUDIT_PROPERTY_FACTOR`` to a whole number to try that many times as many clusters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise, product
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.policy import evaluator, tier_network_policy
from auditor.policy.evaluator import evaluate
from auditor.policy.explain import decide
from auditor.policy.matrix import ExpectedMatrix, governed
from tests.marking import slow
from tests.oracle.evaluator import is_own_node, verdict
from tests.strategies import (
    IPV4_ONLY,
    PORT_NAMES,
    Shape,
    boundaries_in_policies,
    boundary_ports,
    random_policies,
    random_snapshot,
    snapshots,
)

FACTOR = int(os.environ.get("AUDIT_PROPERTY_FACTOR", "1"))
SHAPES = (
    Shape(pods=3, policies=3),
    Shape(pods=2, policies=5, namespaces=1),
    Shape(pods=3, policies=2, hosts=2, node_endpoints=False),
    Shape(pods=3, policies=4, nodes=1, hosts=0, host_network=0.4),
    Shape(pods=4, policies=3, hosts=1, node_endpoints=False, addressless=0.5),
    Shape(pods=3, policies=8, hosts=0, node_endpoints=False),
)
LARGE = Shape(namespaces=2, pods=14, policies=14, nodes=3, hosts=3)
BLOCKS_OF_SEEDS = 16
EVERY_NAME = [PortRequest(protocol, name=name) for protocol in Protocol for name in PORT_NAMES]
WHOLE = {Family.IPV4: ip_network("0.0.0.0/0"), Family.IPV6: ip_network("::/0")}
relaxed = settings(max_examples=100 * FACTOR)
quarters = pytest.mark.parametrize("part", [0, *map(slow, range(1, 4))])
"""For a test that takes a part of its clusters at a time: the first in ``make test``, others in ``make test-slow``."""


def clusters(count: int, start: int = 0) -> Iterator[tuple[int, Snapshot]]:
    """``count`` random clusters of every shape, each with its seed."""
    for seed in range(start, start + count * FACTOR):
        yield seed, random_snapshot(Random(seed), SHAPES[seed % len(SHAPES)])


def families(source: Endpoint, destination: Endpoint) -> set[Family]:
    """The families over which the two can talk; unknown addresses are taken for whatever the other end has, or IPv4."""
    if source.addresses and destination.addresses:
        return set(source.families) & set(destination.families)
    return set(source.families or destination.families or (Family.IPV4,))


def pairs(snapshot: Snapshot) -> Iterator[tuple[Endpoint, Endpoint, Family]]:
    """Every ordered pair of which one end is a pod, with each of its families."""
    for source, destination in product(snapshot.endpoints, repeat=2):
        if EndpointKind.POD in (source.kind, destination.kind):
            for family in sorted(families(source, destination)):
                yield source, destination, family


def cells(snapshot: Snapshot, matrix: ExpectedMatrix) -> Iterator[Cell]:
    """Every cell on the boundary ports of every atom."""
    ports = boundary_ports(matrix.atoms)
    for source, destination, family in pairs(snapshot):
        for protocol, port in ports:
            yield Cell(source.name, destination.name, protocol, port, family)


def judge(snapshot: Snapshot, cell: Cell, *, ip_block_matches_cluster: bool = True) -> Verdict | None:
    """The oracle's verdict."""
    ends = (snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination))
    return verdict(
        snapshot, *ends, cell.protocol, cell.port, cell.family, ip_block_matches_cluster=ip_block_matches_cluster
    )


def differences(snapshot: Snapshot) -> list[tuple[Cell, Verdict | None, Verdict]]:
    """Where oracle and evaluator differ: cell, oracle's verdict, evaluator's verdict."""
    matrix = evaluate(snapshot)
    judged = ((cell, judge(snapshot, cell), matrix.verdict(*cell)) for cell in cells(snapshot, matrix))
    return [found for found in judged if found[1] is not found[2]]


def opened(snapshot: Snapshot) -> set[Cell]:
    """The allowed cells on ports that depend on no evaluator."""
    matrix = evaluate(snapshot)
    ports = sorted(boundaries_in_policies(snapshot))
    asked = (
        Cell(a.name, b.name, protocol, port, family) for a, b, family in pairs(snapshot) for protocol, port in ports
    )
    return {cell for cell in asked if matrix.verdict(*cell) is Verdict.ALLOWED}


def is_opened(cell: Cell, matrix: ExpectedMatrix) -> bool:
    return matrix.verdict(*cell) is Verdict.ALLOWED


@pytest.mark.parametrize(
    "part", [*range(BLOCKS_OF_SEEDS // 16), *map(slow, range(BLOCKS_OF_SEEDS // 16, BLOCKS_OF_SEEDS))]
)
def test_verdicts_equal_the_oracles_on_random_clusters(part: int) -> None:
    count = 150
    for seed, snapshot in clusters(count, start=part * count * FACTOR):
        assert differences(snapshot) == [], f"seed {seed}"


@quarters
def test_verdicts_equal_the_oracles_on_larger_clusters(part: int) -> None:
    """Larger clusters have more to tell classes apart by; a sample of their cells must do."""
    for seed in range(part * 15 * FACTOR, (part + 1) * 15 * FACTOR):
        snapshot = random_snapshot(Random(seed), LARGE)
        matrix = evaluate(snapshot)
        random = Random(seed)
        asked, ports = list(pairs(snapshot)), boundary_ports(matrix.atoms)
        for _ in range(600):
            source, destination, family = random.choice(asked)
            cell = Cell(source.name, destination.name, *random.choice(ports), family)
            assert matrix.verdict(*cell) is judge(snapshot, cell), f"seed {seed}: {cell}"


@relaxed
@given(snapshots())
def test_verdicts_equal_the_oracles_and_failures_shrink(snapshot: Snapshot) -> None:
    assert differences(snapshot) == []


def test_the_random_clusters_are_worth_the_trouble() -> None:
    """Both verdicts, notes and classes of several members must be frequent, or the other tests prove little."""
    seen: dict[object, int] = {}
    for _seed, snapshot in clusters(60):
        matrix = evaluate(snapshot)
        seen["shared"] = seen.get("shared", 0) + sum(len(identity.members) > 1 for identity in matrix.classes)
        for cell in cells(snapshot, matrix):
            for what in (matrix.verdict(*cell), *matrix.notes(*cell)):
                seen[what] = seen.get(what, 0) + 1
    for verdict_seen in Verdict:
        assert seen[verdict_seen] > 5000 * FACTOR
    assert seen[Note.CNI_DEPENDENT] > 50 * FACTOR
    assert seen[Note.UNDEFINED] > 1000 * FACTOR
    assert seen["shared"] > 10 * FACTOR


def test_pairs_without_a_pod_are_not_governed() -> None:
    for seed, snapshot in clusters(60):
        for source, destination in product(snapshot.endpoints, repeat=2):
            judged = verdict(snapshot, source, destination, Protocol.TCP, 80, Family.IPV4)
            assert governed(source, destination) is (judged is not None), f"seed {seed}"


@quarters
def test_atoms_cut_each_protocol_into_all_its_ports(part: int) -> None:
    for seed, snapshot in clusters(50, start=part * 50 * FACTOR):
        for protocol in Protocol:
            atoms = [atom for atom in evaluate(snapshot).atoms if atom.protocol is protocol]
            assert (atoms[0].first, atoms[-1].last) == (FIRST_PORT, LAST_PORT), f"seed {seed}"
            assert all(left.last + 1 == right.first for left, right in pairwise(atoms)), f"seed {seed}"


@quarters
def test_atoms_hide_no_edge_and_have_no_edge_that_no_rule_draws(part: int) -> None:
    """Inside an atom the oracle never changes its mind; between two atoms some rule has an edge, named
    ports resolved.
    """
    for seed, snapshot in clusters(13, start=10_000 + part * 13 * FACTOR):
        atoms = evaluate(snapshot).atoms
        edges = boundaries_in_policies(snapshot)
        assert {(atom.protocol, atom.first) for atom in atoms} <= drawn_edges(snapshot), f"seed {seed}"
        for (source, destination, family), atom in product(pairs(snapshot), atoms):
            ports = {port for protocol, port in edges if protocol is atom.protocol and port in atom} | {
                (atom.first + atom.last) // 2
            }
            judged = {verdict(snapshot, source, destination, atom.protocol, port, family) for port in ports}
            assert len(judged) == 1, f"seed {seed}: {source.name} -> {destination.name} {atom} {family}"


def drawn_edges(snapshot: Snapshot) -> set[tuple[Protocol, int]]:
    """The ports at which the rules in force let something begin or have just let something end."""
    found = {(protocol, FIRST_PORT) for protocol in Protocol}
    rules = [rule for policy in snapshot.policies for direction in Direction for rule in policy.rules(direction)]
    for port in (port for rule in rules for port in rule.ports):
        if port.number is not None:
            found |= {(port.protocol, port.number), (port.protocol, (port.end_port or port.number) + 1)}
        for endpoint in snapshot.endpoints if port.name is not None else ():
            for number in endpoint.resolve(port.protocol, port.name):
                found |= {(port.protocol, number), (port.protocol, number + 1)}
    return found


def test_without_rules_each_protocol_is_one_atom() -> None:
    for seed, snapshot in clusters(20):
        assert len(evaluate(replace(snapshot, policies=())).atoms) == len(Protocol), f"seed {seed}"


@quarters
def test_members_of_a_class_are_indistinguishable(part: int) -> None:
    """Whichever members stand for two classes, the oracle's verdict is the same, but for self and own node."""
    shared = 0
    for seed, snapshot in clusters(75, start=20_000 + part * 75 * FACTOR):
        matrix = evaluate(snapshot)
        class_of = {name: identity.number for identity in matrix.classes for name in identity.members}
        assert sorted(class_of) == sorted(endpoint.name for endpoint in snapshot.endpoints), f"seed {seed}"
        for identity in matrix.classes:
            kinds = {(end.kind, end.host_network, end.families) for end in map(snapshot.endpoint, identity.members)}
            assert len(kinds) == 1, f"seed {seed}: one member must do for probing the others"
        if len(matrix.classes) == len(class_of):
            continue
        ports = boundary_ports(matrix.atoms)
        seen: dict[tuple[int, int, Family], tuple[Verdict | None, ...]] = {}
        for source, destination, family in pairs(snapshot):
            if source.name == destination.name or is_own_node(source, destination) or is_own_node(destination, source):
                continue
            row = tuple(verdict(snapshot, source, destination, protocol, port, family) for protocol, port in ports)
            key = (class_of[source.name], class_of[destination.name], family)
            shared += key in seen
            assert seen.setdefault(key, row) == row, f"seed {seed}: {source.name} -> {destination.name} {family}"
    assert shared > 25 * FACTOR


def test_copies_of_pods_make_no_new_classes() -> None:
    for seed, snapshot in clusters(200):
        plain = replace(snapshot, endpoints=tuple(replace(endpoint, addresses=()) for endpoint in snapshot.endpoints))
        copies = tuple(replace(pod, name=f"{pod.name}-copy") for pod in plain.endpoints if pod.kind is EndpointKind.POD)
        doubled = evaluate(replace(plain, endpoints=plain.endpoints + copies))
        assert len(doubled.classes) == len(evaluate(plain).classes), f"seed {seed}"
        assert all(
            doubled.class_of(copy.name) == doubled.class_of(copy.name.removesuffix("-copy")) for copy in copies
        ), f"seed {seed}"


@quarters
def test_asking_for_named_ports_changes_no_verdict(part: int) -> None:
    for seed, snapshot in clusters(50, start=30_000 + part * 50 * FACTOR):
        matrix, asked = evaluate(snapshot), evaluate(snapshot, named_ports=EVERY_NAME)
        for cell in cells(snapshot, matrix):
            assert matrix.verdict(*cell) is asked.verdict(*cell), f"seed {seed}: {cell}"


def test_members_of_a_class_agree_on_what_a_named_port_means() -> None:
    for seed, snapshot in clusters(300, start=30_000):
        for members in members_of_classes(snapshot):
            if not members[0].host_network:
                assert all(meanings(member) == meanings(members[0]) for member in members), f"seed {seed}"


def test_members_of_a_class_on_the_host_network_agree_on_what_a_named_port_means() -> None:
    for seed, snapshot in clusters(300, start=30_000):
        for members in members_of_classes(snapshot):
            assert all(meanings(member) == meanings(members[0]) for member in members), f"seed {seed}"


def members_of_classes(snapshot: Snapshot) -> list[list[Endpoint]]:
    matrix = evaluate(snapshot, named_ports=EVERY_NAME)
    return [[snapshot.endpoint(name) for name in identity.members] for identity in matrix.classes]


def meanings(endpoint: Endpoint) -> list[tuple[int, ...]]:
    """What each of ``EVERY_NAME`` resolves to."""
    return [endpoint.resolve(request.protocol, request.name) for request in EVERY_NAME]


@quarters
def test_cni_dependent_is_what_hangs_on_ip_blocks_inside_the_cluster(part: int) -> None:
    for seed, snapshot in clusters(38, start=40_000 + part * 38 * FACTOR):
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            if snapshot.endpoint(cell.source).host_network or snapshot.endpoint(cell.destination).host_network:
                continue
            hangs = (
                judge(snapshot, cell) is Verdict.ALLOWED
                and judge(snapshot, cell, ip_block_matches_cluster=False) is Verdict.DENIED
            )
            assert (Note.CNI_DEPENDENT in matrix.notes(*cell)) is hangs, f"seed {seed}: {cell}"


def test_undefined_is_where_a_host_network_pod_takes_part() -> None:
    for seed, snapshot in clusters(60, start=50_000):
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            host_network = (
                snapshot.endpoint(cell.source).host_network or snapshot.endpoint(cell.destination).host_network
            )
            assert (Note.UNDEFINED in matrix.notes(*cell)) is host_network, f"seed {seed}: {cell}"


@quarters
def test_address_unknown_where_some_address_would_open_the_cell(part: int) -> None:
    for seed, snapshot, cell, noted in cells_of_unknown_addresses(15, start=part * 15 * FACTOR):
        if judge(snapshot, cell) is Verdict.DENIED and could_open(snapshot, cell, cell.family):
            assert noted, f"seed {seed}: {cell}"


def test_address_unknown_only_where_some_address_would_open_the_cell() -> None:
    """An address of either family: while it isn't known, neither is its family."""
    seen = 0
    for seed, snapshot, cell, noted in cells_of_unknown_addresses(60):
        if noted:
            seen += 1
            assert judge(snapshot, cell) is Verdict.DENIED, f"seed {seed}: {cell}"
            assert any(could_open(snapshot, cell, family) for family in Family), f"seed {seed}: {cell}"
    assert seen > 30 * FACTOR


def cells_of_unknown_addresses(count: int, start: int = 0) -> Iterator[tuple[int, Snapshot, Cell, bool]]:
    """Cells of clusters in which many pods have no address: seed, cluster, cell, and whether the evaluator says so."""
    shape = Shape(
        pods=3, policies=3, hosts=1, node_endpoints=False, host_network=0, addressless=0.6, families=(IPV4_ONLY,)
    )
    for seed in range(start, start + count * FACTOR):
        snapshot = random_snapshot(Random(seed), shape)
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            yield seed, snapshot, cell, Note.ADDRESS_UNKNOWN in matrix.notes(*cell)


def could_open(snapshot: Snapshot, cell: Cell, family: Family) -> bool:
    """Whether the oracle allows ``cell`` over ``family`` for some choice of the addresses that are unknown."""
    ends = [snapshot.endpoint(cell.source), snapshot.endpoint(cell.destination)]
    addresses = telling_addresses(snapshot, family)
    choices = [
        [end] if end.addresses else [replace(end, addresses=(address,)) for address in addresses] for end in ends
    ]
    found = (verdict(snapshot, *chosen, cell.protocol, cell.port, family) for chosen in product(*choices))
    return any(end.addresses == () for end in ends) and Verdict.ALLOWED in found


def telling_addresses(snapshot: Snapshot, family: Family) -> list[IPAddress]:
    """One address at least in every region that the policies' blocks and excepts carve out."""
    networks: set[IPNetwork] = set()
    for policy in snapshot.policies:
        for rule in (*policy.ingress, *policy.egress):
            blocks = [peer.ip_block for peer in rule.peers if peer.ip_block is not None]
            networks.update(
                network for block in blocks for network in (block.cidr, *block.excepts) if network.version == family
            )
    starts = {network.network_address for network in networks}
    behind = {
        network.broadcast_address + 1
        for network in networks
        if network.broadcast_address != WHOLE[family].broadcast_address
    }
    return sorted(starts | behind | {WHOLE[family].network_address})


@quarters
def test_explanations_reach_the_same_verdict(part: int) -> None:
    for seed, snapshot in clusters(25, start=60_000 + part * 25 * FACTOR):
        matrix = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            assert decide(snapshot, cell).verdict is matrix.verdict(*cell), f"seed {seed}: {cell}"


@quarters
def test_a_decision_among_many_is_the_decision_about_one(part: int) -> None:
    for seed, snapshot in clusters(15, start=part * 15 * FACTOR):
        for cell in cells(snapshot, evaluate(snapshot)):
            among_many, alone = decide(snapshot, cell), decide(replace(snapshot), cell)
            assert among_many == alone, (seed, cell)
            assert among_many.because() == alone.because(), (seed, cell)


@quarters
def test_what_does_not_allow_a_connection_lacks_something(part: int) -> None:
    for seed, snapshot in clusters(15, start=part * 15 * FACTOR):
        for cell in cells(snapshot, evaluate(snapshot)):
            decision = decide(snapshot, cell)
            for side in (decision.egress, decision.ingress):
                rules = sum(len(policy.rules(side.direction)) for policy in side.isolating)
                assert len(side.misses) == (0 if side.allowed else rules)
                assert all(miss.lacks and all(miss.lacks) for miss in side.misses), (seed, cell)


@pytest.mark.parametrize(
    ("module", "limit", "value"),
    [(evaluator, "SMALL", 0), (evaluator, "SMALL", 1 << 30), (tier_network_policy, "MOST_OVERLAP", 0)],
)
def test_however_sets_are_gone_through_the_matrix_is_the_same(
    module: ModuleType, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, snapshot in clusters(20, start=80_000):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            other = evaluate(snapshot)
        matrix = evaluate(snapshot)
        assert matrix.classes == other.classes, seed
        for cell in cells(snapshot, matrix):
            assert matrix.verdict(*cell) is other.verdict(*cell), (seed, cell)
            assert matrix.notes(*cell) == other.notes(*cell), (seed, cell)


@quarters
def test_order_changes_nothing(part: int) -> None:
    """Order of policies, endpoints, rules, peers, ports, excepts and selectors' expressions."""
    for seed, snapshot in clusters(38, start=70_000 + part * 38 * FACTOR):
        random = Random(seed)
        shuffled = replace(
            snapshot,
            endpoints=tuple(random.sample(snapshot.endpoints, len(snapshot.endpoints))),
            policies=tuple(
                shuffled_policy(random, policy) for policy in random.sample(snapshot.policies, len(snapshot.policies))
            ),
        )
        assert opened(shuffled) == opened(snapshot), f"seed {seed}"


def shuffled_policy(random: Random, policy: NetworkPolicy) -> NetworkPolicy:
    for direction in ("ingress", "egress"):
        rules = list(getattr(policy, direction))
        random.shuffle(rules)
        rules = [
            replace(
                rule,
                peers=tuple(random.sample(rule.peers, len(rule.peers))),
                ports=tuple(random.sample(rule.ports, len(rule.ports))),
            )
            for rule in rules
        ]
        policy = replace(policy, **{direction: tuple(rules)})
    return policy


Rewrite = Callable[[NetworkPolicy], tuple[NetworkPolicy, ...]]


def renamed(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    return (replace(policy, name=f"z-{policy.name}"),)


def doubled(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    return (policy, replace(policy, name=f"{policy.name}-again"))


def one_direction_each(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    return tuple(
        replace(policy, name=f"{policy.name}-{direction}", directions=frozenset([direction]))
        for direction in policy.directions
    )


def one_rule_each(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    bare = replace(policy, ingress=(), egress=())
    ingress = [
        replace(bare, name=f"{policy.name}-in-{number}", ingress=(rule,)) for number, rule in enumerate(policy.ingress)
    ]
    egress = [
        replace(bare, name=f"{policy.name}-out-{number}", egress=(rule,)) for number, rule in enumerate(policy.egress)
    ]
    return (bare, *ingress, *egress)


def one_peer_and_port_each(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    def split(rules):
        return tuple(
            replace(rule, peers=peers, ports=ports)
            for rule in rules
            for peers in ([(peer,) for peer in rule.peers] or [()])
            for ports in ([(port,) for port in rule.ports] or [()])
        )

    return (replace(policy, ingress=split(policy.ingress), egress=split(policy.egress)),)


def ranges_halved(policy: NetworkPolicy) -> tuple[NetworkPolicy, ...]:
    def halves(port):
        if port.end_port is None or port.number == port.end_port:
            return (port,)
        middle = (port.number + port.end_port) // 2
        return replace(port, end_port=middle), replace(port, number=middle + 1)

    def split(rules):
        return tuple(replace(rule, ports=tuple(half for port in rule.ports for half in halves(port))) for rule in rules)

    return (replace(policy, ingress=split(policy.ingress), egress=split(policy.egress)),)


@pytest.mark.parametrize(
    "rewrite", [renamed, doubled, one_direction_each, one_rule_each, one_peer_and_port_each, ranges_halved]
)
@quarters
def test_other_ways_to_write_the_same_policies_mean_the_same(rewrite: Rewrite, part: int) -> None:
    for seed, snapshot in clusters(20, start=80_000 + part * 20 * FACTOR):
        matrix = evaluate(
            replace(snapshot, policies=tuple(new for policy in snapshot.policies for new in rewrite(policy)))
        )
        plain = evaluate(snapshot)
        for cell in cells(snapshot, matrix):
            assert matrix.verdict(*cell) is plain.verdict(*cell), f"seed {seed}: {cell}"


@quarters
def test_one_more_rule_closes_nothing(part: int) -> None:
    opened_some = False
    for seed, snapshot in clusters(38, start=90_000 + part * 38 * FACTOR):
        if not snapshot.policies:
            continue
        random = Random(seed)
        (donor,) = random_policies(random, Shape(policies=1), list(snapshot.endpoints))
        position = random.randrange(len(snapshot.policies))
        policy = snapshot.policies[position]
        wider = replace(policy, ingress=policy.ingress + donor.ingress, egress=policy.egress + donor.egress)
        policies = (*snapshot.policies[:position], wider, *snapshot.policies[position + 1 :])
        before, after = evaluate(snapshot), evaluate(replace(snapshot, policies=policies))
        for cell in cells(snapshot, after):
            assert is_opened(cell, after) or not is_opened(cell, before), f"seed {seed}: {cell}"
            opened_some = opened_some or is_opened(cell, after) is not is_opened(cell, before)
    assert opened_some


@quarters
def test_one_more_policy_opens_nothing_for_the_free_and_closes_nothing_for_the_isolated(part: int) -> None:
    """A policy can open a cell only where it adds to a pod that was isolated already, and close one only where it
    isolates a pod anew.
    """
    changes = {"opened": 0, "closed": 0}
    for seed, snapshot in clusters(75, start=100_000 + part * 75 * FACTOR):
        (policy,) = random_policies(Random(seed), Shape(policies=1), list(snapshot.endpoints))
        before, after = evaluate(snapshot), evaluate(replace(snapshot, policies=(*snapshot.policies, policy)))
        was, now = isolated(snapshot.policies, snapshot), isolated((policy,), snapshot)
        for cell in cells(snapshot, after):
            ends = {(cell.source, Direction.EGRESS), (cell.destination, Direction.INGRESS)}
            if is_opened(cell, after) and not is_opened(cell, before):
                changes["opened"] += 1
                assert ends & was & now, f"seed {seed}: {cell}"
            if is_opened(cell, before) and not is_opened(cell, after):
                changes["closed"] += 1
                assert ends & (now - was), f"seed {seed}: {cell}"
    assert min(changes.values()) > 0


def isolated(policies: tuple[NetworkPolicy, ...], snapshot: Snapshot) -> set[tuple[str, Direction]]:
    """The pods that ``policies`` isolate, with the direction: those that can't use it once all rules are gone."""
    found = set()
    for policy, direction in product(policies, Direction):
        if direction in policy.directions:
            closed = replace(policy, directions=frozenset([direction]), ingress=(), egress=())
            matrix = evaluate(
                replace(
                    snapshot,
                    policies=(closed,),
                    endpoints=(*snapshot.endpoints, Endpoint("host/watcher", EndpointKind.HOST)),
                )
            )
            for pod in snapshot.endpoints:
                ends = (pod.name, "host/watcher") if direction is Direction.EGRESS else ("host/watcher", pod.name)
                if matrix.verdict(*ends, Protocol.TCP, 80, Family.IPV4) is Verdict.DENIED:
                    found.add((pod.name, direction))
    return found


@quarters
def test_a_connection_needs_egress_and_ingress_and_nothing_else(part: int) -> None:
    for seed, snapshot in clusters(38, start=110_000 + part * 38 * FACTOR):
        whole = evaluate(snapshot)
        sides = [
            evaluate(
                replace(
                    snapshot,
                    policies=tuple(
                        replace(policy, directions=frozenset([direction]))
                        for policy in snapshot.policies
                        if direction in policy.directions
                    ),
                )
            )
            for direction in Direction
        ]
        for cell in cells(snapshot, whole):
            assert is_opened(cell, whole) is all(is_opened(cell, side) for side in sides), f"seed {seed}: {cell}"
