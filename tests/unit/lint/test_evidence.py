"""What may lie outside the input is no warning: only what is in it can show that something isn't meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.lint import lint
from auditor.lint.likeness import is_slip
from auditor.model.lint import Severity
from auditor.model.skipped import MAKES_PODS, Cause, Skipped
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.lint.case import cluster
from tests.unit.lint.test_details import namespace, pod, pods, policy, service


def grave(*objects, complete=False, skipped=()):
    snapshot = replace(cluster(*objects), skipped=skipped)
    found = lint(snapshot, complete=complete)
    return sorted(each.check for each in found if each.severity is not Severity.INFO)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("front-end", "frontend"),
        ("cart", "carts"),
        ("cart-db", "carts-db"),
        ("databse", "database"),
        ("dtaabase", "database"),
        ("Web_Server", "web-server"),
        ("backend", "backand"),
    ],
)
def test_slips(one, other):
    assert is_slip(one, other)
    assert is_slip(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rook-ceph-mon", "rook-ceph-mgr"),
        ("api", "app"),
        ("web", "wab"),
        ("project", "project-v4"),
        ("ml-pipeline", "ml-pipeline-ui"),
        ("frontend", "backend"),
        ("abcdef", "fedcba"),
        ("reader", "readers-x"),
    ],
)
def test_other_words(one, other):
    assert not is_slip(one, other)
    assert not is_slip(other, one)


def labelled(name: str, /, **labels: str):
    one = pod(name)
    return {**one, "metadata": {**one["metadata"], "labels": labels}}


def test_a_slip_is_one_label_of_a_pod_that_has_all_the_others():
    asked = policy("prod/x", {"app": "cart", "tier": "db"})
    assert grave(labelled("prod/a", app="carts", tier="db"), asked) == ["selects-no-pod"]
    assert grave(labelled("prod/a", app="carts", tier="web"), asked) == []


def test_what_somebody_has_is_not_misspelt():
    asked = policy("prod/x", {"app": "cart"})
    near = pod("prod/carts")
    assert grave(near, asked) == ["selects-no-pod"]
    assert grave(near, asked, service("prod/cart", {"app": "cart"}, 80, 80)) == []
    peer = policy("prod/y", {"app": "carts"}, ingress=[{"from": [pods(app="cart")]}])
    assert grave(near, pod("dev/cart"), peer, policy("dev/z", {"app": "cart"}), skipped=KUSTOMIZED) == []


KUSTOMIZED = (Skipped(Cause.KUSTOMIZATION, "base/kustomization.yaml"),)


def test_a_value_under_another_key_of_a_pod_that_has_the_key_is_not_a_slip():
    asked = policy("prod/x", {"app": "cart"})
    assert grave(labelled("prod/a", name="cart"), asked) == ["selects-no-pod"]
    assert grave(labelled("prod/a", name="cart", app="shop"), asked) == []
    assert grave(labelled("prod/a", name="cart"), asked, skipped=KUSTOMIZED) == []


@pytest.mark.parametrize("skipped", [KUSTOMIZED, (Skipped(Cause.TEMPLATE, "chart/templates/a.yaml"),)])
def test_namespaces_of_what_is_still_to_be_rendered_show_nothing(skipped):
    objects = (pod("dev/cart"), pod("prod/web"), policy("prod/x", {"app": "cart"}))
    assert grave(*objects) == ["selects-no-pod"]
    assert grave(*objects, skipped=skipped) == []
    assert grave(*objects, skipped=skipped, complete=True) == ["selects-no-pod"]


def test_the_namespace_of_files_that_name_none_shows_nothing():
    objects = (pod("default/cart"), pod("prod/web"), policy("prod/x", {"app": "cart"}))
    assert grave(*objects) == []
    assert grave(*objects, namespace("default")) == ["selects-no-pod"]


def test_templates_change_no_label_of_a_namespace_that_is_given():
    ask = {"from": [{"namespaceSelector": {"matchLabels": {"name": "prod"}}}]}
    objects = (pod("data/db"), namespace("prod"), policy("data/db", ingress=[ask]))
    template = (Skipped(Cause.TEMPLATE, "chart/templates/a.yaml"), Skipped(Cause.CHART, "chart/Chart.yaml"))
    assert grave(*objects, skipped=template) == ["namespace-label-missing"]
    assert grave(*objects, skipped=KUSTOMIZED) == []


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([{"port": 53, "protocol": "UDP"}, {"port": 53}, {"port": 5353}], []),
        ([{"port": 53, "protocol": "UDP"}, {"port": 443}], ["allow-all-undoes-others"]),
        ([{"port": 53, "endPort": 9999}], ["allow-all-undoes-others"]),
    ],
)
def test_dns_beside_everything_is_not_undone(ports, found):
    everything = policy("ops/out", {"app": "web"}, policyTypes=["Egress"], egress=[{}, {"ports": ports}])
    assert grave(pod("ops/web"), everything) == found


YET = ["peer-not-there-yet", "selects-no-pod-yet"]


def checks(*objects, complete=False, **left_out):
    found = {each.check for each in lint(replace(cluster(*objects), **left_out), complete=complete)}
    return sorted(found & {*YET, "namespace-without-policy"})


@pytest.mark.parametrize("left_out", [{"skipped": KUSTOMIZED}, {"ignored": {f"Kafka ({MAKES_PODS})": 1}}])
def test_pods_that_are_still_to_come_are_not_missing(left_out):
    asked = policy("prod/x", {"job": "night"}, ingress=[{"from": [pods(job="day")]}])
    objects = (pod("prod/web"), asked)
    assert checks(*objects) == YET
    assert checks(*objects, **left_out) == []
    assert checks(*objects, **left_out, complete=True) == YET
    unplaced = (pod("default/web"), {**asked, "metadata": {"name": "x", "namespace": "default"}})
    assert checks(*unplaced) == []
    assert checks(*unplaced, namespace("default")) == YET


def test_policies_are_expected_of_each_namespace_where_most_have_some():
    first = (pod("a/web"), policy("a/x"), pod("b/web"))
    assert checks(*first) == ["namespace-without-policy"]
    assert checks(*first, pod("c/web")) == []
    assert checks(*first, pod("c/web"), complete=True) == ["namespace-without-policy"]


def test_policies_that_are_still_to_be_rendered_may_select_whatever_pod():
    snapshot = cluster(pod("a/web"), pod("a/db"), policy("a/x", {"app": "web"}), pod("b/web"))
    about_policies = {"unprotected-pod", "no-default-deny", "namespace-without-policy"}
    assert {each.check for each in lint(snapshot, complete=False)} >= about_policies
    template = replace(snapshot, skipped=(Skipped(Cause.TEMPLATE, "chart/templates/a.yaml", kind="NetworkPolicy"),))
    assert about_policies.isdisjoint(each.check for each in lint(template, complete=False))


def test_only_pods_behind_a_service_are_said_to_be():
    objects = (pod("a/web"), pod("a/db"), policy("a/deny"), service("a/db", {"app": "db"}, 5432, 5432))
    (found,) = (each for each in lint(cluster(*objects)) if each.check == "closed-service")
    assert "Service a/db leads to a/db on TCP/5432" in found.message


@pytest.mark.parametrize("complete", [True, False])
def test_a_default_deny_is_there_for_whatever_comes(complete):
    node_agent = {**pod("ops/agent"), "spec": {"hostNetwork": True, "containers": [{"name": "c"}]}}
    assert grave(node_agent, policy("ops/deny"), complete=complete) == []
    assert grave(node_agent, policy("ops/agent", {"app": "agent"}), complete=complete) == ["selects-host-network"]


@pytest.mark.parametrize("space", ["prod", "kube-system"])
def test_a_namespace_that_is_not_in_the_input_may_have_any_label(space):
    ask = {"from": [{"namespaceSelector": {"matchLabels": {"name": space}}}]}
    objects = (pod("data/db"), pod(f"{space}/x"), policy("data/db", ingress=[ask]))
    assert grave(*objects) == []
    assert grave(*objects, namespace(space)) == ["namespace-label-missing"]


def test_ports_of_pods_that_may_not_be_in_the_input_are_not_known():
    web = pod("prod/web", spec={"containers": [{"name": "c", "ports": [{"containerPort": 53}]}]})
    ask = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}
    objects = (web, policy("prod/dns", policyTypes=["Egress"], egress=[ask]))
    assert grave(*objects) == []
    assert "wrong-protocol" in grave(pod("kube-system/x"), *objects, complete=True)


def test_peers_that_only_host_network_pods_match_are_reported_where_there_is_no_other_pod():
    edge = {**pod("edge/ing"), "spec": {"hostNetwork": True, "containers": [{"name": "c"}]}}
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}, **pods(app="ing")}
    assert grave(edge, pod("prod/web"), policy("prod/web", ingress=[{"from": [peer]}])) == ["peer-matches-nothing"]


def test_of_policies_alone_is_reported_what_they_say_of_each_other():
    objects = (
        policy("prod/out", {"app": "web"}, policyTypes=["Egress"], egress=[{"to": [pods(app="db")]}]),
        policy("prod/all", {"app": "db"}, ingress=[{}, {"from": [pods(app="web")], "ports": [{"port": 5432}]}]),
        policy(
            "prod/none",
            {"app": "api"},
            ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/25", "10.0.0.128/25"]}}]}],
        ),
    )
    assert grave(*objects) == ["allow-all-undoes-others", "egress-without-dns", "empty-block"]
    assert grave(*objects, pod("dev/x")) == ["allow-all-undoes-others", "egress-without-dns", "empty-block"]


NULLS = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: b}
spec:
  podSelector:
  ingress:
  -
  - from: []
    ports:
  - from:
    - podSelector: {matchLabels: }
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.2.3/16, 10.2.0.0/16]}
  - {from: [{podSelector: {}}], ports: [{port: 1}]}
  egress:
"""


def test_nulls_and_host_bits_are_found_wherever_they_stand():
    (read,) = read_snapshot([Source("a.yaml", NULLS.encode())]).policies
    assert [(each.kind.value, each.path, each.line) for each in read.oddities] == [
        ("null selector", "spec.podSelector", 6),
        ("null rule", "spec.ingress[0]", 8),
        ("empty list", "spec.ingress[1].from", 9),
        ("null list", "spec.ingress[1].ports", 10),
        ("null selector", "spec.ingress[2].from[0].podSelector.matchLabels", 12),
        ("host bits", "spec.ingress[2].from[1].ipBlock.except[0]", 13),
    ]


HOOK = {"service": {"namespace": "ops", "name": "hook"}}
CALLERS = [
    {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.x"}, "spec": HOOK},
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "m"},
        "webhooks": [{"clientConfig": HOOK}],
    },
]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("peer", "fires"),
    [
        (pods(app="x"), True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dev"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}, False),
        ({"namespaceSelector": {}}, False),
        ({"ipBlock": {"cidr": "10.0.0.0/24"}}, False),
    ],
)
def test_the_api_server_is_no_pod(caller, peer, fires):
    objects = (pod("ops/hook"), service("ops/hook", {"app": "hook"}, 443, 9443), caller)
    found = grave(*objects, policy("ops/hook", ingress=[{"from": [peer], "ports": [{"port": 9443}]}]))
    assert ("closed-to-api-server" in found) is fires


@pytest.mark.parametrize("broken", [{}, {"webhooks": None}, {"webhooks": [None, {"clientConfig": []}]}])
def test_a_broken_webhook_is_passed_over(broken):
    hook = {**CALLERS[1], **broken} if broken else {"apiVersion": CALLERS[1]["apiVersion"], "kind": CALLERS[1]["kind"]}
    assert cluster(hook).api_server_calls == ()


def test_policies_without_a_namespace_and_without_pods_need_not_be_for_one_namespace():
    wide, narrow = policy("default/all", ingress=[{}]), policy("default/few", ingress=[{"from": [pods(app="x")]}])
    assert grave(wide, narrow) == []
    assert grave(wide, narrow, namespace("default")) == ["allow-all-undoes-others"]


def test_files_with_two_versions_of_a_policy_are_not_all_for_one_cluster():
    wide, narrow = policy("prod/all", ingress=[{}]), policy("prod/few", ingress=[{"from": [pods(app="x")]}])
    snapshot = cluster(pod("prod/web"), wide, narrow)
    for variants, count in (((), 1), (snapshot.policies[:1], 0)):
        found = lint(replace(snapshot, variants=variants), complete=False)
        assert sum(each.check == "allow-all-undoes-others" for each in found) == count


def test_a_default_deny_without_a_namespace_need_not_be_for_the_services_of_other_files():
    objects = (pod("default/db"), service("default/db", {"app": "db"}, 80, 80), policy("default/deny"))
    assert grave(*objects) == []
    assert grave(*objects, namespace("default")) == ["closed-service"]


def balanced(**spec):
    made = service("shop/gate", {"app": "gate"}, 443, 8443, ip="10.96.0.9")
    return {**made, "spec": {**made["spec"], "type": "LoadBalancer", **spec}}


LOCAL = {"externalTrafficPolicy": "Local"}
OFFICE = {"ipBlock": {"cidr": "203.0.113.0/24"}}
NODES = {"ipBlock": {"cidr": "192.168.0.0/30"}}
BY_SYSTEM = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}


def ranged(*ranges):
    return {**LOCAL, "loadBalancerSourceRanges": list(ranges)}


@pytest.mark.parametrize(
    ("spec", "peers", "found"),
    [
        ({}, [pods(app="web")], ["closed-to-outside"]),
        (LOCAL, [pods(app="web")], ["closed-to-outside"]),
        ({}, [pods(app="web"), OFFICE], []),
        (LOCAL, [OFFICE], []),
        # It may come with a node's address unless the source is kept; those of nodes are not outside.
        ({}, [NODES], []),
        (LOCAL, [NODES], ["closed-to-outside"]),
        ({}, [BY_SYSTEM], []),
        (LOCAL, [BY_SYSTEM], []),
        (ranged("203.0.113.0/28"), [OFFICE], []),
        (ranged("198.51.100.0/24", "2001:db8::/64"), [OFFICE], ["closed-to-outside"]),
        ({"type": "NodePort"}, [pods(app="web")], []),
        ({}, [], []),
    ],
)
def test_a_load_balancer_is_for_addresses_outside(spec, peers, found):
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"n{number}"},
            "status": {"addresses": [{"type": "InternalIP", "address": f"192.168.0.{number}"}]},
        }
        for number in range(4)
    ]
    rule = {"ports": [{"port": 8443}], **({"from": peers} if peers else {})}
    gate = {**pod("shop/gate"), "status": {"podIP": "10.244.0.5"}}
    objects = (gate, pod("shop/web"), *nodes, balanced(**spec), policy("shop/gate", {"app": "gate"}, ingress=[rule]))
    assert grave(*objects) == found
