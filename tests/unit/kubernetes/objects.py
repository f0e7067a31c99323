"""Objects as a real API server gives them, with all the noise that must be passed over."""

from __future__ import annotations

import json

NOISE = {
    "uid": "0b2f",
    "resourceVersion": "17",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"password": "hunter2"}'},
    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
}


def metadata(name, namespace=None, **labels):
    placed = {"namespace": namespace} if namespace else {}
    return {"name": name, **placed, **({"labels": labels} if labels else {}), **NOISE}


def pod(namespace, name, *ips, spec=None, phase="Running", owner=None, **labels):
    container = {
        "name": "main",
        "image": "example/image:1",
        "env": [{"name": "PASSWORD", "value": "hunter2"}],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
    }
    made = {
        "metadata": metadata(name, namespace, **labels),
        "spec": {"containers": [container], "nodeName": "node-1", **(spec or {})},
    }
    if owner:
        made["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
            {
                "apiVersion": "apps/v1",
                "kind": owner,
                "name": "main",
                "uid": "2",
                "controller": True,
                "blockOwnerDeletion": True,
            },
        ]
    made["status"] = {"phase": phase, "podIPs": [{"ip": ip} for ip in ips], "conditions": [], "hostIP": "192.0.2.1"}
    if ips:
        made["status"]["podIP"] = ips[0]
    return made


def namespace(name, **labels):
    return {
        "metadata": metadata(name, **labels, **{"kubernetes.io/metadata.name": name}),
        "status": {"phase": "Active"},
    }


def policy(namespace, name, spec):
    return {"metadata": metadata(name, namespace), "spec": spec}


def node(name, *addresses):
    return {
        "metadata": metadata(name, zone="a"),
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": name},
                *({"type": "InternalIP", "address": text} for text in addresses),
            ],
            "images": [{"names": ["example/image:1"]}],
        },
    }


def service(namespace, name, **spec):
    return {"metadata": metadata(name, namespace), "spec": {"type": "ClusterIP", "sessionAffinity": "None", **spec}}


SIDECARS = {
    "initContainers": [
        {"name": "mesh", "restartPolicy": "Always", "ports": [{"containerPort": 15001, "protocol": "UDP"}]},
        {"name": "once", "ports": [{"containerPort": 1, "protocol": "TCP"}]},
    ]
}
DB_INGRESS = {
    "podSelector": {"matchLabels": {"app": "db"}},
    "policyTypes": ["Ingress"],
    "ingress": [
        {
            "from": [
                {"podSelector": {"matchLabels": {"app": "api"}}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.1.0/24"]}},
            ],
            "ports": [{"protocol": "TCP", "port": 3306}, {"protocol": "TCP", "port": "http"}],
        }
    ],
}

OBJECTS = {
    "/api/v1/namespaces": [namespace("dev"), namespace("prod", team="shop")],
    "/api/v1/nodes": [node("node-1", "192.0.2.1", "2001:db8::1"), node("node-2")],
    "/api/v1/pods": [
        pod("dev", "api", "10.0.1.7", app="api"),
        pod("prod", "api", "10.0.0.5", "fd00::5", owner="ReplicaSet", app="api"),
        pod("prod", "db", "10.0.0.6", spec=SIDECARS, app="db"),
        pod("prod", "done", "10.0.0.9", phase="Succeeded", owner="Job"),
        pod("prod", "host", "192.0.2.1", spec={"hostNetwork": True}),
        pod("prod", "starting", spec={"nodeName": "", "hostNetwork": False}, phase="Pending", app="web"),
    ],
    "/api/v1/services": [
        service("prod", "db", selector={"app": "db"}, clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"],
                ports=[{"port": 3306, "protocol": "TCP", "targetPort": 3306},
                       {"port": 80, "protocol": "TCP", "targetPort": "http", "name": "web"}]),
        service("prod", "headless", clusterIP="None", clusterIPs=["None"], publishNotReadyAddresses=True,
                ports=[{"port": 53, "protocol": "UDP", "targetPort": 53}]),
        {**service("prod", "outside", externalName="example.com"),
         "spec": {"type": "ExternalName", "externalName": "example.com"}},
    ],
    "/apis/networking.k8s.io/v1/networkpolicies": [
        policy("dev", "deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        policy("prod", "db", DB_INGRESS),
    ],
}  # fmt: skip
KINDS = {
    "namespaces": "Namespace",
    "nodes": "Node",
    "pods": "Pod",
    "services": "Service",
    "networkpolicies": "NetworkPolicy",
}


def manifests(objects):
    """The objects as ``kubectl get -o yaml`` shows them, in one List."""
    items = []
    for path, listed in objects.items():
        version, resource = (
            path.split("/", 2)[2].rsplit("/", 1) if path.startswith("/apis") else ("v1", path.rsplit("/", 1)[1])
        )
        items += [{"apiVersion": version, "kind": KINDS[resource], **item} for item in listed]
    return json.loads(
        json.dumps({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
    )
