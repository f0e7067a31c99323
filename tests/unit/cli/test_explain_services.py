"""Services in ``audit explain``: where a connection to one ends, and which source policies see there."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator

NODES = """
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.50.11}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 192.168.50.12}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.1.0.4}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: prod, labels: {app: far}}
spec: {nodeName: n2, containers: [{name: c, image: x}]}
status: {phase: Running, podIP: 10.1.1.4}
"""
POLICY = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: prod}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
  - from: [{ipBlock: {cidr: 203.0.113.0/24}}, {podSelector: {matchLabels: {app: far}}}]
    ports: [{port: 8080}]
"""
OPEN = POLICY.replace(", {podSelector: {matchLabels: {app: far}}}", "").replace("203.0.113.0/24", "0.0.0.0/0")
SERVICE = "\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: prod}}\nspec: {{{}}}\n"
PORTS = "ports: [{port: 80, targetPort: 8080, nodePort: 30080}]"
SELECTED = "selector: {app: web}, " + PORTS


@pytest.fixture
def explain(tmp_path, capfd):
    def explain_from(*parts, ask, options=("--host", "office=203.0.113.7")):
        path = tmp_path / "shop.yaml"
        path.write_text("".join(parts))
        code = run(["explain", "-f", str(path), *options, *ask.split()])
        out, err = capfd.readouterr()
        return code, " ".join(out.split()), err

    return explain_from


def service(*fields):
    return SERVICE.format(", ".join((*fields, SELECTED)))


def test_clients_of_a_headless_service_talk_to_its_pods_on_the_port_they_ask_for(explain):
    headless = service("clusterIP: None")
    code, told, _ = explain(NODES, headless, POLICY, ask="prod/far service/prod/web 80")
    assert code == 0
    assert "is headless: clients talk to its pods themselves, here to prod/web TCP/80" in told
    assert "DENIED prod/far -> prod/web TCP/80" in told
    assert "ALLOWED prod/far -> prod/web TCP/8080" in explain(
        NODES, headless, POLICY, ask="prod/far service/prod/web 8080"
    )[1]  # fmt: skip


def test_a_headless_services_port_asked_for_by_name_is_its_target(explain):
    spec = "clusterIP: None, selector: {app: web}, ports: [{name: front, port: 80, targetPort: http}]"
    _, told, _ = explain(NODES, SERVICE.format(spec), POLICY, ask="prod/far service/prod/web front")
    assert "ALLOWED prod/far -> prod/web TCP/8080" in told


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
@pytest.mark.parametrize("asked", ["service/prod/web 80", "service/prod/web 30080", "node/n2 30080"])
def test_from_outside_policies_may_see_a_node_unless_the_traffic_policy_is_local(explain, kind, asked):
    code, told, _ = explain(NODES, service(f"type: {kind}"), POLICY, ask=f"host/office {asked}")
    assert code == 3
    assert "IN DOUBT host/office -> prod/web TCP/8080" in told
    assert "policies may see the address of a node as the source, not that of host/office" in told
    local = service(f"type: {kind}", "externalTrafficPolicy: Local")
    code, told, _ = explain(NODES, local, POLICY, ask=f"host/office {asked}".replace("n2", "n1"))
    assert (code, "ALLOWED host/office -> prod/web TCP/8080" in told) == (0, True)


def test_a_denial_is_in_doubt_as_well_and_what_is_open_to_all_is_not(explain):
    outside = ("--host", "office=198.51.100.7")
    closed = explain(NODES, service("type: NodePort"), POLICY, ask="host/office node/n2 30080", options=outside)
    assert closed[0] == 3
    code, told, _ = explain(NODES, service("type: NodePort"), OPEN, ask="host/office node/n2 30080", options=outside)
    assert (code, "ALLOWED" in told) == (0, True)


def test_a_local_service_leads_nowhere_on_a_node_without_a_backend(explain):
    local = service("type: NodePort", "externalTrafficPolicy: Local")
    code, _, err = explain(NODES, local, POLICY, ask="host/office node/n2 30080")
    assert code == 2
    assert "its externalTrafficPolicy is Local, and none of its backends runs on n2" in err
    inside = service("internalTrafficPolicy: Local")
    code, _, err = explain(NODES, inside, POLICY, ask="prod/far service/prod/web 80")
    assert (code, "internalTrafficPolicy is Local, and none of its backends runs on n2" in err) == (2, True)


def test_a_cluster_ip_is_nothing_that_a_host_outside_reaches(explain):
    code, told, _ = explain(NODES, service(), POLICY, ask="host/office service/prod/web 80")
    assert code == 3
    assert "service/prod/web has no address outside the cluster" in told


def test_pods_and_nodes_inside_keep_their_address_on_the_way_to_a_service(explain):
    code, told, _ = explain(NODES, service("type: LoadBalancer"), POLICY, ask="prod/far service/prod/web 80")
    assert (code, "ALLOWED prod/far -> prod/web TCP/8080" in told) == (0, True)
    code, told, _ = explain(NODES, service("type: LoadBalancer"), POLICY, ask="node/n2 service/prod/web 80")
    assert (code, "DENIED node/n2 -> prod/web TCP/8080" in told) == (0, True)


def test_a_pod_that_goes_by_a_node_is_in_doubt_there(explain):
    code, told, _ = explain(NODES, service("type: NodePort"), POLICY, ask="prod/far node/n1 30080")
    assert code == 3
    assert "node/n1 leads to service/prod/web TCP/80, which is sent to prod/web TCP/8080" in told
    assert "the way leads through node/n1, whose address policies may see as the source" in told


def test_another_port_of_a_node_is_the_nodes_own(explain):
    code, told, _ = explain(NODES, service("type: NodePort"), POLICY, ask="host/office node/n2 30081")
    assert (code, "neither end is a pod" in told) == (0, True)


def test_a_host_with_the_address_of_a_service_is_that_service(explain):
    balanced = service("type: LoadBalancer", "externalTrafficPolicy: Local", "externalIPs: [203.0.113.99]")
    hosts = ("--host", "office=203.0.113.7", "--host", "vip=203.0.113.99")
    code, told, _ = explain(NODES, balanced, POLICY, ask="host/office host/vip 80", options=hosts)
    assert code == 0
    assert "host/vip leads to service/prod/web TCP/80, which is sent to prod/web TCP/8080" in told


def test_a_load_balancer_that_lets_the_source_in_nowhere_says_so(explain):
    narrow = service("type: LoadBalancer", "loadBalancerSourceRanges: [198.51.100.0/24]")
    told = explain(NODES, narrow, POLICY, ask="host/office service/prod/web 80")[1]
    assert "the load balancer lets in 198.51.100.0/24 alone (loadBalancerSourceRanges), and so not host/office" in told
    wide = service("type: LoadBalancer", "loadBalancerSourceRanges: [203.0.113.0/24]")
    assert "loadBalancerSourceRanges" not in explain(NODES, wide, POLICY, ask="host/office service/prod/web 80")[1]


SLICES = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-x, namespace: prod, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
endpoints: [{addresses: [192.168.50.11]}, {addresses: [10.9.9.9]}, {addresses: [10.1.0.4], conditions: {ready: false}}]
ports: [{name: https, port: 6443, protocol: TCP}, {name: other, port: 1}]
"""
ENDPOINTS = """
---
apiVersion: v1
kind: Endpoints
metadata: {name: api, namespace: prod}
subsets: [{addresses: [{ip: 192.168.50.11}, {ip: 10.9.9.9}], ports: [{name: https, port: 6443, protocol: TCP}]}]
"""
BY_HAND = SERVICE.replace("name: web", "name: api").format("ports: [{name: https, port: 443}]")


@pytest.mark.parametrize("listed", [SLICES, ENDPOINTS, SLICES + ENDPOINTS, ENDPOINTS + SLICES])
def test_a_service_without_a_selector_goes_by_its_endpoint_slices(explain, listed):
    code, told, _ = explain(NODES, BY_HAND, listed, POLICY, ask="prod/web service/prod/api 443")
    assert code == 0
    assert "is sent to node/n1 TCP/6443, host/10.9.9.9 TCP/6443" in told
    assert "needs ipBlocks of its endpoints and their port" in told


def test_a_service_without_a_selector_and_without_slices_says_what_is_missing(explain):
    code, _, err = explain(NODES, BY_HAND, ask="prod/web service/prod/api 443")
    assert code == 2
    assert "it has no selector, and no EndpointSlice or Endpoints in the input" in err


def test_slices_of_another_service_or_namespace_do_not_count(explain):
    for other in (SLICES.replace("service-name: api", "service-name: x"), SLICES.replace("prod, labels", "q, labels")):
        assert explain(NODES, BY_HAND, other, ask="prod/web service/prod/api 443")[0] == 2


@pytest.mark.parametrize("broken", ["endpoints: 5", "endpoints: [{addresses: [x, 5]}]", "endpoints: [null]"])
def test_a_broken_slice_leads_nowhere_and_stops_nothing(explain, broken):
    listed = SLICES[: SLICES.index("endpoints:")] + broken + "\nports: [{name: https, port: 6443}]\n"
    assert explain(NODES, BY_HAND, listed, ask="prod/web service/prod/api 443")[0] == 2
    assert explain(NODES, BY_HAND, listed, ask="prod/web prod/far 443")[0] == 0


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("selector: {app: nobody}, ports: [{port: 80}]", "no pod in the input has the labels of its selector"),
        ("selector: {app: far}, ports: [{port: 80, targetPort: web}]", "declares a TCP port called 'web'"),
        ("selector: {app: web}, ports: [{port: 81}]", "sends TCP/80 nowhere: it has TCP/81"),
    ],
)
def test_why_a_service_leads_nowhere_is_said(explain, spec, said):
    code, _, err = explain(NODES, SERVICE.format(spec), ask="prod/far service/prod/web 80")
    assert (code, said in err) == (2, True)


def test_the_json_says_how_it_is_reached_and_what_matters_on_the_way(explain, tmp_path):
    balanced = service("type: LoadBalancer", "loadBalancerSourceRanges: [198.51.100.0/24]")
    _, told, _ = explain(NODES, balanced, POLICY, ask="host/office node/n2 30080 -o json")
    document = json.loads(told)
    validator("explanation.schema.json").validate(document)
    assert document["service"]["reached_at"] == "node/n2"
    assert not document["service"]["headless"]
    assert len(document["service"]["remarks"]) == 1
    assert document["connections"][0]["in_doubt"]


HOST_PORT = NODES.replace("containerPort: 8080}", "containerPort: 8080, hostPort: 80}")


def test_a_host_port_of_a_node_leads_to_the_pod_that_runs_there(explain):
    code, out, _ = explain(HOST_PORT, OPEN, ask="host/office node/n1 80")
    assert code == 0
    assert "node/n1 leads to hostPort 80 of prod/web TCP/80, which is sent to prod/web TCP/8080" in out
    assert "ALLOWED host/office -> prod/web TCP/8080" in out
    assert explain(HOST_PORT, OPEN, ask="host/office 192.168.50.11 80")[:2] == (code, out)


def test_by_a_host_port_policies_may_see_the_node_in_the_place_of_the_source(explain):
    code, out, _ = explain(HOST_PORT, POLICY, ask="host/office node/n1 80")
    assert code == 3
    assert "it comes by a hostPort: policies may see the address of a node, not that of host/office" in out
    code, out, _ = explain(HOST_PORT, POLICY, ask="prod/far node/n1 80")
    assert code == 3
    assert "the way leads through node/n1, whose address policies may see as the source" in out
    assert "it has no selector" not in out


@pytest.mark.parametrize("ask", ["host/office node/n2 80", "host/office node/n1 UDP/80", "host/office node/n1 8080"])
def test_another_node_protocol_or_port_is_the_nodes_own(explain, ask):
    _, out, _ = explain(HOST_PORT, OPEN, ask=ask)
    assert "hostPort" not in out


def test_a_pod_that_may_run_on_another_node_is_in_doubt(explain):
    anywhere = HOST_PORT.replace("nodeName: n1, ", "")
    code, out, _ = explain(anywhere, OPEN, ask="host/office node/n1 80")
    assert code == 3
    assert "whether prod/web runs on node/n1 is not known" in out


WAYS = """
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: prod}
spec: {ingressClassName: nginx, defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: prod}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut, namespace: prod}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


def test_what_leads_to_a_pod_from_outside_is_told_and_is_asked_for_from_there_alone(tmp_path, capsys):
    path = tmp_path / "in.yaml"
    path.write_text(WAYS)
    denied = "denied  Ingress prod/front to prod/web TCP/8080: ingress: prod/web is isolated by prod/shut"
    assert run(["explain", "-f", str(path), "outside", "prod/web", "8080"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "From outside, by objects that lead in:" in printed
    assert " ".join(denied.split()) in printed
    assert run(["explain", "-f", str(path), "prod/web", "prod/web", "8080"]) == 0
    assert "lead in" not in capsys.readouterr().out
    assert run(["explain", "-f", str(path), "outside", "prod/web", "8080", "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    validator("explanation.schema.json").validate(shown)
    assert [(each["name"], each["verdict"], each["in_doubt"]) for each in shown["ways_in"]] == [
        ("prod/front", "denied", False)
    ]
    assert "Ingress" not in shown["ignored"]


@pytest.mark.parametrize(("more", "shown"), [((), True), (("--to", "prod/web"), True), (("--from", "prod/web"), False)])
def test_an_expectation_has_what_leads_in_where_it_has_the_outside(tmp_path, capsys, more, shown):
    path = tmp_path / "in.yaml"
    path.write_text(WAYS)
    assert run(["expect", "-f", str(path), *more]) == 0
    assert ("denied Ingress prod/front" in " ".join(capsys.readouterr().out.split())) is shown
    assert run(["expect", "-f", str(path), *more, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    validator("expected.schema.json").validate(document)
    assert ("ways_in" in document) is shown
