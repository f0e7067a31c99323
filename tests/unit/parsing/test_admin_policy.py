"""ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy: what is read, and what is refused."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import yaml

from auditor.model.admin_policy import Action, AdminPeer, AdminTier
from auditor.model.errors import Problem
from auditor.model.labels import LabelSelector
from auditor.model.policy import IPBlock, PolicyPort
from auditor.model.ports import Protocol
from auditor.parsing.admin_policy import read_admin_policy
from auditor.parsing.documents import read_documents
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source

HEAD = "apiVersion: policy.networking.k8s.io/%s\nkind: %s\nmetadata: {name: %s}\n"
CLUSTER = HEAD % ("v1beta1", "ClusterNetworkPolicy", "guard")
ADMIN = HEAD % ("v1alpha1", "AdminNetworkPolicy", "guard")
BASELINE = HEAD % ("v1alpha1", "BaselineAdminNetworkPolicy", "default")
ALL = LabelSelector()
WEB = LabelSelector((("app", "web"),))
SPEC = "spec: {tier: Admin, priority: 10, subject: {namespaces: {}}, %s}"
IN = SPEC % "ingress: [%s]"
OUT = SPEC % "egress: [%s]"
FROM = IN % "{action: Deny, from: [%s]}"
TO = OUT % "{action: Accept, to: [%s]}"
PORT = OUT % "{action: Accept, to: [{namespaces: {}}], protocols: [%s]}"
OLD = "spec: {priority: 5, subject: {namespaces: {}}, ingress: [%s]}"
OLD_PORT = OLD % "{action: Allow, from: [{namespaces: {}}], ports: [%s]}"
DENY = "{action: Deny, from: [{namespaces: {}}]}"


def read(text: str):
    """The policy in ``text``, and what is wrong with it."""
    documents, problems = read_documents(Source("p.yaml", text.encode()))
    assert not problems
    found: list[Problem] = []
    value = documents[0].value
    return read_admin_policy(Fields(documents[0], found, (), value), "", value["metadata"]["name"]), found


def the_policy(text: str):
    policy, problems = read(text)
    assert not problems, problems
    return policy


def test_both_versions_of_cluster_network_policy_read_the_same():
    text = CLUSTER + FROM % "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}"
    policy = the_policy(text)
    assert policy == the_policy(text.replace("v1beta1", "v1alpha2"))
    assert (policy.tier, policy.priority, policy.full_name) == (AdminTier.ADMIN, 10, "ClusterNetworkPolicy guard")
    assert policy.ingress[0].action is Action.DENY
    assert policy.ingress[0].peers == (AdminPeer(ALL, WEB),)
    assert (policy.file, policy.line) == ("p.yaml", 1)


def test_egress_has_networks_nodes_and_domain_names():
    peers = "{networks: [10.0.0.0/8, 'fd00::/8']}, {nodes: {matchLabels: {app: web}}}, {domainNames: ['*.example.com']}"
    assert the_policy(CLUSTER + TO % peers).egress[0].peers == (
        AdminPeer(networks=(IPBlock(ip_network("10.0.0.0/8")), IPBlock(ip_network("fd00::/8")))),
        AdminPeer(nodes=WEB),
        AdminPeer(domain_names=("*.example.com",)),
    )


def test_ports_are_numbers_ranges_and_names_of_every_protocol():
    items = "{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 1, end: 53}}}}"
    assert the_policy(CLUSTER + PORT % items).egress[0].ports == (
        PolicyPort(Protocol.TCP, 80),
        PolicyPort(Protocol.UDP, 1, 53),
    )
    named = tuple(PolicyPort(protocol, name="http") for protocol in Protocol)
    assert the_policy(CLUSTER + PORT % "{destinationNamedPort: http}").egress[0].ports == named
    old = "{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 53}}, {namedPort: http}"
    assert the_policy(ADMIN + OLD_PORT % old).ingress[0].ports == (
        PolicyPort(Protocol.TCP, 80),
        PolicyPort(Protocol.UDP, 1, 53),
        *named,
    )


def test_the_older_kinds_have_their_own_words():
    rule = "{action: %s, from: [{namespaces: {}}]}"
    admin = the_policy(ADMIN + OLD % f"{rule % 'Allow'}, {rule % 'Pass'}")
    assert [each.action for each in admin.ingress] == [Action.ACCEPT, Action.PASS]
    assert (admin.tier, admin.priority) == (AdminTier.ADMIN, 5)
    baseline = the_policy(BASELINE + "spec: {subject: {namespaces: {}}, ingress: [%s]}" % (rule % "Deny"))
    assert baseline.tier is AdminTier.BASELINE


def test_a_peer_with_an_unknown_field_says_so():
    policy, problems = read(CLUSTER + FROM % "{moons: {}}")
    assert policy.ingress[0].unknown == "moons"
    assert [problem.path for problem in problems] == ["spec.ingress[0].from[0].moons"]


WRONG = [
    (CLUSTER + "spec: {priority: 10, subject: {namespaces: {}}}", "spec.tier", "needs a tier"),
    (CLUSTER + "spec: {tier: admin, priority: 10, subject: {namespaces: {}}}", "spec.tier", "Admin or Baseline"),
    (CLUSTER + "spec: {tier: Admin, subject: {namespaces: {}}}", "spec.priority", "needs a priority"),
    (CLUSTER + "spec: {tier: Admin, priority: 1001, subject: {namespaces: {}}}", "spec.priority", "0-1000"),
    (CLUSTER + "spec: {tier: Admin, priority: -1, subject: {namespaces: {}}}", "spec.priority", "0-1000"),
    (CLUSTER + "spec: {tier: Admin, priority: '1', subject: {namespaces: {}}}", "spec.priority", "remove the quotes"),
    (CLUSTER + "spec: {tier: Admin, priority: 1}", "spec", "needs a subject"),
    (CLUSTER + "spec: {tier: Admin, priority: 1, subject: {}}", "spec.subject", "exactly one of namespaces, pods"),
    (
        CLUSTER + "spec: {tier: Admin, priority: 1, subject: {namespaces: {}, pods: {}}}",
        "spec.subject",
        "not namespaces and pods",
    ),
    (
        CLUSTER + "spec: {tier: Admin, priority: 1, subject: {pods: {podSelector: {}}}}",
        "spec.subject.pods",
        "needs a namespaceSelector",
    ),
    (CLUSTER + SPEC % "ingres: []", "spec.ingres", "did you mean ingress?"),
    (CLUSTER + IN % "{action: Allow, from: [{namespaces: {}}]}", "spec.ingress[0].action", "Accept, Deny, Pass"),
    (CLUSTER + IN % "{from: [{namespaces: {}}]}", "spec.ingress[0].action", "needs an action"),
    (CLUSTER + IN % "{action: Deny}", "spec.ingress[0]", "needs from with at least one peer"),
    (CLUSTER + IN % "{action: Deny, from: []}", "spec.ingress[0].from", "needs from with at least one peer"),
    (CLUSTER + IN % "{action: Deny, from: [{namespaces: {}}], to: []}", "spec.ingress[0].to", "has from, not to"),
    (
        CLUSTER + IN % ("{action: Deny, from: [{namespaces: {}}], name: %s}" % ("x" * 101)),
        "spec.ingress[0].name",
        "at most 100",
    ),
    (CLUSTER + FROM % "{}", "spec.ingress[0].from[0]", "exactly one of"),
    (CLUSTER + FROM % "{networks: [10.0.0.0/8]}", "spec.ingress[0].from[0].networks", "only stand in egress"),
    (CLUSTER + FROM % "{podSelector: {}}", "spec.ingress[0].from[0].podSelector", "inside pods"),
    (CLUSTER + TO % "{networks: [10.0.0.1/8]}", "spec.egress[0].to[0].networks[0]", "host bits"),
    (CLUSTER + TO % "{networks: ['fd00::1/8']}", "spec.egress[0].to[0].networks[0]", "host bits"),
    (CLUSTER + TO % "{networks: [10.0.0.0]}", "spec.egress[0].to[0].networks[0]", "not a valid CIDR"),
    (CLUSTER + TO % "{networks: []}", "spec.egress[0].to[0].networks", "1 to 25"),
    (CLUSTER + TO % "{networks: [10.0.0.0/8, 10.0.0.0/8]}", "spec.egress[0].to[0].networks[1]", "twice"),
    (CLUSTER + TO % "{domainNames: ['a b']}", "spec.egress[0].to[0].domainNames[0]", "not a valid domain name"),
    (CLUSTER + OUT % "{action: Deny, to: [{domainNames: [a.b]}]}", "spec.egress[0]", "can only be accepted"),
    (
        CLUSTER + OUT % "{action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}",
        "spec.egress[0]",
        "no named ports",
    ),
    (CLUSTER + PORT % "", "spec.egress[0].protocols", "leave it out"),
    (CLUSTER + PORT % "{tcp: {}}", "spec.egress[0].protocols[0].tcp", "needs a destinationPort"),
    (
        CLUSTER + PORT % "{tcp: {destinationPort: {}}}",
        "spec.egress[0].protocols[0].tcp.destinationPort",
        "one of number",
    ),
    (
        CLUSTER + PORT % "{tcp: {destinationPort: {number: 0}}}",
        "spec.egress[0].protocols[0].tcp.destinationPort.number",
        "1-65535",
    ),
    (
        CLUSTER + PORT % "{tcp: {destinationPort: {range: {start: 5, end: 5}}}}",
        "spec.egress[0].protocols[0].tcp.destinationPort.range",
        "below",
    ),
    (CLUSTER + PORT % "{icmp: {}}", "spec.egress[0].protocols[0].icmp", "unknown field"),
    (
        CLUSTER + SPEC % "ingress: [%s]" % ", ".join([DENY] * 26),
        "spec.ingress",
        "25",
    ),
    (CLUSTER.replace("v1beta1", "v1") + FROM % "{namespaces: {}}", "apiVersion", "v1beta1"),
    (CLUSTER.replace("guard", "Guard") + FROM % "{namespaces: {}}", "metadata.name", "not a valid name"),
    (
        CLUSTER.replace("{name: guard}", "{name: guard, namespace: x}") + FROM % "{namespaces: {}}",
        "metadata.namespace",
        "no namespace",
    ),
    (
        ADMIN + OLD_PORT % "{portNumber: {protocol: tcp, port: 1}}",
        "spec.ingress[0].ports[0].portNumber.protocol",
        "TCP",
    ),
    (ADMIN + OLD_PORT % "{portNumber: {port: 1}, namedPort: a}", "spec.ingress[0].ports[0]", "exactly one of"),
    (ADMIN + FROM % "{namespaces: {}}", "spec.tier", "unknown field"),
    (BASELINE.replace("default", "other") + "spec: {subject: {namespaces: {}}}", "metadata.name", "called default"),
    (
        BASELINE + "spec: {subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}]}",
        "spec.ingress[0].action",
        "Allow, Deny",
    ),
    (
        BASELINE + "spec: {subject: {namespaces: {}}, egress: [{action: Allow, to: [{domainNames: [a.b]}]}]}",
        "spec.egress[0].to[0].domainNames",
        "unknown field of a peer",
    ),
]


@pytest.mark.parametrize(("text", "path", "said"), WRONG)
def test_what_the_api_server_refuses_is_a_problem_with_its_path(text, path, said):
    yaml.safe_load(text)
    problems = read(text)[1]
    assert any(problem.path == path and said in problem.message for problem in problems), problems


def test_status_and_what_the_api_server_adds_are_fine():
    text = CLUSTER.replace("{name: guard}", "{name: guard, uid: a, resourceVersion: '1', managedFields: []}")
    the_policy(text + FROM % "{namespaces: {}}" + "\nstatus: {conditions: []}")
