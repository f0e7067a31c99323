from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule, UnknownPolicy
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Service, ServicePort, Snapshot
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probe_pods import gaps
from auditor.probe_pods.choice import Choice, Mode, ProbeRequest, choose_probe_pods
from auditor.probe_pods.models import fewest_namespaces
from tests.marking import slow
from tests.oracle.clusters import EVERYTHING, block, cluster, having, host, node, pod, pods, policy, rule
from tests.strategies import Shape, boundary_ports, random_snapshot, snapshots

SHAPE = Shape(pods=8, policies=5, nodes=3, hosts=1)
SHAPES = (
    SHAPE,
    Shape(pods=12, policies=3, nodes=2, namespaces=3),
    Shape(pods=6, policies=8, nodes=1, host_network=0.3),
)
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
    """The cluster with probe pods in place of its pods, at arbitrary addresses and nodes; and for each end a member
    that it is for.
    """
    members = {probe.name: probe.stands_for[0] for probe in choice.probe_pods}
    shadows = []
    for number, probe in enumerate(choice.probe_pods):
        families = snapshot.endpoint(members[probe.name]).families
        addresses = tuple(shadow_address(number, family) for family in families)
        shadows.append(
            Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, addresses, probe.ports, SHADOW_NODE)
        )
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
        for family, (protocol, port) in product(
            set(source.families) & set(destination.families), boundary_ports(matrix.atoms)
        ):
            allowed = matrix.class_verdicts(*numbers, family).allowed >> matrix.port_atoms.index(protocol, port) & 1
            if (
                shadow_matrix.verdict(source.name, destination.name, protocol, port, family) is Verdict.ALLOWED
            ) != bool(allowed):
                yield f"{source.name} -> {destination.name} {protocol}/{port} {family}"


@pytest.mark.parametrize("first", [0, *map(slow, (15, 30, 45))])
@pytest.mark.parametrize("mode", [slow(mode) if mode is Mode.ALL_PODS else mode for mode in Mode])
def test_a_cluster_of_probe_pods_has_the_same_verdicts(mode: Mode, first: int) -> None:
    for seed in range(first, first + 15):
        snapshot = without_blocks_that_tell_pods_apart(random_snapshot(Random(seed), SHAPES[seed % len(SHAPES)]))
        if any(end.selectable for end in snapshot.endpoints):
            assert list(differences(snapshot, mode)) == [], f"seed {seed}"


@settings(max_examples=40)
@given(snapshots(replace(SHAPE, host_network=0.0)))
def test_the_same_and_failures_shrink(snapshot: Snapshot) -> None:
    assert list(differences(without_blocks_that_tell_pods_apart(snapshot), Mode.ONE_PER_CLASS)) == []


def requests(random: Random, snapshot: Snapshot) -> Iterator[ProbeRequest]:
    """Requests that audit something, of every mode."""
    nodes = sorted({end.node for end in snapshot.endpoints if end.node})
    for mode in Mode:
        namespaces = tuple(
            sorted(random.sample(sorted(snapshot.namespaces), random.randrange(len(snapshot.namespaces))))
        )
        usable = random.choice((None, random.sample(nodes, random.randrange(1, len(nodes) + 1))))
        request = ProbeRequest(namespaces, None, mode, usable)
        if any(map(request.audits, snapshot.endpoints)):
            yield request


def isolated_directions(snapshot: Snapshot, endpoint: Endpoint) -> set[Direction]:
    selecting = [
        item
        for item in snapshot.policies
        if item.namespace == endpoint.namespace and item.pod_selector.matches(endpoint.labels)
    ]
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
    if request.mode is Mode.TWO_PER_CLASS:
        assert max(map(len, standing.values())) <= 2
    elif request.mode is not Mode.ONE_PER_CLASS:
        check_nodes(snapshot, matrix, request, {(probe.node, matrix.class_of(probe.stands_for[0])) for probe in probes})


def check_nodes(
    snapshot: Snapshot, matrix: ExpectedMatrix, request: ProbeRequest, places: set[tuple[str, int]]
) -> None:
    """Every node and direction in which one of its audited pods is isolated has a probe pod of a class isolated so."""
    tested = {
        (name, direction)
        for name, number in places
        for direction in isolated_directions(snapshot, matrix.representative(number))
        if name
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


def on(name: str, *at: Endpoint) -> tuple[Endpoint, ...]:
    """``at`` on node ``name``."""
    return tuple(replace(endpoint, node=name) for endpoint in at)


def replicas(name: str, count: int, labels: dict[str, str], workload: str = "", **more: object) -> list[Endpoint]:
    return [replace(pod(f"{name}-{number}", labels, **more), workload=workload) for number in range(count)]


CLOSED = policy("prod/db", {"app": "db"}, ingress=[], egress=[])


def test_one_probe_pod_stands_for_a_class_and_carries_what_policies_read():
    db = replicas(
        "prod/db",
        3,
        {"app": "db", "controller-revision-hash": "x"},
        "StatefulSet/db",
        ports=["sql=TCP/3306"],
        node="n1",
    )
    (other, probe) = choose(cluster(*db, pod("dev/web"), policies=[CLOSED])).probe_pods
    assert (probe.name, probe.namespace, probe.labels, probe.node) == ("prod/db", "prod", {"app": "db"}, "n1")
    assert probe.ports == db[0].ports
    assert probe.stands_for == ("prod/db-0", "prod/db-1", "prod/db-2")
    assert other.name == "dev/web"


def test_a_class_in_several_namespaces_is_one_probe_pod_in_an_audited_one():
    snapshot = cluster(pod("a/x"), pod("b/y"), pod("c/z"))
    assert [probe.name for probe in choose(snapshot, namespaces=("b",)).probe_pods] == ["b/y"]
    assert choose(snapshot, namespaces=("b",)).probe_pods[0].stands_for == ("a/x", "b/y", "c/z")


def test_few_namespaces_are_disturbed_and_those_of_the_system_last():
    labels = {"app": "x"}
    let_in = [policy("b/p", ingress=[rule(pods(labels, {}))])]
    ends = (pod("a/1", labels), pod("a/2"), pod("b/1"), pod("c/1", labels), pod("c/2"), pod("kube-system/1", labels))
    snapshot = cluster(*ends, policies=let_in)
    assert {probe.namespace for probe in choose(snapshot).probe_pods} == {"a", "b"}
    assert {probe.namespace for probe in choose(snapshot, namespaces=("b", "c")).probe_pods} == {"b", "c"}
    assert {probe.namespace for probe in choose(snapshot, namespaces=("kube-system",)).probe_pods} == {
        "kube-system",
        "a",
        "b",
    }


def test_a_namespace_that_gets_a_probe_pod_anyway_is_preferred():
    labels = {"app": "x"}
    let_in = [policy("z/p", ingress=[rule(pods(labels, {}))])]
    snapshot = cluster(pod("a/1", labels), pod("y/1", labels), pod("y/2"), pod("z/1"), policies=let_in)
    assert [probe.name for probe in choose(snapshot).probe_pods] == ["y/1", "y/2", "z/1"]


NAMED = {"app": "web"}
OTHER_NAMED = {"app": "api"}


@pytest.mark.parametrize("peer", [pods(OTHER_NAMED), pods(OTHER_NAMED, {"stage": "prod"})])
def test_the_member_that_an_enforcer_blind_to_namespaces_takes_for_another_stands_for_its_class(peer):
    ends = (*on("n1", pod("dev/aa", NAMED)), *on("n2", pod("dev/api", OTHER_NAMED)), *on("n1", pod("dev/web", NAMED)))
    let_in = policy("prod/db", ingress=[rule(peer)])
    snapshot = cluster(*ends, *on("n2", pod("prod/db")), policies=[let_in], labels={"prod": {"stage": "prod"}})
    found = {probe.name: (probe.labels, probe.stands_for) for probe in choose(snapshot).probe_pods}
    assert found["dev/api"] == (OTHER_NAMED, ("dev/aa", "dev/api", "dev/web"))
    assert set(found) == {"dev/api", "prod/db"}


def two_ways(*more: Endpoint, **changes: object) -> Snapshot:
    """Pods of dev that are alike, of which blind enforcers would take one for a pod that web lets in, and another one
    for db's.
    """
    ends = (
        pod("dev/api", OTHER_NAMED),
        pod("dev/both", OTHER_NAMED),
        pod("dev/job", {"app": "job"}),
        pod("dev/none"),
        *more,
    )
    let_in = [
        policy("prod/db", NAMED, ingress=[rule(pods(OTHER_NAMED))]),
        policy("prod/web", NAMED, ingress=[rule(pods({"app": "job"}))]),
    ]
    return cluster(*ends, pod("prod/web", NAMED), policies=let_in, **changes)


def test_where_one_probe_pod_can_not_show_all_that_such_enforcers_mistake_that_is_told():
    choice = choose(two_ways())
    assert by_name(choice)["dev/api"][1] == ("dev/api", "dev/both", "dev/job", "dev/none")
    mistakes = "an enforcer that mistakes the namespaces of a rule may treat"
    assert choice.uncovered == (
        f"{mistakes} dev/job unlike the probe pod that represents it: --all-pods would show it",
    )
    assert choose(two_ways(), Mode.ALL_PODS).uncovered == ()
    several = choose(two_ways(pod("dev/job-2", {"app": "job"}))).uncovered
    assert several == (
        f"{mistakes} dev/job, dev/job-2 unlike the probe pods that represent them: --all-pods would show it",
    )


def test_one_that_shows_the_most_of_it_is_enough():
    both = {"app": "job", "role": "api"}
    let_in = [
        policy("prod/db", NAMED, ingress=[rule(pods({"role": "api"}))]),
        policy("prod/web", NAMED, ingress=[rule(pods({"app": "job"}))]),
    ]
    ends = (pod("dev/a", {"app": "job"}), pod("dev/both", both), pod("dev/c", {"role": "api"}), pod("prod/web", NAMED))
    assert choose(cluster(*ends, policies=let_in)).uncovered == ()


def test_a_namespace_that_only_a_mistaken_rule_lets_in_is_told_too():
    let_in = [policy("prod/db", NAMED, ingress=[rule(pods(OTHER_NAMED, {"team": "shop"}))])]
    ends = (pod("dev/api", OTHER_NAMED), pod("shop/x"), pod("prod/web", NAMED))
    (sentence,) = choose(cluster(*ends, policies=let_in, labels={"shop": {"team": "shop"}})).uncovered
    assert "may treat shop/x unlike" in sentence or "may treat dev/api unlike" in sentence


def test_per_node_and_seconds_prefer_such_members_too():
    inside = policy("dev/all", ingress=[])
    ends = [*on("n1", pod("dev/aa-1", NAMED)), *on("n2", pod("dev/aa-2", NAMED), pod("dev/api-2", OTHER_NAMED))]
    api = on("n1", pod("dev/api-1", OTHER_NAMED))
    let_in = policy("prod/db", ingress=[rule(pods(OTHER_NAMED))])
    choice = choose(cluster(*ends, *api, pod("prod/db"), policies=[inside, let_in]), Mode.PER_NODE)
    assert [probe.name for probe in choice.probe_pods] == ["dev/api-1", "dev/api-2", "prod/db"]
    together = on("n1", pod("dev/aa", NAMED), pod("dev/api-1", OTHER_NAMED), pod("dev/api-2", OTHER_NAMED))
    choice = choose(cluster(*together, pod("prod/db"), policies=[inside, let_in]), Mode.PER_NODE)
    assert [probe.name for probe in choice.probe_pods] == ["dev/api-1", "dev/api-2", "prod/db"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([{"a", "b"}, {"b", "c"}], {"b"}),
        ([{"a", "b"}, {"b", "c"}, {"a"}, {"c"}], {"a", "c"}),
        ([{"a", "kube-system"}, {"b", "kube-system"}], {"a", "b"}),
        ([{"kube-public", "kube-system"}, {"kube-system"}], {"kube-system"}),
        ([{"b", "a"}], {"a"}),
    ],
)
def test_few_namespaces(options, chosen):
    assert fewest_namespaces(options) == chosen


def test_a_selector_narrows_what_is_audited():
    snapshot = cluster(pod("prod/a", {"app": "a"}), pod("prod/b", {"app": "b"}))
    assert by_name(choose(snapshot, selector=having({"app": "b"}))) == {"prod/b": ("", ("prod/a", "prod/b"))}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"namespaces": ("prd",)}, "no namespace 'prd'; there are: prod"),
        (
            {"selector": having({"app": "z"})},
            "nothing to audit: there is no running pod on the pod network in any namespace that matches app=z",
        ),
    ],
)
def test_a_request_that_audits_nothing_is_an_error(request_, said):
    with pytest.raises(UsageError, match=said):
        choose(cluster(pod("prod/a", {"app": "a"})), **request_)


def test_one_per_class_spreads_over_the_nodes_on_which_policies_are_enforced():
    db = [*on("n1", pod("prod/db-0", {"app": "db"})), *on("n2", pod("prod/db-1", {"app": "db"}))]
    web = on("n1", pod("prod/web-0", {"app": "web"}))
    policies = [CLOSED, policy("prod/web", {"app": "web"}, ingress=[rule("TCP/80")], egress=[EVERYTHING])]
    choice = choose(cluster(*db, *web, policies=policies))
    assert {name: place for name, (place, _) in by_name(choice).items()} == {"prod/db-1": "n2", "prod/web-0": "n1"}
    assert not any("not tested" in sentence for sentence in choice.uncovered)


def test_nodes_that_one_per_class_leaves_out_are_named_and_per_node_adds_few():
    db = [end for place in ("n1", "n2", "n3") for end in on(place, pod(f"prod/db-{place}", {"app": "db"}))]
    snapshot = cluster(*db, policies=[policy("prod/db", {"app": "db"}, ingress=[rule(pods({}))])])
    choice = choose(snapshot)
    assert by_name(choice) == {"prod/db-n1": ("n1", ("prod/db-n1", "prod/db-n2", "prod/db-n3"))}
    assert "traffic between the 3 pods of prod/db-n1 is not probed" in choice.uncovered[0]
    assert choice.uncovered[1:] == (
        "ingress policies on n2, n3 are not tested, no isolated probe pod runs there: --per-node does",
    )
    two = choose(snapshot, Mode.TWO_PER_CLASS)
    assert by_name(two) == {
        "prod/db-n1": ("n1", ("prod/db-n1", "prod/db-n3")),
        "prod/db-n2": ("n2", ("prod/db-n2",)),
    }
    assert two.uncovered == (
        "ingress policies on n3 are not tested, no isolated probe pod runs there: --per-node does",
    )
    per_node = choose(snapshot, Mode.PER_NODE)
    assert by_name(per_node) == {f"prod/db-{place}": (place, (f"prod/db-{place}",)) for place in ("n1", "n2", "n3")}
    assert per_node.uncovered == ()


def test_one_per_class_prefers_a_node_that_it_tests_to_one_with_fewer_probe_pods():
    inside = rule(pods({}))
    policies = [
        policy("prod/both", {"app": "both"}, ingress=[inside], egress=[inside]),
        *(policy(f"prod/{name}", {"app": name}, ingress=[inside]) for name in ("in", "on")),
        policy("prod/free", {"app": "free"}, ingress=[inside], egress=[inside, inside]),
    ]
    at_n1 = on("n1", pod("prod/both", {"app": "both"}), pod("prod/free-1", {"app": "free"}))
    at_n2 = on("n2", pod("prod/in", {"app": "in"}), pod("prod/on", {"app": "on"}), pod("prod/free-2", {"app": "free"}))
    assert by_name(choose(cluster(*at_n1, *at_n2, policies=policies)))["prod/free-2"] == (
        "n2",
        ("prod/free-1", "prod/free-2"),
    )


def test_per_node_takes_one_pod_that_tests_both_directions_rather_than_two():
    inside = [rule(pods({}))]
    policies = [
        policy("prod/in", {"app": "in"}, ingress=inside),
        policy("prod/out", {"app": "out"}, egress=inside),
        policy("prod/ways", {"app": "ways"}, ingress=inside, egress=inside),
    ]
    nodes = ("n1", "n2", "n3", "n4")
    ends = [
        end
        for place in nodes
        for app in ("in", "out", "ways")
        for end in on(place, pod(f"prod/{app}-{place}", {"app": app}))
    ]
    choice = choose(cluster(*ends, policies=policies), Mode.PER_NODE)
    assert [probe.name for probe in choice.probe_pods if probe.node == "n4"] == ["prod/ways-n4"]
    assert choice.uncovered == ()


def test_per_node_takes_a_class_that_needs_a_second_one_anyway():
    nodes = ("n1", "n2", "n3")
    ends = [
        end for place in nodes for app in ("aa", "db") for end in on(place, pod(f"prod/{app}-{place}", {"app": app}))
    ]
    ends += on("n4", pod("prod/db-n4", {"app": "db"}))
    from_aa = policy("prod/all", ingress=[rule(pods({"app": "aa"}))])
    choice = choose(cluster(*ends, policies=[from_aa]), Mode.PER_NODE)
    assert [probe.name for probe in choice.probe_pods] == ["prod/aa-n1", "prod/aa-n3", "prod/db-n2", "prod/db-n4"]


def test_a_second_probe_pod_runs_on_another_node_where_it_can():
    db = [
        *on("n1", pod("prod/db-0", {"app": "db"}), pod("prod/db-1", {"app": "db"})),
        *on("n2", pod("prod/db-2", {"app": "db"})),
    ]
    inside = [rule(pods({}))]
    web = on("n2", pod("prod/web", {"app": "web"}))
    policies = [CLOSED, policy("prod/web", {"app": "web"}, ingress=inside, egress=inside)]
    assert set(by_name(choose(cluster(*db, *web, policies=policies), Mode.PER_NODE))) == {
        "prod/db-0",
        "prod/db-2",
        "prod/web",
    }


def test_traffic_within_a_class_takes_two_probe_pods():
    db = replicas("prod/db", 3, {"app": "db"}, "StatefulSet/db", node="n1")
    snapshot = cluster(*db[:2], *on("n2", db[2]), policies=[CLOSED])
    (within, nodes, other_nodes) = choose(snapshot).uncovered
    assert within == (
        "traffic between the 3 pods of prod/db is not probed (one probe pod stands for all of them): --per-node or "
        "--all-pods does"
    )
    assert "n2" in nodes
    assert "n2" in other_nodes
    per_node = choose(snapshot, Mode.PER_NODE)
    assert by_name(per_node) == {"prod/db@n1": ("n1", ("prod/db-0", "prod/db-1")), "prod/db@n2": ("n2", ("prod/db-2",))}
    assert per_node.uncovered == ()
    same_node = choose(cluster(*db, policies=[CLOSED]), Mode.PER_NODE)
    assert by_name(same_node) == {
        "prod/db@n1": ("n1", ("prod/db-0", "prod/db-2")),
        "prod/db@n1-2": ("n1", ("prod/db-1",)),
    }


@pytest.mark.parametrize("mode", [Mode.TWO_PER_CLASS, Mode.PER_NODE])
def test_a_class_that_no_policy_concerns_needs_one_only(mode):
    db = replicas("prod/db", 3, {"app": "db"}, node="n1")
    choice = choose(cluster(*db), mode)
    assert len(choice.probe_pods) == 1
    assert choice.uncovered == ()
    # What lets its pods reach each other would be tried by nobody.
    choice = choose(cluster(*db, policies=[policy("prod/db", ingress=[rule(pods({"app": "db"}))])]), mode)
    assert len(choice.probe_pods) == 2
    assert choice.uncovered == ()


def test_all_pods_copies_every_audited_pod_and_one_of_each_other_class():
    labels = {"app": "web"}
    web = replicas("prod/web", 3, labels, "ReplicaSet/web", node="n1")
    others = replicas("dev/other", 2, {}, node="n2")
    let_in = policy("prod/web", ingress=[rule(pods(labels))])
    choice = choose(cluster(*web, *others, policies=[let_in]), Mode.ALL_PODS, namespaces=("prod",))
    assert by_name(choice) == {
        "dev/other-0": ("n2", ("dev/other-0", "dev/other-1")),
        "prod/web@n1": ("n1", ("prod/web-0",)),
        "prod/web@n1-2": ("n1", ("prod/web-1",)),
        "prod/web@n1-3": ("n1", ("prod/web-2",)),
    }


def test_nodes_that_cannot_be_used_are_avoided_or_told():
    here, there = on("n1", pod("prod/a-1", {"app": "a"})), on("n2", pod("prod/a-2", {"app": "a"}))
    only_there = on("n2", pod("prod/b", {"app": "b"}))
    snapshot = cluster(*here, *there, *only_there, policies=[policy("prod/b", {"app": "b"}, ingress=[EVERYTHING])])
    choice = choose(snapshot, usable_nodes=["n1"])
    assert {name: place for name, (place, _) in by_name(choice).items()} == {"prod/a-1": "n1", "prod/b": ""}
    assert choice.uncovered == ("2 pods on n2, which can't take probe pods: represented on other nodes, if at all",)


def test_what_has_a_nodes_address_gets_no_probe_pod():
    on_host = pod("prod/agent", {}, "172.18.0.2", host_network=True, node="n1")
    choice = choose(
        cluster(pod("prod/a"), on_host, node("n1", "172.18.0.2"), node("n2", "172.18.0.3"), host("out", "203.0.113.10"))
    )
    assert [probe.name for probe in choice.probe_pods] == ["prod/a"]
    assert choice.uncovered == (
        (
            "1 hostNetwork pod can't be represented: of the traffic with nodes' addresses, only what each node sends "
            "to its own probe pods is tried"
        ),
    )


def by_block(cidr: str, *excepts: str) -> NetworkPolicy:
    return policy("prod/x", {"app": "db"}, ingress=[rule(block(cidr, *excepts))])


@pytest.mark.parametrize(
    ("x", "known"),
    [
        (by_block("10.244.0.2/32"), "prod/a by address (ipBlock 10.244.0.2/32)"),
        (by_block("10.244.0.0/16", "10.244.0.2/32"), "prod/a by address (ipBlock 10.244.0.0/16 except 10.244.0.2/32)"),
        (by_block("10.244.0.0/16"), None),
        (by_block("0.0.0.0/0"), None),
        (by_block("203.0.113.0/24"), None),
    ],
)
def test_pods_that_a_policy_knows_by_address_are_named(x, known):
    ends = [
        pod("prod/a", {}, "10.244.0.2"),
        pod("prod/b", {}, "10.244.0.3"),
        pod("prod/db", {"app": "db"}, "10.244.0.4"),
        pod("dev/z"),
    ]
    snapshot = cluster(*ends, policies=[x])
    assert choose(snapshot).uncovered == (
        (f"policy prod/x knows {known}, which a probe pod can't carry",) if known else ()
    )
    assert choose(snapshot, selector=having({"app": "db"})).uncovered == choose(snapshot).uncovered
    assert choose(snapshot, namespaces=("dev",)).uncovered == ()


def test_a_probe_pod_keeps_away_from_services_where_it_can():
    neither = [policy("prod/x", {"app": "db", "tier": "x"}, ingress=[])]
    db = pod("prod/db", {"app": "db", "tier": "x", "extra": "1"})
    service = Service("prod", "db", {"extra": "1"}, (ServicePort(Protocol.TCP, 80, 80),))
    (probe,) = choose(cluster(db, policies=neither, services=[service])).probe_pods
    assert probe.labels == {"app": "db", "tier": "x"}


def test_pods_that_an_unreadable_policy_may_tell_apart_get_a_probe_pod_each_with_the_labels_to_tell():
    web, api = pod("prod/web", {"app": "web", "tier": "x"}), pod("prod/api", {"app": "api", "tier": "x"})
    snapshot = replace(
        cluster(web, api), unknown=(UnknownPolicy("prod", "new", having({"app": "web"}), "can't be read"),)
    )
    found = {probe.name: probe.labels for probe in choose(snapshot).probe_pods}
    assert found == {"prod/api": {}, "prod/web": {"app": "web"}}
    whole_namespace = replace(snapshot, unknown=(UnknownPolicy("prod", "new", None, "can't be read"),))
    assert len(choose(whole_namespace).probe_pods) == 1


@pytest.mark.parametrize(
    ("workload", "labels", "name"),
    [
        ("", {}, "prod/x-1"),
        ("Deployment/web", {}, "prod/web"),
        ("Node/n1", {}, "prod/x-1"),
        ("ReplicaSet/web-6c9b7f8d5", {"pod-template-hash": "6c9b7f8d5"}, "prod/web"),
        ("ReplicaSet/web-6c9b7f8d5", {}, "prod/web-6c9b7f8d5"),
        ("ReplicaSet/web-6c9b7f8d5", {"pod-template-hash": "b7f8d5"}, "prod/web-6c9b7f8d5"),
        ("StatefulSet/web-6c9b7f8d5", {"pod-template-hash": "6c9b7f8d5"}, "prod/web-6c9b7f8d5"),
        ("Job/backup-29394720", {}, "prod/backup"),
        ("Job/backup-2", {}, "prod/backup-2"),
        ("Job/by-hand", {"netpol-audit/workload": "backup"}, "prod/backup"),
        ("Job/backup-29394720", {"netpol-audit/workload": "dump"}, "prod/dump"),
        ("Job/by-hand", {"netpol-audit/workload": ""}, "prod/by-hand"),
        ("StatefulSet/db", {"netpol-audit/workload": "backup"}, "prod/db"),
    ],
)
def test_probe_pods_are_called_after_workloads(workload, labels, name):
    (probe,) = choose(cluster(replace(pod("prod/x-1", labels), workload=workload))).probe_pods
    assert probe.name == name


def test_names_that_would_be_the_same_get_a_number_that_is_free():
    ends = [replace(pod(f"prod/p{number}", {"app": str(number)}), workload="Job/x") for number in range(3)]
    policies = [policy(f"prod/p{number}", {"app": str(number)}, ingress=[]) for number in range(3)]
    choice = choose(cluster(*ends, pod("prod/x-2"), policies=policies))
    assert {name: members for name, (_, members) in by_name(choice).items()} == {
        "prod/x": ("prod/p0",),
        "prod/x-3": ("prod/p1",),
        "prod/x-4": ("prod/p2",),
        "prod/x-2": ("prod/x-2",),
    }


@pytest.mark.parametrize(("cidr", "told"), [("10.244.0.2/32", True), ("10.244.0.2/31", False), ("0.0.0.0/0", False)])
def test_a_single_address_is_told_even_where_it_holds_every_pod(cidr, told):
    snapshot = cluster(pod("prod/db", {"app": "db"}, "10.244.0.2"), policies=[by_block(cidr)])
    known = f"policy prod/x knows prod/db by address (ipBlock {cidr}), which a probe pod can't carry"
    assert choose(snapshot).uncovered == ((known,) if told else ())


def test_blocks_of_which_addresses_say_enough_need_no_groups(monkeypatch):
    snapshots = [random_snapshot(Random(seed), Shape(pods=12, policies=6, hosts=0)) for seed in range(40)]

    def said():
        return [list(gaps.pods_known_by_address(snapshot, lambda _: True)) for snapshot in snapshots]

    briefly = said()
    assert len([sentences for sentences in briefly if sentences]) in range(5, 35)
    monkeypatch.setattr(gaps, "may_tell_apart", lambda _: lambda _: True)
    assert briefly == said()
