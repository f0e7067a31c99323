"""What policies demand of a lookup, and where that is left open."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.dns_seen import LookupCell
from auditor.model.policy import UnknownPolicy
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Service, ServicePort, Snapshot
from auditor.model.verdict import Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.policy.lookups import DnsReading

SERVER = "10.96.0.10"
DNS = Service(
    "kube-system",
    "kube-dns",
    {"k8s-app": "kube-dns"},
    tuple(ServicePort(protocol, 53, 5353) for protocol in (Protocol.UDP, Protocol.TCP)),
    (ip_address(SERVER),),
)


def pod(name, address, *, host_network=False, **labels):
    return Endpoint(
        name,
        EndpointKind.POD,
        name.partition("/")[0],
        {key.replace("_", "-"): value for key, value in labels.items()},
        (ip_address(address),),
        node="n0",
        host_network=host_network,
    )


API = pod("prod/api", "10.244.0.1", app="api")
COREDNS = pod("kube-system/coredns", "10.244.0.2", k8s_app="kube-dns")
CACHE = pod("kube-system/cache", "172.18.0.2", host_network=True, k8s_app="node-local-dns")


def policy(spec, namespace="prod", name="p"):
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
---
"""


def demanded(*policies, workloads=(API, COREDNS), server=SERVER, protocol=Protocol.UDP, services=(DNS,), unknown=()):
    text = "".join(policies) + "".join(
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n" for name in ("prod", "kube-system")
    )
    given = read_snapshot([Source("a.yaml", text.encode())])
    audited = Snapshot(given.namespaces, (API,), given.policies, services, unknown=unknown)
    cell = LookupCell(API.name, protocol, server, Family.IPV4)
    return DnsReading(audited, replace(audited, endpoints=workloads)).expectation(cell)


NODE_DECIDES = "internalTrafficPolicy is Local: which pods are asked hangs on the node"
SHUT = policy("{podSelector: {}, policyTypes: [Egress]}", name="default-deny")


def out(peer, port=5353, protocol="UDP"):
    return policy(
        f"{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{peer}], "
        f"ports: [{{protocol: {protocol}, port: {port}}}]}}]}}",
        name=f"out-{protocol.lower()}",
    )


TO_DNS = "{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}"


@pytest.mark.parametrize(
    ("policies", "protocol", "verdict", "why"),
    [
        ((), Protocol.UDP, Verdict.ALLOWED, ""),
        (
            (SHUT,),
            Protocol.UDP,
            Verdict.DENIED,
            "egress to kube-system/kube-dns UDP/5353 is denied by prod/default-deny",
        ),
        ((SHUT, out(TO_DNS)), Protocol.UDP, Verdict.ALLOWED, ""),
        (
            (SHUT, out(TO_DNS)),
            Protocol.TCP,
            Verdict.DENIED,
            "egress to kube-system/kube-dns TCP/5353 is denied by prod/default-deny, prod/out-udp",
        ),
        # The pods' port counts, not the Service's.
        (
            (SHUT, out(TO_DNS, 53)),
            Protocol.UDP,
            Verdict.DENIED,
            "egress to kube-system/kube-dns UDP/5353 is denied by prod/default-deny, prod/out-udp",
        ),
        (
            (policy("{podSelector: {}, policyTypes: [Ingress]}", "kube-system", "shut"),),
            Protocol.UDP,
            Verdict.DENIED,
            "ingress of kube-system/kube-dns UDP/5353 is denied by kube-system/shut",
        ),
    ],
)
def test_the_pods_behind_the_service_are_what_counts(policies, protocol, verdict, why):
    found = demanded(*policies, protocol=protocol)
    assert (found.verdict, found.why, found.left_open) == (verdict, why, "")
    assert found.behind == (("10.244.0.2", 5353),)
    assert found.demanded is verdict


@pytest.mark.parametrize(
    ("policies", "more", "said"),
    [
        ((SHUT, out("{ipBlock: {cidr: 10.96.0.0/16}}", 53)), {}, "an ipBlock covers the Service's address 10.96.0.10"),
        ((SHUT,), {"workloads": (API, COREDNS, CACHE)}, "NodeLocal DNSCache answers on the pod's own node"),
        ((SHUT, out(TO_DNS)), {"workloads": (API, COREDNS, CACHE)}, "NodeLocal DNSCache"),
        ((SHUT,), {"server": "169.254.20.10"}, "169.254.20.10 is an address of the pod's own node"),
        ((SHUT,), {"server": "172.18.0.2", "workloads": (API, CACHE)}, "is an address of the pod's own node"),
        ((SHUT,), {"workloads": (API,)}, "no pod is known behind service/kube-system/kube-dns"),
        ((), {"workloads": (API, replace(COREDNS, host_network=True))}, "a hostNetwork pod takes part"),
        (
            (policy("{podSelector: {matchLabels: {v: '2'}}, policyTypes: [Ingress]}", "kube-system"),),
            {"workloads": (API, COREDNS, pod("kube-system/b", "10.244.0.3", k8s_app="kube-dns", v="2"))},
            "to some pods of the DNS alone",
        ),
    ],
)
def test_where_policies_may_see_another_address_nothing_is_demanded(policies, more, said):
    found = demanded(*policies, **more)
    assert said in found.left_open
    assert found.demanded is None


@pytest.mark.parametrize("more", [{"workloads": (API, COREDNS, CACHE)}, {"server": "169.254.20.10"}])
def test_a_pod_whose_egress_nothing_isolates_may_ask_whoever_answers(more):
    assert demanded(**more).demanded is Verdict.ALLOWED


def test_a_server_outside_is_judged_by_its_address():
    block = "{ipBlock: {cidr: 192.0.2.0/24}}"
    assert demanded(SHUT, out(block, 53), server="192.0.2.53").demanded is Verdict.ALLOWED
    shut = demanded(SHUT, server="192.0.2.53")
    assert (shut.demanded, shut.why) == (
        Verdict.DENIED,
        "egress to 192.0.2.53 UDP/53 is denied by prod/default-deny",
    )


def test_a_policy_that_nobody_can_read_leaves_it_in_doubt():
    unreadable = UnknownPolicy("prod", "odd", None, "has a field that is not known")
    found = demanded(unknown=(unreadable,))
    assert "prod/odd" in found.left_open


@pytest.mark.parametrize("server", ["169.254.20.10", "192.0.2.53"])
@pytest.mark.parametrize("policies", [(), (SHUT,)])
def test_so_it_does_where_the_server_is_not_a_service(server, policies):
    unreadable = UnknownPolicy("prod", "odd", None, "has a field that is not known")
    assert demanded(*policies, unknown=(unreadable,), server=server).demanded is None
    elsewhere = replace(unreadable, namespace="dev")
    assert "dev/odd" not in demanded(*policies, unknown=(elsewhere,), server=server).left_open


@pytest.mark.parametrize(
    ("policies", "verdict"),
    [
        ((), Verdict.ALLOWED),
        ((SHUT,), Verdict.DENIED),
        ((SHUT, out(TO_DNS, 53)), Verdict.ALLOWED),
        ((SHUT, out(TO_DNS)), Verdict.DENIED),
        ((policy("{podSelector: {}, policyTypes: [Ingress]}", "kube-system", "shut"),), Verdict.DENIED),
    ],
)
def test_a_pod_of_the_dns_may_be_asked_by_its_own_address(policies, verdict):
    found = demanded(*policies, server="10.244.0.2")
    assert (found.demanded, found.server, found.behind) == (verdict, "kube-system/coredns", ())


@pytest.mark.parametrize(
    ("policies", "more", "verdict", "open_by"),
    [
        ((), {}, Verdict.ALLOWED, ""),
        ((SHUT,), {}, Verdict.DENIED, ""),
        (
            (SHUT,),
            {"internal_local": True},
            Verdict.DENIED,
            NODE_DECIDES,
        ),
    ],
)
def test_a_service_of_the_users_is_judged_by_the_pods_behind_it_on_their_port(policies, more, verdict, open_by):
    text = "".join(policies) + "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n"
    given = read_snapshot([Source("a.yaml", text.encode())])
    db = pod("prod/db", "10.244.0.9", app="db")
    ports = (ServicePort(Protocol.TCP, 80, 5432),)
    service = Service("prod", "db", {"app": "db"}, ports, (ip_address("10.96.0.7"),), **more)
    audited = Snapshot(given.namespaces, (API,), given.policies, (service,))
    cell = LookupCell(API.name, Protocol.TCP, "10.96.0.7", Family.IPV4, 80, "prod/db")
    found = DnsReading(audited, replace(audited, endpoints=(API, db, CACHE))).expectation(cell)
    assert (found.verdict, found.left_open) == (verdict, open_by)
