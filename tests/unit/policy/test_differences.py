"""What changes between two clusters, held against the oracle on both sides."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from auditor.model.policy import UnknownPolicy
from auditor.model.snapshot import EndpointKind, Snapshot
from auditor.model.workloads import workload_identity, workload_name
from auditor.policy.differences import ChangeKind, Names, differences
from auditor.policy.matrix import always_allowed, common_families
from auditor.policy.outside import outside_peers
from tests.marking import slow
from tests.oracle.clusters import block, cluster, host, pod, pods, policy, rule
from tests.oracle.evaluator import verdict
from tests.strategies import Shape, boundaries_in_policies, random_policies, random_snapshot

SHAPES = (
    Shape(pods=4, policies=3, hosts=1),
    Shape(pods=3, policies=5, namespaces=1, hosts=1, node_endpoints=False),
    Shape(pods=4, policies=2, nodes=1, hosts=0),
)


def told(before: Snapshot, after: Snapshot) -> dict[tuple[object, ...], ChangeKind]:
    """For each connection that changes, port by port at the borders of rules, what becomes of it."""
    asked = boundaries_in_policies(before) | boundaries_in_policies(after)
    found = {}
    for change in differences(before, after).changes:
        for protocol, port in asked:
            if any(each.protocol is protocol and port in each for each in change.ports):
                for source in change.sources:
                    for destination in change.destinations:
                        for family in change.families or (4, 6):
                            key = (source, destination, protocol, port, int(family))
                            assert key not in found
                            found[key] = change.kind
    return found


def certain(snapshot, source, destination, protocol, port, family):
    """What the oracle says whatever the CNI makes of ipBlocks; None where that matters."""
    both = {
        verdict(snapshot, source, destination, protocol, port, family, ip_block_matches_cluster=inside)
        for inside in (True, False)
    }
    return both.pop() if len(both) == 1 else None


@pytest.mark.parametrize("seed", [*range(30), *map(slow, range(30, 90))])
def test_what_opens_and_what_closes_is_what_the_oracle_says(seed: int) -> None:
    random = Random(seed)
    shape = replace(SHAPES[seed % len(SHAPES)], host_network=0.0)
    before = random_snapshot(random, shape)
    after = replace(before, policies=random_policies(random, shape, list(before.endpoints)))
    found = told(before, after)
    peers = outside_peers([before, after])
    ends = (*before.endpoints, *peers)
    asked = sorted(boundaries_in_policies(before) | boundaries_in_policies(after))
    for source in ends:
        for destination in ends:
            if EndpointKind.POD not in (source.kind, destination.kind) or always_allowed(source, destination):
                continue
            for family in common_families(source, destination):
                for protocol, port in random.sample(asked, min(8, len(asked))):
                    old, new = (certain(each, source, destination, protocol, port, family) for each in (before, after))
                    became = found.get((source.name, destination.name, protocol, port, int(family)))
                    expected = {
                        ("denied", "allowed"): ChangeKind.OPENED,
                        ("allowed", "denied"): ChangeKind.CLOSED,
                    }.get((old, new))
                    if old is None or new is None:
                        assert became in (None, ChangeKind.IN_DOUBT)
                        assert became or old is new
                    else:
                        assert became is expected, (source.name, destination.name, protocol, port, family)


def test_nothing_changes_between_equals() -> None:
    snapshot = random_snapshot(Random(7), Shape(pods=6, policies=6))
    found = differences(snapshot, snapshot)
    assert found.changes == ()
    assert set(found.pairs.values()) == {0}


def of_workload(name: str, workload: str, labels: dict[str, str]):
    return replace(pod(name, labels), workload=workload)


WEB = policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "TCP/5432")])
API = policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "api"}), "TCP/5432")])


def shop(rules, *, suffix: str = "x", replicas: int = 2, more=()) -> Snapshot:
    """Three workloads whose pods are called otherwise on every rollout."""
    ends = [
        of_workload(f"prod/{name}-{suffix}{number}", f"Deployment/{name}", {"app": name})
        for name in ("web", "api", "db")
        for number in range(replicas)
    ]
    return cluster(*ends, *more, policies=[rules])


def test_workloads_are_compared_whatever_their_pods_are_called() -> None:
    found = differences(shop(WEB), shop(API, suffix="y", replicas=3))
    assert {(each.kind, each.sources, each.destinations, each.pairs) for each in found.changes} == {
        (ChangeKind.OPENED, ("prod/api",), ("prod/db",), 1),
        (ChangeKind.CLOSED, ("prod/web",), ("prod/db",), 1),
    }
    assert found.pairs == {ChangeKind.OPENED: 1, ChangeKind.CLOSED: 1, ChangeKind.IN_DOUBT: 0}
    assert (found.compared, found.workloads) == (3, Names())
    assert found.policies == Names(changed=("prod/db",))


def test_the_rule_that_opens_and_what_is_missing_afterwards_are_told() -> None:
    opened, closed = differences(shop(WEB), shop(API)).changes
    assert opened.because == ("ingress: prod/db ingress[0]: podSelector app=api, TCP/5432",)
    assert closed.because[0] == "ingress: prod/db-x0 is isolated by prod/db, and no rule allows it"
    assert closed.because[-1] == "before: ingress: prod/db ingress[0]: podSelector app=web, TCP/5432"


def test_isolation_that_goes_opens_every_port() -> None:
    found = differences(shop(WEB), replace(shop(WEB), policies=()))
    assert {each.kind for each in found.changes} == {ChangeKind.OPENED}
    assert any("no policy isolates prod/db-x0: namespace prod has none" in each.because[0] for each in found.changes)
    assert found.policies == Names(removed=("prod/db",))


def test_ports_that_close_for_the_same_reason_are_one_change() -> None:
    """Whichever of them the words name: 'TCP/1 was asked for', 'UDP/1 was asked for'."""
    ends = [pod("prod/db", {"app": "db"}), pod("prod/web", {"app": "web"}), pod("prod/old", {"app": "old"})]
    closing = policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "TCP/5432", "TCP/8080")])
    changes = differences(cluster(*ends), cluster(*ends, policies=[closing])).changes
    found = {(each.sources, each.destinations): [str(each.ports[0]), len(each.ports)] for each in changes}
    assert len(found) == len(changes)
    assert found[("prod/web",), ("prod/db",)] == ["TCP/1-5431", 5]
    assert [ports for ends, ports in found.items() if "prod/old" in ends[0]] == [["TCP/1-65535", 3]]


def test_what_comes_and_goes_is_named_and_opens_nothing() -> None:
    newcomer = of_workload("prod/cron-1", "CronJob/cron", {"app": "web"})
    leaver = pod("prod/old")
    found = differences(shop(WEB, more=[leaver]), shop(WEB, more=[newcomer]))
    assert (found.workloads, found.changes) == (Names(("prod/cron",), ("prod/old",)), ())


def test_workloads_of_one_name_and_two_kinds_are_told_apart() -> None:
    both = [of_workload("prod/a-0", "StatefulSet/a", {"app": "s"}), of_workload("prod/a-x", "Deployment/a", {})]
    found = differences(cluster(*both), cluster(both[0]))
    assert found.workloads == Names(removed=("prod/a (Deployment)",))


def test_pods_of_a_workload_that_policies_tell_apart_stand_for_themselves() -> None:
    ends = [of_workload(f"prod/db-{number}", "StatefulSet/db", {"index": str(number)}) for number in range(2)]
    closed = policy("prod/first", {"index": "0"}, ingress=[])
    found = differences(cluster(*ends), cluster(*ends, policies=[closed]))
    assert {each.destinations for each in found.changes} == {("prod/db-0",)}


def test_between_the_pods_of_a_workload() -> None:
    ends = [of_workload(f"prod/db-{number}", "StatefulSet/db", {"app": "db"}) for number in range(2)]
    found = differences(cluster(*ends), cluster(*ends, policies=[policy("prod/a", ingress=[])]))
    assert {(each.sources, each.destinations, each.pairs) for each in found.changes} == {
        (("prod/db",), ("prod/db",), 1),
        (("outside (any address)",), ("prod/db",), 1),
    }


def test_a_range_that_is_opened_wider_opens_the_rest_of_it() -> None:
    narrow, wide = (policy("prod/a", ingress=[rule(block(each))]) for each in ("10.0.0.0/16", "10.0.0.0/8"))
    found = differences(*(cluster(pod("prod/web", {}, "172.16.0.1"), policies=[each]) for each in (narrow, wide)))
    assert [(each.kind, each.sources) for each in found.changes] == [
        (ChangeKind.OPENED, ("outside 10.0.0.0/8 except 10.0.0.0/16",))
    ]


def test_a_policy_that_cannot_be_read_makes_doubt_and_opens_nothing() -> None:
    unreadable = UnknownPolicy("prod", "broken", None, "can't be read")
    found = differences(shop(WEB), replace(shop(API), unknown=(unreadable,)))
    assert {each.kind for each in found.changes} == {ChangeKind.IN_DOUBT}
    assert found.unsure
    assert all(each.doubts == ("policy prod/broken can't be read",) for each in found.changes)


def test_addresses_that_are_not_known_make_doubt() -> None:
    denied, ranged = policy("prod/a", ingress=[]), policy("prod/a", ingress=[rule(block("10.0.0.0/8"))])
    ends = [pod("prod/web", {"app": "web"}), pod("prod/db")]
    found = differences(*(cluster(*ends, policies=[each]) for each in (denied, ranged)))
    assert {(each.kind, each.sources, each.doubts) for each in found.changes} == {
        (ChangeKind.OPENED, ("outside 10.0.0.0/8",), ()),
        (ChangeKind.IN_DOUBT, ("prod/web", "prod/db"), ("address-unknown",)),
    }


def test_families_that_differ_are_named() -> None:
    ends = [pod("prod/web", {}, "10.244.0.5", "fd00::5"), host("office", "203.0.113.7", "2001:db8::7")]
    opened = policy("prod/a", ingress=[rule(block("2001:db8::/32"))])
    found = differences(*(cluster(*ends, policies=[each]) for each in (policy("prod/a", ingress=[]), opened)))
    assert {(each.sources, tuple(map(str, each.families))) for each in found.changes} == {
        (("host/office",), ("IPv6",)),
        (("outside 2001:db8::/32",), ()),
    }


def test_a_live_workload_is_that_of_the_files() -> None:
    live = replace(pod("prod/web-7c5d-abcde", {"pod-template-hash": "7c5d"}), workload="ReplicaSet/web-7c5d")
    job = replace(pod("prod/tick-29012345-x"), workload="Job/tick-29012345")
    assert workload_identity(live) == ("prod", "Deployment", "web")
    assert workload_identity(job) == ("prod", "CronJob", "tick")
    assert workload_identity(pod("prod/web")) is None


@pytest.mark.parametrize(
    ("labels", "controller", "meant"),
    [
        ({"rollouts-pod-template-hash": "6f5d"}, "ReplicaSet/web-6f5d", "Rollout"),
        ({"deploymentconfig": "web", "deployment": "web-3"}, "ReplicationController/web-3", "DeploymentConfig"),
        (
            {"serving.knative.dev/service": "web", "pod-template-hash": "6f5d"},
            "ReplicaSet/web-00002-deployment-6f5d",
            "Service",
        ),
        ({}, "ReplicaSet/web", "ReplicaSet"),
        ({"deploymentconfig": "web"}, "ReplicationController/web", "ReplicationController"),
    ],
)
def test_what_makes_the_controller_of_a_live_pod_is_its_workload(labels: dict, controller: str, meant: str) -> None:
    live = replace(pod("prod/web-abcde", labels), workload=controller)
    assert workload_identity(live) == ("prod", meant, "web")
    assert workload_name(live) == "prod/web"
