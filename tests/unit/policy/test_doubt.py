from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, UnknownPolicy
from auditor.model.ports import Protocol
from auditor.model.snapshot import EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.doubt import doubtful_cells
from tests.marking import slow
from tests.oracle.clusters import EVERYTHING, cluster, having, node, pod, pods, policy, rule
from tests.oracle.evaluator import verdict
from tests.strategies import IPV4_ONLY, Shape, random_policies, random_snapshot

SHAPE = Shape(pods=4, policies=3, hosts=1, families=(IPV4_ONLY,))
PORTS = ((Protocol.TCP, 80), (Protocol.UDP, 53))
WEB, API, DB = (pod(f"prod/{name}", {"app": name}) for name in ("web", "api", "db"))
ELSEWHERE = pod("dev/web", {"app": "web"})


def all_cells(snapshot: Snapshot) -> list[Cell]:
    return [
        Cell(source.name, destination.name, *port, Family.IPV4)
        for source, destination in product(snapshot.endpoints, repeat=2)
        if EndpointKind.POD in (source.kind, destination.kind)
        for port in PORTS
    ]


def between(source: str, destination: str) -> Cell:
    return Cell(source, destination, Protocol.TCP, 80, Family.IPV4)


def unknown(
    name: str = "new", selector: LabelSelector | None = None, namespace: str = "prod", why: str = "can't be read"
) -> UnknownPolicy:
    return UnknownPolicy(namespace, name, selector, why)


def in_doubt(snapshot: Snapshot, *policies: UnknownPolicy) -> set[tuple[str, str]]:
    return {(cell.source, cell.destination) for cell in doubtful_cells(snapshot, policies, all_cells(snapshot))}


def meanings(policy: UnknownPolicy, random: Random, snapshot: Snapshot) -> list[NetworkPolicy | None]:
    """What the policy may mean: nothing, the extremes in each set of directions, and some rules of other policies."""
    selector = policy.pod_selector or LabelSelector()
    rules = [
        (),
        (EVERYTHING,),
        *((*other.ingress, *other.egress) for other in random_policies(random, SHAPE, list(snapshot.endpoints))),
    ]
    found: list[NetworkPolicy | None] = [None]
    for directions in ({Direction.INGRESS}, {Direction.EGRESS}, set(Direction)):
        for ingress, egress in product(rules[:2], rules[:2]):
            found.append(NetworkPolicy(policy.namespace, policy.name, selector, frozenset(directions), ingress, egress))
        found += [
            NetworkPolicy(policy.namespace, policy.name, selector, frozenset(directions), some, some[:1])
            for some in rules[2:]
        ]
    return found


def brute_force(snapshot: Snapshot, unknown: list[UnknownPolicy], random: Random) -> set[Cell]:
    """The cells whose verdict, by the oracle, is not the same under every combination of meanings."""
    seen: dict[Cell, set[Verdict | None]] = {}
    for combination in product(*(meanings(one, random, snapshot) for one in unknown)):
        world = replace(
            snapshot, policies=(*snapshot.policies, *(meaning for meaning in combination if meaning is not None))
        )
        for cell in all_cells(snapshot):
            ends = (world.endpoint(cell.source), world.endpoint(cell.destination))
            seen.setdefault(cell, set()).add(verdict(world, *ends, cell.protocol, cell.port, cell.family))
    return {cell for cell, verdicts in seen.items() if len(verdicts) > 1}


@pytest.mark.parametrize(
    ("seed", "count"),
    [
        *((seed, 1) for seed in range(12)),
        *((seed, 2) for seed in range(40, 42)),
        *(slow(seed, 1) for seed in range(12, 40)),
        *(slow(seed, 2) for seed in range(42, 50)),
    ],
)
def test_in_doubt_is_what_some_meaning_changes(seed: int, count: int) -> None:
    random = Random(seed)
    snapshot = random_snapshot(random, SHAPE if count == 1 else replace(SHAPE, pods=3, policies=2))
    selectors = [policy.pod_selector for policy in random_policies(random, SHAPE, list(snapshot.endpoints))]
    policies = [unknown(f"new-{number}", selectors[number], f"space-{number}") for number in range(count)]
    assert set(doubtful_cells(snapshot, policies, all_cells(snapshot))) == brute_force(snapshot, policies, random)


def test_the_random_clusters_have_cells_of_both_kinds() -> None:
    kinds = {True: 0, False: 0}
    for seed in range(40):
        snapshot = random_snapshot(Random(seed), SHAPE)
        found = doubtful_cells(snapshot, [unknown(namespace="space-0")], all_cells(snapshot))
        touched = [cell for cell in all_cells(snapshot) if "space-0/" in cell.source + cell.destination]
        for cell in touched:
            kinds[cell in found] += 1
    assert min(kinds.values()) > 300


def test_only_traffic_of_pods_that_it_may_select_is_in_doubt():
    snapshot = cluster(WEB, API, ELSEWHERE)
    assert in_doubt(snapshot, unknown(selector=having({"app": "web"}))) == {
        ("prod/web", "prod/api"),
        ("prod/api", "prod/web"),
        ("prod/web", "dev/web"),
        ("dev/web", "prod/web"),
    }
    assert in_doubt(snapshot, unknown(selector=having({"app": "none"}))) == set()
    assert ("dev/web", "prod/api") in in_doubt(snapshot, unknown())


def test_what_another_policy_denies_on_the_other_side_stays_denied():
    snapshot = cluster(WEB, API, policies=[policy("prod/api", {"app": "api"}, ingress=[])])
    assert in_doubt(snapshot, unknown(selector=having({"app": "web"}))) == {("prod/api", "prod/web")}


def test_what_another_policy_allows_stays_allowed_and_what_it_denies_may_be_allowed():
    snapshot = cluster(
        WEB,
        API,
        DB,
        policies=[policy("prod/web", {"app": "web"}, ingress=[rule(pods({"app": "api"}))], egress=[EVERYTHING])],
    )
    found = in_doubt(snapshot, unknown(selector=having({"app": "web"})))
    assert found == {("prod/db", "prod/web")}


def test_a_pod_and_itself_and_its_own_node_stay_certain():
    here = node("n1", "172.18.0.2")
    snapshot = cluster(replace(WEB, node="n1"), here, node("n2", "172.18.0.3"))
    assert in_doubt(snapshot, unknown()) == {("prod/web", "node/n2"), ("node/n2", "prod/web")}


def test_the_reason_names_the_policies_that_matter():
    snapshot = cluster(WEB, API, policies=[policy("prod/open", {"app": "api"}, ingress=[EVERYTHING])])
    first, second = (
        unknown("a", having({"app": "web"}), why="can't be read: x"),
        unknown("b", having({"app": "api"}), why="changed"),
    )
    reasons = doubtful_cells(
        snapshot, [first, second], [between("prod/web", "prod/api"), between("prod/api", "prod/web")]
    )
    assert reasons == {
        between("prod/web", "prod/api"): "policy prod/a can't be read: x",
        between("prod/api", "prod/web"): "policy prod/a can't be read: x; policy prod/b changed",
    }
    assert doubtful_cells(snapshot, [first], [between("prod/web", "prod/api")]) == {
        between("prod/web", "prod/api"): "policy prod/a can't be read: x"
    }


def test_the_reason_of_many_is_short():
    many = [unknown(f"p{number}", why="changed") for number in range(5)]
    reasons = doubtful_cells(cluster(WEB, API), many, [between("prod/web", "prod/api")])
    assert list(reasons.values()) == [
        "policy prod/p0 changed; policy prod/p1 changed; policy prod/p2 changed; 2 more policies in doubt"
    ]


def test_without_unknown_policies_nothing_is_in_doubt():
    snapshot = cluster(WEB, API)
    assert doubtful_cells(snapshot, [], all_cells(snapshot)) == {}


def test_host_network_pods_are_selected_by_nothing():
    on_host = pod("prod/agent", {}, "172.18.0.2", node="n1", host_network=True)
    snapshot = cluster(on_host, ELSEWHERE)
    assert in_doubt(snapshot, unknown()) == set()
