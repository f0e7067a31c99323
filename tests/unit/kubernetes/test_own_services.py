"""Services of a run's own on an API server in memory: what they select, who owns them, and that they lead somewhere."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from auditor.cluster.kubernetes.objects import NUMBER_LABEL, RUN_LABEL, PodOptions
from auditor.cluster.kubernetes.session import own_services as module
from auditor.model.dns_seen import NameService
from auditor.model.ports import Protocol
from auditor.model.service_seen import OwnPort, OwnService, Way
from tests.unit.kubernetes.living import RUN, live, ours, world

PORTS = (OwnPort(Protocol.TCP, 10001, 80), OwnPort(Protocol.UDP, 10002, 53))
SERVICES = "/api/v1/namespaces/prod/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices"


class Controllers:
    """Completes a Service as the API server does and, unless ``idle``, lists its pod in an EndpointSlice."""

    def __init__(self, store, *, idle=()):
        self.store = store
        self.idle = idle
        self.created = []
        self._create = store._create
        store._create = self

    def __call__(self, path, resource, body, parameters):
        if resource == "services":
            number = len(self.created) + 1
            body = copy.deepcopy(body)
            body["spec"]["clusterIP"] = f"10.96.0.{number}"
            body["spec"]["clusterIPs"] = [f"10.96.0.{number}"]
            if body["spec"]["type"] == "NodePort":
                for position, port in enumerate(body["spec"]["ports"]):
                    port["nodePort"] = 30000 + 10 * number + position
            self.created.append(body)
            self._list_pods(body)
        return self._create(path, resource, body, parameters)

    def _list_pods(self, service):
        name, wanted = service["metadata"]["name"], service["spec"]["selector"]
        pods = [pod for path, pod in self.store.objects.items() if "/prod/pods/" in path]
        chosen = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        labels = {**service["metadata"]["labels"], "kubernetes.io/service-name": name}
        ends = [
            {"addresses": [pod["status"]["podIP"]], "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]}}
            for pod in chosen
        ]
        if name.rpartition("-")[2] not in self.idle:
            self.store.put(SLICES, {"metadata": {"name": f"{name}-x", "labels": labels}, "endpoints": ends})


def own(backend, way=Way.CLUSTER_IP, *, proof=False):
    return OwnService(backend, PORTS, way, proof)


def entered(store):
    cluster = live(store)
    cluster._deployment = replace(cluster._deployment, options=PodOptions(numbered=True))
    cluster._pods._options = PodOptions(numbered=True)
    return cluster


async def test_each_selects_one_probe_pod_of_the_run_and_goes_with_its_lease():
    store = world()
    controllers = Controllers(store)
    async with entered(store) as cluster:
        backend = next(name for name in cluster._pods.started if name.startswith("prod/"))
        made = await cluster.expose([own(backend), own(backend, Way.NODE_PORT_LOCAL), own(backend, Way.NODE_PORT)])
        pods = [pod for path, pod in store.objects.items() if "/pods/" in path]
        for service in controllers.created:
            selector = service["spec"]["selector"]
            assert selector.keys() == {RUN_LABEL, NUMBER_LABEL}
            assert selector[RUN_LABEL] == RUN
            assert sum(selector.items() <= pod["metadata"]["labels"].items() for pod in pods) == 1
            assert service["spec"]["publishNotReadyAddresses"] is True
            (owner,) = service["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["controller"]) == ("Lease", True)
        policies = [service["spec"].get("externalTrafficPolicy") for service in controllers.created]
        assert policies == [None, "Local", "Cluster"]
        assert [str(service.cluster_ips[0]) for service in made] == ["10.96.0.1", "10.96.0.2", "10.96.0.3"]
        assert [port.node_port for port in made[1].ports] == [30020, 30021]
        assert made[0].ports[0].node_port == 0
        for path in [path for path in store.objects if path.startswith(SLICES)]:
            del store.objects[path]  # whose owners are the Services: of their controller
    assert ours(store) == []
    assert not [path for path in store.objects if path.startswith(SERVICES)]


async def test_what_proves_something_is_made_once_all_others_lead_somewhere():
    store = world()
    controllers = Controllers(store)
    async with entered(store) as cluster:
        backend = next(name for name in cluster._pods.started if name.startswith("prod/"))
        made = await cluster.expose([own(backend, proof=True), own(backend), own(backend)])
    assert [service["metadata"]["name"].rpartition("-")[2] for service in controllers.created] == ["s1", "s2", "s0"]
    assert [service.name.rpartition("-")[2] for service in made] == ["s0", "s1", "s2"]
    wrote = [path for method, path in store.requests if path in (SERVICES, SLICES)]
    assert wrote[-4:] == [SERVICES, SLICES, SERVICES, SLICES][-4:] or SLICES in wrote[wrote.index(SERVICES) :]


async def test_one_that_is_refused_or_leads_nowhere_is_left_out_and_said_to_be(monkeypatch):
    monkeypatch.setattr(module, "LISTED_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.01)
    store = world()
    Controllers(store, idle=("s1",))
    async with entered(store) as cluster:
        backend = next(name for name in cluster._pods.started if name.startswith("prod/"))
        made = await cluster.expose([own(backend), own(backend), own("prod/nobody")])
        facts = list(cluster.facts)
        store.denied.add(("create", "services", "prod"))
        refused = await cluster.expose([own(backend)])
        more = list(cluster.facts)
    assert [service is None for service in made] == [False, True, True]
    assert any("s1 led nowhere" in fact for fact in facts)
    assert refused == [None]
    assert any("no ClusterIP was made" in fact and "cannot create" in fact for fact in more)


@pytest.mark.parametrize("numbered", [False, True])
async def test_a_probe_pod_has_its_number_only_where_services_are_asked_for(numbered):
    store = world()
    async with entered(store) if numbered else live(store):
        pods = [pod for path, pod in store.objects.items() if "/pods/" in path]
    assert {NUMBER_LABEL in pod["metadata"]["labels"] for pod in pods} == {numbered}


@pytest.mark.parametrize(("names", "policy"), [(False, "Default"), (True, "ClusterFirst")])
async def test_a_probe_pod_looks_names_up_as_workloads_do_only_where_that_is_asked_for(names, policy):
    store = world()
    cluster = live(store)
    cluster._deployment = replace(cluster._deployment, options=PodOptions(names=names))
    cluster._pods._options = PodOptions(names=names)
    async with cluster as entered_one:
        assert await entered_one.name_service() == NameService()
        pods = [pod for path, pod in store.objects.items() if "/pods/" in path]
    assert {pod["spec"]["dnsPolicy"] for pod in pods} == {policy}
