"""A cluster with a tenant who makes an audit compute, and audits of it from the first request to the report."""

from __future__ import annotations

from ipaddress import ip_address

from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.live import LiveCluster
from auditor.model.ports import PortRequest, Protocol
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.sites import ProbeSite
from auditor.run import live
from auditor.run.planning import AuditOptions
from tests.unit.kubernetes.living import LivingStore, namespace
from tests.unit.probing.world import TIMEOUT, TOKEN, FakeChannel, World

NODE = {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
SWIFT = ProbingOptions(timeout=0.2, retests=0, settle=0.0)


def pod(place, name, number, **labels):
    address = f"10.1.{number // 250}.{number % 250 + 1}"
    return f"/api/v1/namespaces/{place}/pods", {
        "metadata": {"name": name, "namespace": place, "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def policy(place, name, app, *, ingress=(), egress=None):
    directions = ["Ingress"] if egress is None else ["Ingress", "Egress"]
    spec = {
        "podSelector": {"matchLabels": {"app": app}},
        "policyTypes": directions,
        "ingress": list(ingress),
        "egress": egress or [],
    }
    return POLICIES.format(place), {
        "metadata": {"name": name, "namespace": place, "uid": name, "generation": 1},
        "spec": spec,
    }


def excepts(count):
    """A rule for all addresses but so many."""
    blocks = [f"{ip_address(int(ip_address('20.0.0.0')) + number)}/32" for number in range(count)]
    return {"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": blocks}}]}


def rules(count):
    """So many rules of one port each."""
    return [{"ports": [{"protocol": "TCP", "port": number + 1000}]} for number in range(count)]


class Tenancy(LivingStore):
    """Two applications in prod, one in dev, with whatever policies. ``renewals`` counts the renewals of Leases."""

    def __init__(self, *policies, apps=2):
        pods = [pod("prod", f"app-{number}", number, app=f"app-{number}") for number in range(apps)]
        super().__init__(
            namespace("dev"),
            namespace("prod"),
            ("/api/v1/nodes", NODE),
            *pods,
            pod("dev", "api", apps, app="api"),
            *policies,
        )
        self.renewals = 0
        self.sent = 0

    async def send(self, method, question, body=None, parameters=None, *, content_type=""):
        self.renewals += method == "PUT"
        return await super().send(method, question, body, parameters, content_type=content_type)

    def _answer(self, method, question, body, parameters):
        if question.path == "/apis":
            return 200, {"groups": []}
        return super()._answer(method, question, body, parameters)

    def left(self):
        """What of audits is still there."""
        return [path for path, item in self.objects.items() if "netpol-audit/run" in item["metadata"].get("labels", {})]


def auditing(store, monkeypatch, answer=None):
    """An audit of prod in ``store``; nobody is kept from anything, unless ``answer`` says otherwise."""
    world = World(1, answer or (lambda *_: TOKEN))

    async def connect(_options):
        return None

    async def open_agent(cluster, name):
        pod = cluster._pods.started[name]
        site = ProbeSite(name, pod.addresses, (name,))
        if all(other.name != name for other in world.sites):
            world.sites.append(site)
        return FakeChannel(world, site)

    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(live, "ApiServer", lambda _connection: store)
    monkeypatch.setattr(LiveCluster, "_open", open_agent)
    options = AuditOptions(ports=(PortRequest(Protocol.TCP, number=80),), probing=SWIFT)
    return live.audit_live(live.LiveOptions(ConnectionOptions(), ("prod",)), options, "prod", str, NoProgress())


def closed(*_):
    return TIMEOUT
