"""The cluster that the suite audits: a shop in one namespace, its monitoring in a second and a stranger in a third,
with their policies.

Each policy is there so that at least one dialect gets it wrong: see the notes beside them.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.kubectl import Kubectl, Object

PROD, MONITORING, OTHER = "e2e-prod", "e2e-monitoring", "e2e-other"
NAMESPACES = (PROD, MONITORING, OTHER)
TENANT = "e2e-tenant"
"""A namespace under administrators' policies, which only their own tests have."""

METRICS = {"name": "metrics", "containerPort": 9100}
NAMESPACE_NAME = "kubernetes.io/metadata.name"


def objects(image: str) -> list[Object]:
    """Everything, in the order in which it can be created."""
    return [
        *(namespace(name) for name in NAMESPACES),
        *workload(PROD, "web", image, replicas=2),
        *workload(PROD, "api", image, replicas=2, labels={"tier": "internal"}),
        *workload(PROD, "db", image, labels={"tier": "internal"}, metrics=9187),
        *workload(MONITORING, "prometheus", image),
        *workload(MONITORING, "grafana", image),
        *workload(OTHER, "web", image),
        *workload(OTHER, "prometheus", image, labels={"tier": "internal"}),
        *policies(),
    ]


def namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"team": name.removeprefix("e2e-")}},
    }


def workload(
    space: str, name: str, image: str, *, replicas: int = 1, labels: dict[str, str] | None = None, metrics: int = 9100
) -> list[Object]:
    """A Deployment of web servers on 8080, with a Service and a PodDisruptionBudget."""
    selector = {"app": name}
    place = {"namespace": space, "name": name}
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "python3",
            "-c",
            "from http.server import *; HTTPServer(('', 8080), BaseHTTPRequestHandler).serve_forever()",
        ],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": metrics}],
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    template = {"metadata": {"labels": {**selector, **(labels or {})}}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": selector}, "template": template}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": place,
            "spec": {"minAvailable": 1, "selector": {"matchLabels": selector}},
        },
    ]


def policies() -> list[Object]:
    """Every policy."""
    return [
        policy(PROD, "default-deny", {}, ingress=[], egress=[]),
        policy(
            PROD,
            "allow-dns",
            {},
            egress=[
                {"to": [peer({"k8s-app": "kube-dns"}, {NAMESPACE_NAME: "kube-system"})], "ports": [udp(53), tcp(53)]}
            ],
        ),
        # The named port is 9100 here and 9187 on db; grafana is no prometheus, and the other namespace's prometheus is
        # not the one meant.
        policy(
            PROD,
            "allow-metrics",
            {},
            ingress=[{"from": [peer({"app": "prometheus"}, {"team": "monitoring"})], "ports": [tcp("metrics")]}],
        ),
        # Labels that are missing are not internal, either.
        policy(PROD, "front", None, not_in=("tier", "internal"), ingress=[{"ports": [tcp(443)]}]),
        policy(PROD, "web", {"app": "web"}, egress=[{"to": [peer({"app": "api"})], "ports": [tcp(8080, 8090)]}]),
        # web of another namespace is nobody here; the ipBlock leaves nothing, unless its exceptions are overlooked.
        policy(
            PROD,
            "api",
            {"app": "api"},
            ingress=[
                {"from": [peer({"app": "web"})], "ports": [tcp(8080, 8090)]},
                {
                    "from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["0.0.0.0/1", "128.0.0.0/1"]}}],
                    "ports": [tcp(7000)],
                },
            ],
            egress=[{"to": [peer({"app": "db"})], "ports": [tcp(5432)]}],
        ),
        policy(PROD, "db", {"app": "db"}, ingress=[{"from": [peer({"app": "api"})], "ports": [tcp(5432)]}]),
        # Egress stays open.
        policy(OTHER, "own-namespace", {}, ingress=[{"from": [peer({})]}]),
        # Sets web apart from prometheus: each is a peer in the eyes of another enforcer that is blind to namespaces.
        policy(OTHER, "web", {"app": "web"}, ingress=[{"ports": [tcp(8080)]}]),
    ]


def policy(
    space: str,
    name: str,
    labels: dict[str, str] | None,
    *,
    not_in: tuple[str, str] | None = None,
    ingress: list[Object] | None = None,
    egress: list[Object] | None = None,
) -> Object:
    """A NetworkPolicy that isolates in the directions that are given."""
    spec: dict[str, Any] = {"podSelector": {"matchLabels": labels} if labels else {}, "policyTypes": []}
    if not_in:
        spec["podSelector"]["matchExpressions"] = [{"key": not_in[0], "operator": "NotIn", "values": [not_in[1]]}]
    for direction, rules in (("ingress", ingress), ("egress", egress)):
        if rules is not None:
            spec["policyTypes"].append(direction.capitalize())
            spec[direction] = rules
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": space, "name": name},
        "spec": spec,
    }


def peer(pods: dict[str, str], namespaces: dict[str, str] | None = None) -> Object:
    """A peer with a podSelector and, if given, a namespaceSelector beside it."""
    both: Object = {"podSelector": {"matchLabels": pods}}
    if namespaces is not None:
        both["namespaceSelector"] = {"matchLabels": namespaces}
    return both


def tcp(port: int | str, end: int | None = None) -> Object:
    return {"protocol": "TCP", "port": port, **({"endPort": end} if end else {})}


def udp(port: int) -> Object:
    return {"protocol": "UDP", "port": port}


def build(kubectl: Kubectl, image: str) -> None:
    """Set it up, in place of what an earlier run may have left, and wait until every pod runs."""
    kubectl.delete_namespaces(NAMESPACES)
    everything = objects(image)
    kubectl.apply([item for item in everything if item["kind"] == "Namespace"])
    kubectl.apply([item for item in everything if item["kind"] != "Namespace"])
    for name in NAMESPACES:
        kubectl.run(
            "wait", "-n", name, "--for=condition=Available", "deployment", "--all", "--timeout=120s", patience=150
        )
