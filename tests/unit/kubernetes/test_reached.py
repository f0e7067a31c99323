"""What the status of a pod says about its network link."""

from __future__ import annotations

import copy
import socket
import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import ip_address

import msgspec
import pytest

from auditor.cluster.kubernetes.objects import REACHED_PORT, WAIT, Anchor, PodOptions, pod_manifest
from auditor.cluster.kubernetes.session.reached import ReachedPod
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, PolicyPort, Rule
from auditor.model.ports import PortRequest, Protocol
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.run import live as live_run
from auditor.run.audit import _intend
from auditor.run.planning import AuditOptions
from tests.unit.kubernetes.living import NAMES, live, world

V4 = frozenset({Family.IPV4})
TCP = {"tcpSocket": {"port": 1}}


def pod(probe=None, *, ready=True, state="running", ip="10.0.0.1", **more):
    container = {"name": "agent", **({"readinessProbe": probe} if probe else {})}
    status = {
        "podIP": ip,
        "containerStatuses": [{"name": "agent", "ready": ready, "state": {state: {}}}],
        **more.pop("status", {}),
    }
    return msgspec.convert({"spec": {"containers": [container], **more}, "status": status}, ReachedPod)


@pytest.mark.parametrize(
    ("shown", "families"),
    [
        (pod(TCP), V4),
        (pod({"httpGet": {"path": "/"}}), V4),
        (pod({"grpc": {"port": 1}}), V4),
        (pod(TCP, ip="fd00::1"), frozenset({Family.IPV6})),
        (pod(), None),
        (pod({"exec": {"command": ["true"]}}), None),
        (pod({"tcpSocket": {"port": 1, "host": "192.0.2.1"}}), None),
        (pod(TCP, ready=False), None),
        (pod(TCP, state="terminated"), None),
        (pod(TCP, hostNetwork=True), None),
        (pod(TCP, ip=""), None),
        (ReachedPod(), None),
    ],
)
def test_ready_says_something_only_after_a_probe_over_the_link(shown, families):
    assert (shown.contact and shown.contact.families) == families


def test_how_old_the_news_may_be():
    quick = pod({**TCP, "periodSeconds": 1, "failureThreshold": 1})
    assert (quick.contact.seconds, pod(TCP).contact.seconds) == (4.0, 33.0)


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ({"hostIP": "192.0.2.1"}, ["192.0.2.1"]),
        ({"hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}, {"ip": "fd00::1"}]}, ["192.0.2.1", "fd00::1"]),
        ({}, []),
    ],
)
def test_the_node_is_where_its_status_says(status, addresses):
    assert list(map(str, pod(status=status).node_addresses)) == addresses


def status(number, *, ready):
    address = f"10.0.0.{number}"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "192.0.2.1",
        "containerStatuses": [{"name": "agent", "ready": ready, "state": {"running": {}}}],
    }


async def test_the_kubelet_is_asked_for_each_probe_pod():
    store = world()
    store.start = lambda number, _: status(number, ready=number != 2)
    async with live(store) as cluster:
        sites = {site.name: site for site in cluster.sites}
        assert {site.watched for site in sites.values()} == {V4}
        assert {site.neighbour_addresses for site in sites.values()} == {(ip_address("192.0.2.1"),)}
        heard = await cluster.witnesses.heard(NAMES)
        assert len(heard) == len(NAMES) - 1
        assert await cluster.witnesses.heard(()) == {}
        path = next(path for path in store.objects if "/pods/" in path)
        changed = copy.deepcopy(store.objects[path])
        changed["status"] = status(1, ready=False)
        store.objects[path] = changed
        assert len(await cluster.witnesses.heard(NAMES)) == len(NAMES) - 2


async def test_a_pod_whose_probe_admission_took_out_is_not_watched():
    store = world()

    def start(number, manifest):
        del manifest["spec"]["containers"][0]["readinessProbe"]
        return status(number, ready=True)

    store.start = start
    async with live(store) as cluster:
        assert {site.watched for site in cluster.sites} == {frozenset()}
        assert await cluster.witnesses.heard(NAMES) == {}


@pytest.fixture
def port():
    with socket.create_server(("", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def first_process(port):
    process = subprocess.Popen([sys.executable, "-ISc", WAIT.replace("REACHED", str(port))])
    yield process
    process.kill()
    process.wait()


def connects(address, port):
    for _ in range(200):
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def test_the_first_process_lets_the_kubelet_in_again_and_again(first_process, port):
    assert connects("127.0.0.1", port)
    for _ in range(300):  # more than any queue holds
        socket.create_connection(("127.0.0.1", port), 5).close()
    first_process.terminate()
    assert first_process.wait(20) == 0


def test_the_kubelet_reaches_a_port_that_is_not_tried():
    tried = {REACHED_PORT, REACHED_PORT + 1}
    options = PodOptions().apart_from(tried)
    probe = ProbePod("prod/db", "prod", {}, (), "", ())
    container = pod_manifest(probe, 0, "0a1b2c3d", Anchor("netpol-audit", "u"), options)["spec"]["containers"][0]
    assert container["readinessProbe"]["tcpSocket"] == {"port": REACHED_PORT + 2}
    assert f'("", {REACHED_PORT + 2})' in container["command"][-1]


async def test_a_port_that_a_policy_names_is_left_to_the_audit():
    rule = Rule(ports=(PolicyPort(Protocol.TCP, REACHED_PORT),))
    opening = NetworkPolicy("prod", "p", LabelSelector(), frozenset({Direction.INGRESS}), (rule,))
    there = Snapshot(namespaces={}, endpoints=(), policies=(opening,))
    assert {REACHED_PORT - 1, REACHED_PORT, REACHED_PORT + 1} & live_run._tcp_ports(there, ()) == {REACHED_PORT}


async def test_what_kubelets_try_is_part_of_the_audit_and_nothing_else_of_nodes_is():
    async with live(world()) as cluster:
        nodes = [end for end in cluster.snapshot.endpoints if end.kind is EndpointKind.NODE]
        assert [(node.name, node.addresses) for node in nodes] == [("node/node-1", (ip_address("192.0.2.1"),))]
        assert all(site.agent and site.name in NAMES for site in cluster.sites)
        options = AuditOptions(scope=frozenset({"prod/db"}), at_nodes=False)
        plan, expectation = _intend(cluster.snapshot, cluster.sites, options, {})
        own = Cell("node/node-1", "prod/db", Protocol.TCP, REACHED_PORT, Family.IPV4)
        assert {cell for cell in expectation.verdicts if not {cell.source, cell.destination} <= {*NAMES}} == {own}
        assert expectation.verdicts[own] is Verdict.ALLOWED
        assert own not in plan.cells
        elsewhere = AuditOptions(scope=frozenset(NAMES), destinations=("dev/api",), at_nodes=False)
        asked = _intend(cluster.snapshot, cluster.sites, elsewhere, {})[1].verdicts
        assert [cell.destination for cell in asked if cell.source == "node/node-1"] == ["dev/api"]
        with_ports = replace(options, ports=(PortRequest(Protocol.TCP, number=80),))
        assert own not in _intend(cluster.snapshot, cluster.sites, with_ports, {})[1].verdicts
