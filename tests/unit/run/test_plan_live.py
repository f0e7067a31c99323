"""What an audit of a live cluster would do, before it does anything."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.preflight.meshes import PROXIED
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.errors import LimitError, UsageError
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Service, ServicePort
from auditor.probe_pods.choice import Mode
from auditor.probing.options import ProbingOptions
from auditor.run.live_plan import LiveOptions, narrowed, plan_live
from auditor.run.planning import AuditOptions
from tests.oracle.clusters import cluster, host, node, pod, pods, policy, rule

WEB, DB = pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n"), pod("prod/db-1", {"app": "db"}, "10.0.0.2", node="n")
SHOP = Service("prod", "shop", {"app": "web"}, (ServicePort(Protocol.TCP, 80, 8080),), (ip_address("10.96.0.9"),))
SNAPSHOT = cluster(
    WEB, DB, node("n", "192.0.2.1"), policies=[policy("prod/db", {"app": "db"}, ingress=[])], services=[SHOP]
)


def outside(address):
    return replace(host("db.example.com", address), ports=(ContainerPort(Protocol.TCP, 443),))


def options(**said):
    return LiveOptions(ConnectionOptions(), ("prod",), **said)


def everywhere(**said):
    return LiveOptions(ConnectionOptions(), **said)


def manifest(endpoint, *containers, sidecars=()):
    namespace, _, name = endpoint.name.partition("/")
    spec = {
        "containers": [{"name": each} for each in containers],
        "initContainers": [{"name": each} for each in sidecars],
    }
    return {"kind": "Pod", "metadata": {"namespace": namespace, "name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("address", "who"), [("10.96.0.9", "Service prod/shop"), ("10.0.0.2", "pod prod/db-1"), ("192.0.2.1", "node n")]
)
def test_what_is_inside_the_cluster_is_no_host_outside(address, who):
    with pytest.raises(
        UsageError, match=f"--external db.example.com: {address} is {who} of this cluster, and no host outside"
    ):
        plan_live(LiveSnapshot(SNAPSHOT), options(externals=(outside(address),)))


def test_a_host_outside_is_audited_beside_the_probe_pods():
    planned = plan_live(LiveSnapshot(SNAPSHOT), options(externals=(outside("198.51.100.7"),)))
    assert [endpoint.name for endpoint in planned.snapshot.endpoints] == [
        "prod/db-1",
        "prod/web-1",
        "host/db.example.com",
    ]


def test_an_address_of_a_pod_that_is_on_its_nodes_network_is_the_nodes():
    snapshot = cluster(
        WEB, pod("kube-system/proxy", {}, "192.0.2.1", node="n", host_network=True), node("n", "192.0.2.1")
    )
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is node n of this cluster"):
        plan_live(LiveSnapshot(snapshot), options(externals=(outside("192.0.2.1"),)))


@pytest.mark.parametrize(
    "manifests",
    [
        (manifest(WEB, "main", "istio-proxy"),),
        (manifest(WEB, "main", sidecars=["linkerd-proxy"]), manifest(DB, "main")),
    ],
)
def test_in_place_a_pod_behind_a_meshs_proxy_says_nothing_of_the_network(manifests):
    planned = plan_live(LiveSnapshot(SNAPSHOT, manifests=manifests), options(in_place=True))
    assert planned.members == {"prod/db-1": ("prod", "db-1")}
    assert planned.absent == {"prod/web-1": PROXIED}


def test_so_it_does_where_the_node_takes_its_connections():
    ambient = {"istio.io/dataplane-mode": "ambient"}
    out = replace(DB, labels={"app": "db", "istio.io/dataplane-mode": "none"})
    snapshot = cluster(WEB, out, policies=[policy("prod/db", {"app": "db"}, ingress=[])], labels={"prod": ambient})
    assert plan_live(LiveSnapshot(snapshot), options(in_place=True)).absent == {"prod/web-1": PROXIED}


def test_another_pod_of_its_kind_that_has_none_is_joined():
    other = replace(WEB, name="prod/web-2", addresses=(ip_address("10.0.0.3"),))
    snapshot = replace(SNAPSHOT, endpoints=(*SNAPSHOT.endpoints, other))
    planned = plan_live(LiveSnapshot(snapshot, manifests=(manifest(WEB, "istio-proxy"),)), options(in_place=True))
    assert planned.members["prod/web-1"] == ("prod", "web-2")
    assert planned.absent == {}


def test_what_does_not_run_can_not_be_joined():
    snapshot = replace(SNAPSHOT, endpoints=(replace(WEB, addresses=()), DB))
    planned = plan_live(LiveSnapshot(snapshot), options(in_place=True))
    assert planned.absent == {"prod/web-1": "none of its pods runs"}


def test_probe_pods_stay_out_of_a_mesh_and_stand_for_all():
    planned = plan_live(LiveSnapshot(SNAPSHOT, manifests=(manifest(WEB, "istio-proxy"),)), options())
    assert (planned.members, planned.absent) == ({}, {})


CACHE = pod("prod/cache-1", {"app": "cache"}, "10.0.0.4", node="n")
PEER = pod("shared/dns-1", {"app": "dns"}, "10.0.0.5", node="n")
OTHER = pod("other/dns-1", {"app": "dns"}, "10.0.0.6", node="n")
PEERS = [
    policy("prod/db", {"app": "db"}, ingress=[]),
    policy("shared/dns", {"app": "dns"}, ingress=[]),
    policy("other/dns", {"app": "dns"}, egress=[]),
]
SEVERAL = cluster(WEB, DB, CACHE, PEER, OTHER, policies=PEERS)


def in_place(snapshot=SEVERAL, namespaces=("prod",), **said):
    return plan_live(LiveSnapshot(snapshot), LiveOptions(ConnectionOptions(), namespaces, in_place=True, **said))


def test_in_place_nothing_is_put_into_pods_of_namespaces_that_are_not_audited():
    planned = in_place()
    assert {namespace for namespace, _ in planned.members.values()} == {"prod"}
    said = "none of its pods is in an audited namespace, so nothing is put into them: -n {} audits it, too"
    assert planned.absent == {"other/dns-1": said.format("other"), "shared/dns-1": said.format("shared")}
    assert {namespace for namespace, _ in in_place(namespaces=("prod", "shared")).members.values()} == {
        "prod",
        "shared",
    }
    assert len(in_place(namespaces=()).members) == len(in_place(namespaces=()).probes)


def test_in_place_a_class_with_pods_in_an_audited_namespace_is_probed_from_there():
    snapshot = cluster(replace(PEER, name="aaa/dns-1", namespace="aaa"), WEB)
    planned = in_place(snapshot)
    assert (list(planned.members.values()), planned.absent) == ([("prod", "web-1")], {})


def test_in_place_with_a_selector_nothing_is_put_into_pods_that_do_not_match_it():
    planned = in_place(selector=LabelSelector((("app", "web"),)))
    assert list(planned.members.values()) == [("prod", "web-1")]
    (reason,) = {why for name, why in planned.absent.items() if name.startswith("prod/")}
    assert reason == "none of its pods matches -l app=web, so nothing is put into them"


def test_in_place_what_is_said_of_the_size_counts_what_is_joined():
    assert in_place().remarks[0].startswith("3 pods audited by way of 2 of them, from inside")


INDEX = "apps.kubernetes.io/pod-index"


def replicas(number, namespace="prod", app="web", place=1):
    labels = {"app": app, INDEX: ""}
    return [
        pod(
            f"{namespace}/{app}-{one}",
            {**labels, INDEX: str(one)},
            f"10.{place}.{one >> 8}.{one & 255}",
            node=f"n{one % 7}",
        )
        for one in range(number)
    ]


def splitting(bits_):
    """A tenant's policy, whose rules tell pods of all namespaces apart by their numbers: 2 to the power of ``bits_`` of
    each app.
    """
    values = [tuple(str(number) for number in range(2**bits_) if number >> bit & 1) for bit in range(bits_)]
    selectors = [LabelSelector((), (Requirement(INDEX, Operator.IN, each),)) for each in values]
    return policy("evil/split", {"app": "evil"}, ingress=[rule(pods(selector, {})) for selector in selectors])


EVIL = pod("evil/evil-0", {"app": "evil"}, "10.9.0.1", node="n0")
TWO_APPS = (*replicas(64), *replicas(64, "shared", "dns", 2))
BUSY = cluster(
    *TWO_APPS, EVIL, policies=[policy("prod/web", {"app": "web"}, ingress=[])], labels={"shared": {"a": "b"}}
)
SPLIT = replace(BUSY, policies=(*BUSY.policies, splitting(6)))


LADDER = cluster(
    *(pod(f"n{number}/{app}", {"app": app}, node="n") for number in range(6) for app in ("a", "b")),
    policies=[
        policy(f"n{number}/a", {"app": "a"}, ingress=[rule(pods({"app": "b"}), "TCP/80")]) for number in range(6)
    ],
)
"""Six namespaces with the same policy each."""


def refusal(snapshot, **said):
    with pytest.raises(LimitError) as caught:
        plan_live(
            LiveSnapshot(snapshot, ready_nodes=frozenset(f"n{number}" for number in range(7))),
            options(**{"everything": True, **said}),
        )
    return str(caught.value)


def test_more_probe_pods_than_are_allowed_are_refused_with_the_policy_that_makes_so_many():
    assert len(plan_live(LiveSnapshot(BUSY), options()).probes) == 3
    assert refusal(SPLIT) == (
        "this audit would create 129 probe pods in 3 namespaces, more than --max-probe-pods 100: policy evil/split "
        "tells too many "
        f"pods apart, by the labels {INDEX} and app: without it there would be 2; have it changed, or allow more "
        "with --max-probe-pods"
    )
    assert len(plan_live(LiveSnapshot(SPLIT), options(max_probe_pods=129)).probes) == 129


REPLICATED = cluster(
    *(pod(f"prod/{app}-{one}", {"app": app}, node=f"n{one}") for app in "abcd" for one in range(3)),
    policies=[policy("prod/all", ingress=[rule(pods({"app": app})) for app in "abc"])],
)
"""Four groups of pods, on three nodes each."""


def test_pods_alike_that_policies_concern_get_two_probe_pods_within_the_limit():
    live = LiveSnapshot(REPLICATED)
    assert len(plan_live(live, options()).probes) == 8
    assert len(plan_live(live, options(mode=Mode.ONE_PER_CLASS)).probes) == 4
    bounded = plan_live(live, options(max_probe_pods=6))
    assert bounded.chosen, "those that notice most are chosen, and nothing is refused"
    assert len(bounded.probes) <= 6
    said = refusal(REPLICATED, max_probe_pods=6)
    assert said.endswith(
        "a second one shows what pods of one group send each other; leave it out by --one-per-class, or allow more "
        "with --max-probe-pods"
    )


def test_a_number_beyond_all_measure_is_not_counted_to_the_end():
    said = refusal(SPLIT, max_probe_pods=3)
    assert said.startswith("this audit would create more than 60 probe pods in ")
    assert "without it there would be 2;" in said


def test_nothing_is_evaluated_before_the_limit_is_found_to_be_passed(monkeypatch):
    def evaluate(_snapshot):
        raise AssertionError

    monkeypatch.setattr("auditor.run.live_plan.evaluate", evaluate)
    assert "policy evil/split" in refusal(SPLIT)
    assert "--all-pods" in refusal(BUSY, max_probe_pods=20, mode=Mode.ALL_PODS)


@pytest.mark.parametrize(
    ("mode", "option", "without"),
    [(Mode.ALL_PODS, "--all-pods", "64 probe pods"), (Mode.PER_NODE, "--per-node", "8 probe pods in")],
)
def test_what_an_option_asks_for_is_put_down_to_the_option(mode, option, without):
    said = refusal(BUSY, max_probe_pods=6, mode=mode)
    assert f"{without}" in said
    assert said.endswith(
        f": {option} asks for them; narrow it down by -n or -l, leave {option} out, or allow more with --max-probe-pods"
    )


def test_where_every_policy_has_its_share_of_them_none_is_blamed():
    names = [f"n{number}" for number in range(60)]
    many = cluster(
        pod("prod/web-1", {"app": "web"}, "10.0.0.1", node="n"),
        *(pod(f"{name}/{app}", {"app": app}, node="n") for name in names for app in ("a", "b")),
        policies=[policy(f"{name}/{app}", {"app": app}, ingress=[]) for name in names for app in ("a", "b")],
    )
    assert refusal(many).endswith(
        "the policies in force tell too many groups of pods apart; allow more with --max-probe-pods"
    )


def test_in_place_the_pods_are_counted_that_get_something_put_into_them():
    assert len(plan_live(LiveSnapshot(SPLIT), options(in_place=True)).members) == 64
    assert refusal(SPLIT, in_place=True, max_probe_pods=63).startswith(
        "this audit would put an ephemeral container into 64 pods in 1 namespace, more than --max-probe-pods 63: "
        "policy evil/split tells "
    )
    assert "more than 60 groups of pods" in refusal(
        SPLIT, in_place=True, selector=LabelSelector(((INDEX, "0"),)), max_probe_pods=3
    )


def test_where_all_would_be_too_many_as_few_are_chosen_as_notice_all_there_is():
    planned = plan_live(LiveSnapshot(SPLIT), options())
    assert 2 <= len(planned.probes) <= 4
    noticing = planned.chosen.ledger.of(planned.chosen.connections)
    assert noticing.noticed == noticing.ways > 0
    assert str(noticing).startswith(
        f"would notice {noticing.ways} of {noticing.ways} ways in which this 1 policy could"
    )
    assert planned.remarks[1] == str(noticing)


def test_policies_of_administrators_are_chosen_for_and_counted_like_others():
    everybody = LabelSelector()
    deny = AdminRule(Action.DENY, (AdminPeer(everybody, everybody),))
    guard = AdminPolicy("ClusterNetworkPolicy", "guard", AdminTier.ADMIN, 1, everybody, everybody, (deny,))
    alone = replace(SPLIT, policies=(), admin_policies=(guard,))
    planned = plan_live(LiveSnapshot(alone), options(coverage=1.0))
    noticing = planned.chosen.ledger.of(planned.chosen.connections)
    assert (noticing.policies, noticing.noticed) == (1, noticing.ways)
    assert noticing.ways > 0
    assert "prod" in {probe.namespace for probe in planned.probes}


def test_what_the_limit_has_no_room_for_is_said_and_counts_as_absent():
    planned = plan_live(LiveSnapshot(LADDER), everywhere(max_probe_pods=4))
    noticing = planned.chosen.ledger.of(planned.chosen.connections)
    assert len(planned.probes) == 4
    assert 0 < noticing.noticed < noticing.ways
    assert "; not: " in planned.remarks[1]
    assert set(planned.absent.values()) == {"more than --max-probe-pods 4"}
    assert planned.absent.keys() <= planned.scope
    tried = {end for one in planned.chosen.connections for end in (one.source, one.destination)}
    assert tried.isdisjoint(planned.absent)


def test_where_there_is_nothing_to_notice_or_no_room_for_it_that_is_said():
    nothing = replace(SPLIT, policies=tuple(each for each in SPLIT.policies if each.namespace == "evil"))
    with pytest.raises(UsageError, match=r"no policy of namespace prod decides anything.* --everything"):
        plan_live(LiveSnapshot(nothing), options(max_probe_pods=50))
    with pytest.raises(LimitError, match=r"no two probe pods.* --max-probe-pods 1"):
        plan_live(LiveSnapshot(LADDER), everywhere(max_probe_pods=1))


def test_a_share_can_be_asked_for_and_a_number_of_connections():
    whole = plan_live(LiveSnapshot(LADDER), everywhere(coverage=1.0))
    half = plan_live(LiveSnapshot(LADDER), everywhere(coverage=0.5))
    few = plan_live(LiveSnapshot(LADDER), everywhere(max_connections=5))
    shares = [each.chosen.ledger.of(each.chosen.connections).share for each in (whole, half, few)]
    assert shares[0] == 1.0
    assert 0.5 <= shares[1] < 1.0
    assert len(half.probes) < len(whole.probes)
    assert len(few.chosen.connections) == 5
    assert 0 < shares[2] < 1.0


def test_a_choice_is_the_same_each_time_and_as_small_in_another_order():
    turned = replace(LADDER, endpoints=LADDER.endpoints[::-1], policies=LADDER.policies[::-1])
    one, other = (plan_live(LiveSnapshot(each), everywhere(max_probe_pods=5)) for each in (LADDER, LADDER))
    assert one.probes == other.probes
    assert one.chosen.connections == other.chosen.connections
    assert len(plan_live(LiveSnapshot(turned), everywhere(max_probe_pods=5)).probes) == len(one.probes)


def test_where_nothing_is_audited_that_is_what_is_said():
    with pytest.raises(UsageError, match="nothing to audit"):
        plan_live(LiveSnapshot(SPLIT), options(selector=LabelSelector((("app", "none"),))))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_probe_pod_says_which_workloads_it_stands_for(in_place):
    """Their names are the same on other nights, whichever pod gives the probe pod its name."""
    alike = [
        replace(
            pod(f"prod/{name}-7d4b9c-{suffix}", {"pod-template-hash": "7d4b9c"}, f"10.0.1.{number}", node="n"),
            workload=f"ReplicaSet/{name}-7d4b9c",
        )
        for number, (name, suffix) in enumerate([("b", "x"), ("a", "y"), ("b", "z")])
    ]
    known = cluster(DB, *alike, node("n", "192.0.2.1"), policies=[policy("prod/db", {"app": "db"}, ingress=[])])
    planned = plan_live(LiveSnapshot(known), options(in_place=in_place))
    told = {endpoint.stands_for for endpoint in planned.snapshot.endpoints}
    assert told == {("prod/db-1",), ("prod/a", "prod/b")}


def test_in_place_a_pod_of_the_namespace_and_node_that_were_chosen_is_joined():
    ends = [
        pod("aaa/web-0", {"app": "web"}, "10.0.1.1", node="n1"),
        pod("prod/web-1", {"app": "web"}, "10.0.1.2", node="n1"),
        pod("prod/web-2", {"app": "web"}, "10.0.1.3", node="n2"),
        pod("prod/db-1", {"app": "db"}, "10.0.1.4", node="n1"),
    ]
    snapshot = cluster(*ends, policies=[policy("prod/db", {"app": "db"}, ingress=[])])
    planned = in_place(snapshot, ("aaa", "prod"))
    (probe,) = (probe for probe in planned.probes if len(probe.stands_for) == 3)
    assert (probe.namespace, probe.node) == ("prod", "n2")
    assert planned.members[probe.name] == ("prod", "web-2")


@pytest.mark.parametrize(("in_place", "borne"), [(False, 1.0), (True, None)])
def test_pods_that_are_joined_are_not_new_and_may_have_been_open(in_place, borne):
    planned = plan_live(LiveSnapshot(SNAPSHOT), options(in_place=in_place))
    asked = AuditOptions(probing=ProbingOptions(late_isolation=1.0))
    assert narrowed(asked, planned, in_place=in_place).probing.late_isolation == borne
