"""What lint says to write instead, written instead: it does what it says and opens nothing else. And no alarm about
what people write.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from auditor.lint import lint
from auditor.model.lint import Severity, put_together
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.lint.case import cluster
from tests.unit.lint.test_details import DNS, TO_ALL, namespace, pod, pods, policy, service, told

REALISTIC = Path(__file__).parent / "realistic.yaml"


def grave(*objects, complete=True):
    return [finding for finding in lint(cluster(*objects), complete=complete) if finding.severity is not Severity.INFO]


def test_a_namespace_as_people_write_it_raises_no_alarm():
    snapshot = read_snapshot([Source("realistic.yaml", REALISTIC.read_bytes())])
    found = lint(snapshot)
    assert [f"{each.check} {each.place}: {each.message}" for each in found if each.severity is not Severity.INFO] == []
    assert {"selects-no-pod-yet", "peer-not-there-yet"} <= {each.check for each in found}


@pytest.mark.parametrize("complete", [True, False])
def test_dns_rules_of_a_repository_without_kube_system_are_no_half_open_path(complete):
    ask = {"to": [TO_ALL], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}
    there = (namespace("prod", team="a"), pod("prod/web"), pod("prod/api"))
    objects = (*there, policy("prod/web", policyTypes=["Ingress", "Egress"], egress=[ask]))
    assert grave(*objects, complete=complete) == []


def test_a_namespace_by_its_name_is_known_from_files_and_one_by_its_labels_is_not():
    deny = policy("dev/deny", policyTypes=["Egress"])
    by_name = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dev"}}}
    by_label = {"namespaceSelector": {"matchLabels": {"team": "dev"}}}
    objects = (namespace("dev", team="dev"), pod("dev/web"), pod("prod/db"), deny)
    for peer, count in ((by_name, 1), (by_label, 0)):
        assert len(grave(*objects, policy("prod/db", ingress=[{"from": [peer]}]), complete=False)) == count


@pytest.mark.parametrize(("cidr", "fires"), [("10.0.0.0/8", False), ("203.0.113.0/24", True)])
def test_a_pod_whose_address_is_not_known_may_be_in_a_private_range(cidr, fires):
    out = policy("prod/web", {"app": "web"}, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": cidr}}]}])
    inward = policy("prod/db", {"app": "db"}, ingress=[{"from": [pods(app="web")]}])
    assert bool(told("half-open-path", pod("prod/web"), pod("prod/db"), out, inward)) is fires


def test_pods_with_the_network_of_their_node_are_named_as_what_they_are():
    server = pod("kube-system/apiserver", spec={"hostNetwork": True})
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        **pods(app="apiserver"),
    }
    objects = (server, DNS, pod("prod/hook"), policy("prod/hook", ingress=[{"from": [peer]}]))
    (finding,) = told("peer-matches-nothing", *objects)
    assert "matches only pods with hostNetwork (kube-system/apiserver)" in finding.message
    other = {**peer, **pods(app="scheduler")}
    (finding,) = told("peer-not-there-yet", *objects[:-1], policy("prod/hook", ingress=[{"from": [other]}]))
    assert finding.instead == "Pods of kube-system have app: apiserver"


@pytest.mark.parametrize(
    ("asked", "slip"),
    [
        ({"app": "databse"}, True),
        ({"app": "front-end"}, True),
        ({"application": "database"}, True),
        ({"app": "report"}, False),
        ({"app": "worker-v2"}, False),
        ({"job": "nightly"}, False),
        ({"batch": "true"}, False),
    ],
)
def test_a_slip_of_the_pen_is_told_from_pods_that_come_later(asked, slip):
    there = (
        pod("prod/database"),
        pod("prod/frontend"),
        pod("prod/worker-v1"),
        policy("prod/one", asked, policyTypes=["Ingress"]),
    )
    marked = {**pod("prod/x"), "metadata": {"name": "x", "namespace": "prod", "labels": {"canary": "true"}}}
    assert bool(told("selects-no-pod", *there, marked)) is slip
    assert bool(told("selects-no-pod-yet", *there, marked)) is not slip
    peer = policy("prod/two", ingress=[{"from": [pods(**asked)]}])
    assert bool(told("peer-matches-nothing", *there[:-1], marked, peer)) is slip
    assert bool(told("peer-not-there-yet", *there[:-1], marked, peer)) is not slip


@pytest.mark.parametrize(
    ("space", "labels", "target"),
    [
        ("kube-system", {"k8s-app": "kube-dns"}, 53),
        ("kube-system", {"k8s-app": "kube-dns"}, 5353),
        ("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}, 5353),
    ],
)
def test_the_dns_rule_that_is_shown_opens_dns(space, labels, target):
    server = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dns", "namespace": space, "labels": labels}}
    there = [server, pod("prod/web"), pod("prod/api"), namespace(space)]
    there += [service(f"{space}/dns-{protocol.lower()}", labels, 53, target, protocol) for protocol in ("UDP", "TCP")]
    rules = [{"to": [pods(app="api")]}]
    (finding,) = told("egress-without-dns", *there, policy("prod/web", {"app": "web"}, egress=rules))
    assert f"UDP {target})" in finding.message
    mended = policy("prod/web", {"app": "web"}, egress=[*rules, *yaml.safe_load(finding.instead)["egress"]])
    assert told("egress-without-dns", *there, mended) == told("dns-over-udp-only", *there, mended) == []


def test_policies_of_a_namespace_that_forget_tcp_alike_are_one_finding():
    ask = {"to": [TO_ALL], "ports": [{"port": 53, "protocol": "UDP"}]}
    out = [ask, {"to": [{"podSelector": {}}]}]
    pairs = [("prod", "web"), ("prod", "api"), ("dev", "web")]
    there = [pod(f"{space}/{app}") for space, app in pairs]
    asking = [policy(f"{space}/{app}", {"app": app}, policyTypes=["Egress"], egress=out) for space, app in pairs]
    found = put_together(told("dns-over-udp-only", *there, *asking))
    assert [(each.place.subject, [other.subject for other in each.others]) for each in found] == [
        ("dev/web", []),
        ("prod/api", ["prod/web"]),
    ]


def test_a_rule_is_never_left_without_peers():
    alone = policy(
        "prod/web",
        ingress=[{"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.0/25", "192.0.2.128/25"]}}]}],
    )
    (finding,) = told("empty-block", pod("prod/web"), alone)
    assert finding.instead == "Remove the whole rule, or an except."
    alone["spec"]["ingress"][0]["from"].append(pods(app="api"))
    (finding,) = told("empty-block", pod("prod/web"), alone)
    assert finding.instead == "Remove the peer, or an except."


def test_a_policy_whose_only_rule_allows_all_is_not_left_without_it():
    """It would isolate pods that no other policy has a rule for."""
    narrow = policy("prod/web", {"app": "web"}, ingress=[{"from": [pods(app="api")]}])
    there = (pod("prod/web"), pod("prod/db"), narrow)
    (finding,) = told("allow-all-undoes-others", *there, policy("prod/open", ingress=[{}]))
    assert "without this rule alone it would cut off everyone that no other rule admits" in finding.instead
    (finding,) = told("allow-all-undoes-others", *there, policy("prod/open", ingress=[{}, {"from": [pods(app="db")]}]))
    assert finding.instead.endswith("Remove this rule, or give it from and ports.")


@pytest.mark.parametrize(
    ("cidr", "instead"), [("10.0.0.0/8", "Remove the other rule, or this except."), ("10.0.0.0/7", "the same except.")]
)
def test_an_except_is_never_all_of_its_range(cidr, instead):
    wide = policy("prod/all", ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}])
    again = policy("prod/own", ingress=[{"from": [{"ipBlock": {"cidr": cidr}}]}])
    (finding,) = told("except-opened-again", pod("prod/web"), wide, again)
    assert finding.instead.endswith(instead)


def test_every_namespace_that_was_named_is_in_what_to_write():
    selector = {"matchExpressions": [{"key": "name", "operator": "In", "values": ["dev", "prod"]}]}
    objects = (namespace("dev"), namespace("prod"), pod("dev/a"), pod("prod/b"), pod("data/db"))
    (finding,) = told(
        "namespace-label-missing", *objects, policy("data/db", ingress=[{"from": [{"namespaceSelector": selector}]}])
    )
    [peer] = yaml.safe_load(finding.instead.partition("\n")[2])
    assert told("namespace-label-missing", *objects, policy("data/db", ingress=[{"from": [peer]}])) == []
    assert peer["namespaceSelector"]["matchExpressions"][0]["values"] == ["dev", "prod"]


def test_a_name_that_no_namespace_has_is_no_reason_to_label_one():
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "prd"}}
    objects = (
        namespace("prod"),
        pod("prod/b"),
        policy("prod/b", ingress=[{"from": [{"namespaceSelector": selector}]}]),
    )
    (finding,) = told("namespace-name-missing", *objects)
    assert finding.instead.startswith("Namespaces have kubernetes.io/metadata.name: ")
    assert "Label the namespace" not in finding.instead


def test_names_that_yaml_reads_as_numbers_are_quoted():
    (finding,) = told("no-default-deny", pod("2024/web"), policy("2024/web"))
    assert yaml.safe_load(finding.instead)["metadata"]["namespace"] == "2024"


def test_a_label_is_not_given_twice_in_what_to_write():
    peer = {"namespaceSelector": {"matchLabels": {"team": "a", "app": "api"}}, **pods(app="web")}
    objects = (
        namespace("prod", team="a"),
        pod("prod/api"),
        pod("data/db"),
        policy("data/db", ingress=[{"from": [peer]}]),
    )
    (finding,) = told("pod-label-in-namespace-selector", *objects)
    assert finding.instead.count("app:") == 1
