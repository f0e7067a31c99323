"""Where checks draw the line: what looks like a finding and isn't, and what takes a second look to be one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from auditor.lint import lint
from auditor.model.labels import LabelSelector
from auditor.model.lint import LintFinding
from auditor.model.policy import UnknownPolicy
from tests.unit.lint.case import case, cluster


def pod(name: str, **more: Any) -> dict[str, Any]:
    namespace, _, app = name.partition("/")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": app, "namespace": namespace, "labels": {"app": app}},
        **more,
    }


def namespace(space: str, /, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}}


def policy(name: str, selector: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    space, _, own = name.partition("/")
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": own, "namespace": space},
        "spec": {"podSelector": {"matchLabels": selector or {}}, **spec},
    }


def service(
    name: str, selector: dict[str, str] | None, port: int, target: int | str, protocol: str = "TCP", ip: str = "None"
) -> dict:
    space, _, own = name.partition("/")
    ports = [{"port": port, "targetPort": target, "protocol": protocol}]
    spec = {"ports": ports, "clusterIP": ip, **({"selector": selector} if selector else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": own, "namespace": space}, "spec": spec}


def pods(**labels: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels}}


def told(check: str, *objects: dict[str, Any]) -> list[LintFinding]:
    return [finding for finding in lint(cluster(*objects)) if finding.check == check]


DNS = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
}
TO_ALL = {"namespaceSelector": {}}
UDP_53 = {"protocol": "UDP", "port": 53}


def dns_rule(port: object = 53, peer: dict[str, Any] = TO_ALL) -> dict[str, Any]:
    return {"to": [peer], "ports": [{"protocol": "UDP", "port": port}]}


@pytest.mark.parametrize(
    ("rules", "fires"),
    [
        ([{"to": [TO_ALL], "ports": [{"port": 443}]}], True),
        ([{"to": [TO_ALL], "ports": [{"port": 53}]}], True),
        ([{"to": [TO_ALL]}], False),
        ([dns_rule()], False),
        ([dns_rule(peer=pods(app="web"))], True),
        ([{"to": [pods(app="web")]}, dns_rule(peer={"ipBlock": {"cidr": "169.254.20.10/32"}})], False),
        ([{"to": [{"ipBlock": {"cidr": "192.168.5.10/32"}}]}], False),
        ([{"to": [{"ipBlock": {"cidr": "192.168.5.0/24"}}]}], True),
        ([], False),
    ],
)
def test_dns_is_missed_by_pods_that_send_to_more_than_addresses(rules, fires):
    objects = (pod("prod/web"), DNS, policy("prod/out", policyTypes=["Egress"], egress=rules))
    assert bool(told("egress-without-dns", *objects)) is fires


@pytest.mark.parametrize(("port", "fires"), [(53, True), (5353, False)])
def test_dns_listens_where_its_service_sends_to(port, fires):
    dns = service("kube-system/kube-dns", {"k8s-app": "kube-dns"}, 53, 5353, "UDP", "10.96.0.10")
    objects = (pod("prod/web"), DNS, dns, policy("prod/out", egress=[dns_rule(port)]))
    assert bool(told("egress-without-dns", *objects)) is fires


@pytest.mark.parametrize(("cidr", "fires"), [("10.96.0.10/32", False), ("10.96.0.11/32", True)])
def test_the_address_of_the_dns_service_counts(cidr, fires):
    dns = service("kube-system/kube-dns", {"k8s-app": "kube-dns"}, 53, 53, "UDP", "10.96.0.10")
    rules = [{"to": [pods(app="web")]}, dns_rule(peer={"ipBlock": {"cidr": cidr}})]
    assert bool(told("egress-without-dns", pod("prod/web"), DNS, dns, policy("prod/out", egress=rules))) is fires


KUBE_DNS = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}


def by_name(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


@pytest.mark.parametrize(
    ("rules", "fires"),
    [
        ([dns_rule(peer=pods(app="web"))], True),
        ([dns_rule(peer=by_name("shop"))], True),
        ([dns_rule(peer={"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x", "a": "b"}}})], True),
        ([dns_rule(443)], True),
        ([dns_rule(peer=by_name("kube-system"))], False),
        ([dns_rule(5353, by_name("openshift-dns"))], False),
        ([dns_rule(peer={"namespaceSelector": {"matchLabels": {"name": "kube-system"}}})], False),
        ([dns_rule(peer=KUBE_DNS)], False),
        ([dns_rule("dns", by_name("kube-system"))], False),
        ([dns_rule(peer={"ipBlock": {"cidr": "169.254.20.10/32"}}), {"to": [pods(app="web")]}], False),
        ([dns_rule(peer={"ipBlock": {"cidr": "8.8.8.8/32"}}), {"to": [pods(app="web")]}], False),
        ([{"ports": [UDP_53]}], False),
    ],
)
@pytest.mark.parametrize("there", [(pod("prod/web"),), ()])
def test_where_no_dns_pod_is_known_a_rule_counts_that_may_mean_one(rules, fires, there):
    """With pods and, of policies alone, without."""
    out = policy("prod/out", policyTypes=["Egress"], egress=rules)
    found = lint(cluster(*there, out), complete=False)
    assert bool([each for each in found if each.check == "egress-without-dns"]) is fires


@pytest.mark.parametrize(("ports", "fires"), [([6443], False), ([443, 6443], False), ([443], True), ([6443, 80], True)])
def test_the_api_server_is_found_without_dns(ports, fires):
    out = policy("prod/out", policyTypes=["Egress"], egress=[{"ports": [{"port": port} for port in ports]}])
    assert bool(told("egress-without-dns", pod("prod/web"), out)) is fires


def test_the_dns_pods_themselves_need_none():
    out = policy("kube-system/dns", egress=[{"to": [TO_ALL], "ports": [{"port": 443}]}])
    assert told("egress-without-dns", DNS, out) == []


def test_rules_together_shadow_one_that_none_of_them_shadows_alone():
    wide = {"from": [pods()]}
    objects = (
        pod("prod/db"),
        policy("prod/low", ingress=[{**wide, "ports": [{"port": 1, "endPort": 999}]}]),
        policy("prod/high", ingress=[{**wide, "ports": [{"port": 1000, "endPort": 2000}]}]),
        policy("prod/both", ingress=[{"from": [pods(app="web")], "ports": [{"port": 900, "endPort": 1100}]}]),
    )
    (finding,) = told("shadowed-rule", *objects)
    assert finding.place.subject == "prod/both"
    assert "prod/low ingress[0]" in finding.message
    assert "prod/high ingress[0]" in finding.message


def test_of_equal_rules_one_is_told():
    rule = {"from": [pods(app="web")], "ports": [{"port": "sql"}]}
    objects = (
        pod("prod/db"),
        policy("prod/a", ingress=[rule]),
        policy("prod/b", ingress=[rule]),
        policy("prod/c", ingress=[rule]),
    )
    assert [finding.place.subject for finding in told("shadowed-rule", *objects)] == ["prod/b", "prod/c"]


def test_what_holds_by_chance_only_shadows_nothing():
    web = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "w", "namespace": "prod", "labels": {"app": "web", "team": "a"}},
    }
    objects = (
        web,
        policy("prod/team", ingress=[{"from": [pods(team="a")]}]),
        policy("prod/app", ingress=[{"from": [pods(app="web")]}]),
        policy("prod/web", {"app": "web"}, ingress=[{"from": [pods(team="a")], "ports": [{"port": 80}]}]),
        policy("prod/team-a", {"team": "a"}, ingress=[{"from": [pods(app="web")], "ports": [{"port": "http"}]}]),
    )
    assert [finding.place.subject for finding in told("shadowed-rule", *objects)] == ["prod/team-a", "prod/web"]
    narrower = (
        web,
        policy("prod/app", {"app": "web"}, ingress=[{"from": [pods()]}]),
        policy("prod/all", {"team": "a"}, ingress=[{"from": [pods()]}]),
    )
    assert told("shadowed-rule", *narrower) == []


def test_rules_that_an_allow_all_shadows_are_told_once():
    objects = (
        pod("prod/web"),
        policy("prod/open", ingress=[{}]),
        policy("prod/web", ingress=[{"from": [pods(app="x")]}]),
    )
    assert told("shadowed-rule", *objects) == []
    assert len(told("allow-all-undoes-others", *objects)) == 1


def test_an_except_that_is_opened_again_on_another_port_has_its_effect():
    objects = (
        pod("prod/web"),
        policy(
            "prod/a",
            ingress=[
                {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}
            ],
        ),
        policy("prod/b", ingress=[{"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 81}]}]),
    )
    assert told("except-opened-again", *objects) == []


def test_two_peers_that_a_third_one_includes_are_no_slip():
    peers = [pods(app="api"), {"namespaceSelector": {"matchLabels": {"name": "prod"}}}, TO_ALL]
    objects = (
        namespace("prod", name="prod"),
        pod("prod/api"),
        pod("prod/web"),
        pod("data/db"),
        policy("data/db", ingress=[{"from": peers}]),
    )
    assert told("two-peers-one-dash", *objects) == []
    objects = (*objects[:-1], policy("data/db", ingress=[{"from": peers[:2]}]))
    assert len(told("two-peers-one-dash", *objects)) == 1


def test_a_pod_alone_reaches_itself_without_two_peers():
    peers = [pods(app="api"), {"namespaceSelector": {"matchLabels": {"name": "prod"}}}]
    objects = (
        namespace("prod", name="prod"),
        pod("prod/api"),
        pod("prod/db"),
        policy("prod/db", {"app": "db"}, ingress=[{"from": peers}]),
    )
    assert told("two-peers-one-dash", *objects) == []


def test_an_empty_pod_selector_beside_a_namespace_selector_is_meant():
    peers = [pods(), {"namespaceSelector": {"matchLabels": {"name": "prod"}}}]
    objects = (
        namespace("prod", name="prod"),
        pod("prod/api"),
        pod("data/db"),
        pod("data/api"),
        policy("data/db", ingress=[{"from": peers}]),
    )
    assert told("two-peers-one-dash", *objects) == []


def test_only_an_egress_rule_names_the_address_of_a_service():
    db = service("data/db", None, 5432, 5432, ip="10.96.0.20")
    block = [{"ipBlock": {"cidr": "10.96.0.0/16"}}]
    assert told("block-covers-services", pod("prod/web"), db, policy("prod/web", ingress=[{"from": block}])) == []
    assert len(told("block-covers-services", pod("prod/web"), db, policy("prod/web", egress=[{"to": block}]))) == 1


def test_half_of_the_address_space_is_the_internet():
    block = [{"ipBlock": {"cidr": "0.0.0.0/1"}}]
    objects = (pod("prod/web", status={"podIP": "10.244.0.5"}), policy("prod/web", egress=[{"to": block}]))
    assert told("block-covers-pods", *objects) == []
    assert len(told("internet-block-covers-pods", *objects)) == 1


def test_a_named_target_is_looked_up_on_each_pod():
    web = pod("prod/web", spec={"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]})
    objects = (
        web,
        service("prod/web", {"app": "web"}, 80, "http"),
        policy("prod/web", ingress=[{"ports": [{"port": 80}]}]),
    )
    (finding,) = told("service-port-not-target-port", *objects)
    assert "listen on 8080" in finding.message


def test_a_service_without_a_selector_sends_nowhere():
    objects = (
        pod("prod/web"),
        service("prod/web", None, 80, 8080),
        policy("prod/web", ingress=[{"ports": [{"port": 80}]}]),
    )
    assert told("service-port-not-target-port", *objects) == []


@pytest.mark.parametrize(
    "check", ["unprotected-pod", "no-default-deny", "egress-without-dns", "half-open-path", "namespace-without-policy"]
)
def test_where_a_policy_can_not_be_read_nothing_is_said_of_what_it_may_do(check):
    pair = case(check)
    snapshot = cluster(*pair["common"], *pair["fires"])
    spaces = {endpoint.namespace for endpoint in snapshot.endpoints}
    unknown = tuple(UnknownPolicy(space, "new", LabelSelector(), "an unknown field") for space in spaces)
    assert [finding for finding in lint(replace(snapshot, unknown=unknown)) if finding.check == check] == []


def test_a_policy_for_host_network_pods_is_told_once():
    pair = case("selects-host-network")
    assert told("selects-no-pod", *pair["common"], *pair["fires"]) == []


def test_the_namespaces_of_the_cluster_itself_need_no_policy():
    assert [
        finding.place.subject for finding in told("namespace-without-policy", DNS, pod("dev/web"), policy("prod/deny"))
    ] == ["dev"]


def test_pods_of_one_workload_are_named_once():
    def replica(number: int) -> dict[str, Any]:
        one = pod("prod/web")
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web-5cfcbcfcdb",
            "uid": "1",
            "controller": True,
        }
        labels = {"app": "web", "pod-template-hash": "5cfcbcfcdb"}
        return {
            **one,
            "metadata": {
                "name": f"web-5cfcbcfcdb-{number}",
                "namespace": "prod",
                "labels": labels,
                "ownerReferences": [owner],
            },
        }

    objects = (replica(1), replica(2), pod("prod/db"), policy("prod/db", {"app": "db"}))
    (finding,) = told("unprotected-pod", *objects)
    assert finding.message == "no policy selects prod/web: open in both directions"


@pytest.mark.parametrize(("number", "fires"), [(9090, True), (8080, False)])
def test_a_named_port_opens_a_path_only_to_pods_that_mean_that_number(number, fires):
    def declaring(name: str, port: int) -> dict[str, Any]:
        return pod(name, spec={"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]})

    objects = (
        pod("prod/api"),
        declaring("prod/db", number),
        declaring("prod/web", 8080),
        policy("prod/db", {"app": "db"}, ingress=[{"from": [pods(app="api")], "ports": [{"port": 8080}]}]),
        policy(
            "prod/api", {"app": "api"}, policyTypes=["Egress"], egress=[{"to": [pods()], "ports": [{"port": "http"}]}]
        ),
    )
    assert bool(told("half-open-path", *objects)) is fires
