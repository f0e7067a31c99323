from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.session import ephemeral as module
from auditor.cluster.kubernetes.session.ephemeral import BOOT, END, WAIT, EphemeralContainer
from auditor.cluster.kubernetes.session.in_place import InPlaceCluster, InPlacePlan
from auditor.model.errors import ClusterError
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.probing.options import NoProgress
from tests.unit.kubernetes.living import RUN, WORKLOADS, ours, policy, snapshot, versions, world
from tests.unit.kubernetes.test_live import held_by_somebody
from tests.unit.probing.processes import AGENT, KEY, SERVER, AgentProcess, free_ports

PODS = "/api/v1/namespaces/{}/pods"
HOST = Endpoint("host/example", EndpointKind.HOST, addresses=(ip_address("192.0.2.1"),))


class Stream:
    """An exec stream on which a process says nothing and ends when it is told to."""

    def __init__(self, log, place):
        self._log, self._place = log, place
        self.sent = b""
        self.closed = False

    async def send(self, line):
        self.sent += line

    async def receive(self):
        return b""

    async def close(self):
        self.closed = True


@pytest.fixture
def streams(monkeypatch):
    opened = []

    async def open_exec(_api, namespace, pod, container, command):
        stream = Stream(opened, (namespace, pod, container, command))
        opened.append(stream)
        return stream

    monkeypatch.setattr(module, "open_exec", open_exec)
    return opened


def hosting(*objects):
    """A cluster with a pod object for each workload."""
    pods = [
        (
            PODS.format(one.namespace),
            {"metadata": {"name": one.name.partition("/")[2], "namespace": one.namespace}, "status": {}},
        )
        for one in WORKLOADS
    ]
    return world(*pods, *objects)


def in_place(store, **changes):
    pods = {one.name: (one.namespace, one.name.partition("/")[2]) for one in WORKLOADS}
    return InPlaceCluster(
        store, RUN, InPlacePlan(snapshot((*WORKLOADS, HOST)), pods, versions(store), **changes), NoProgress(), str
    )


def status_of(store, name):
    return store.objects[f"{PODS.format(name.partition('/')[0])}/{name.partition('/')[2]}"]["status"]


def agents_and_ends(streams):
    """How often an agent was started, and how often an ending was asked for."""
    return [sum(word in stream._place[3][2] for stream in streams) for word in ("agent.py", "listdir")]


async def test_each_pod_is_joined_and_left_again(streams):
    store = hosting()
    async with in_place(store, absent={"prod/gone": "none of its pods runs"}) as cluster:
        sites = {site.name: (site.agent, site.listens) for site in cluster.sites}
        assert sites == {**{one.name: (True, False) for one in WORKLOADS}, HOST.name: (False, False)}
        assert cluster.absent == {"prod/gone": "none of its pods runs"}
        assert len(ours(store)) == 2
        await cluster.open(next(site for site in cluster.sites if site.agent))
        assert streams[0].sent[8:] == AGENT.read_bytes()
        assert agents_and_ends(streams) == [1, 0]
    assert agents_and_ends(streams) == [1, 3]
    assert all(stream.closed for stream in streams[1:])
    assert list(cluster.farewell) == ["3 pods list an ephemeral container of this run until replaced"]
    assert ours(store) == []


async def test_the_image_that_really_ran_in_them_is_told(streams):
    store = hosting()
    ran = {"imageID": f"docker.io/library/python@sha256:{1:064x}", "state": {"running": {}}}
    store.start = lambda *_: {"containerStatuses": [ran]}
    async with in_place(store) as cluster:
        assert [
            fact
            for fact in cluster.facts
            if f", which was sha256:{1:064x}: --image docker.io/library/python@sha256:" in fact
        ]


async def test_pods_of_a_namespace_that_somebody_holds_are_left_alone(streams):
    store = hosting()
    held_by_somebody(store, "dev")
    async with in_place(store) as cluster:
        assert {site.name for site in cluster.sites if site.agent} == {"prod/db-1", "prod/web-1"}
        assert cluster.absent["dev/api-1"].startswith("namespace dev: somebody has been auditing here")
        assert cluster.facts[0].startswith("left out: namespace dev: ")
    assert "ephemeralContainerStatuses" not in status_of(store, "dev/api-1")


async def test_the_container_takes_no_rights_and_ends_by_itself():
    store = hosting()
    container = EphemeralContainer(store, RUN, "prod", "db-1", PodOptions(lifetime=77))
    manifest = container._manifest()
    assert manifest["securityContext"]["runAsNonRoot"] is True
    assert manifest["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert manifest["command"][-1] == manifest["name"] == f"netpol-audit-{RUN}"
    assert "77" in manifest["command"][2]


async def test_a_pod_that_can_not_be_joined_has_failed_and_the_rest_goes_on(streams):
    store = hosting()
    store.denied.add(("patch", "pods", "dev"))
    store.delete(f"{PODS.format('prod')}/db-1")
    async with in_place(store) as cluster:
        assert set(cluster.failed) == {"dev/api-1", "prod/db-1"}
        assert "(403)" in cluster.failed["dev/api-1"]
        assert "no such pod" in cluster.failed["prod/db-1"]
        assert [site.name for site in cluster.sites if site.agent] == ["prod/web-1"]
    # What was refused is listed nowhere, and needs no end.
    assert list(cluster.farewell) == ["1 pod lists an ephemeral container of this run until replaced"]
    assert agents_and_ends(streams) == [0, 1]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (
            {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
            "its ephemeral container can't run: ErrImagePull: no such image",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, "its ephemeral container did not start within 0.05 s"),
    ],
)
async def test_where_none_can_be_joined_the_reason_is_told(streams, state, reason):
    store = hosting()
    store.start = lambda *_: {"containerStatuses": [{"state": state}]}
    with pytest.raises(ClusterError, match=f"no pod could be joined: {reason}"):
        await in_place(store, start_seconds=0.05).__aenter__()
    assert ours(store) == []


async def test_what_can_not_be_ended_is_told(monkeypatch):
    async def open_exec(*_):
        raise ClusterError("the kubelet is gone")

    monkeypatch.setattr(module, "open_exec", open_exec)
    async with in_place(hosting()) as cluster:
        pass
    assert cluster.farewell[1] == "3 of these could not be ended and will end by themselves: the kubelet is gone"


async def test_a_stream_over_which_the_agent_can_not_be_sent_is_closed(monkeypatch, streams):
    async def refuse(_self, _line):
        raise ConnectionError("broken")

    monkeypatch.setattr(Stream, "send", refuse)
    async with in_place(hosting()) as cluster:
        with pytest.raises(ConnectionError):
            await cluster.open(cluster.sites[0])
        assert streams[0].closed


async def test_a_stay_in_place_cancelled_at_any_moment_leaves_nothing(streams):
    for at in range(1000):
        streams.clear()
        store = hosting()
        store.cancel_at = at

        async def stay(store=store):
            async with in_place(store):
                await store.step()

        store.main = asyncio.create_task(stay())
        await asyncio.wait([store.main], timeout=20)
        assert ours(store) == []
        joined = [one.name for one in WORKLOADS if "ephemeralContainerStatuses" in status_of(store, one.name)]
        assert len(joined) <= agents_and_ends(streams)[1], at
        if next(store.steps) <= at:
            break
        assert store.main.cancelled()
    assert at > 25


def block():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


@contextmanager
def program(source, *words):
    """A process that runs ``source``. It blocks SIGTERM from the beginning, lest it die before it waits for it."""
    pipe, command = subprocess.PIPE, [sys.executable, "-ISc", source, *words]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, preexec_fn=block) as process:  # noqa: PLW1509 - no threads here
        try:
            yield process
        finally:
            process.kill()


def test_an_agent_that_comes_over_the_stream_works_and_loses_no_command_sent_right_behind():
    source = AGENT.read_bytes()
    (port,) = free_ports(1)
    listen = {"do": "listen", "identity": SERVER, "key": KEY, "tcp": [port], "udp": [], "addresses": []}
    with program(BOOT) as process:
        agent = AgentProcess(process)
        agent.raw(
            b"%08d" % len(source)
            + source
            + json.dumps(listen).encode()
            + b"\n"
            + json.dumps({"do": "lag"}).encode()
            + b"\n"
        )
        assert agent.hear()["kind"] == "listening"
        assert agent.hear()["kind"] == "lag"
        (answer,), _ = agent.probe(("127.0.0.1", "tcp", [port], SERVER))
        assert answer[0] == "allowed"
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_stream_that_ends_before_the_agent_is_whole_starts_none():
    with program(BOOT) as process:
        process.stdin.write(b"00000100print(")
        process.stdin.close()
        assert process.wait(20) == 1
        assert process.stdout.read() == b""


def test_only_the_process_of_this_run_is_ended():
    marker = f"netpol-audit-{RUN}"
    another_run, another_program = "input()  # sigtimedwait", "input()"
    with program(another_run, "netpol-audit-22222222") as one, program(another_program, marker) as other:
        with program(WAIT.format(lifetime=600), marker) as mine:
            subprocess.run([sys.executable, "-ISc", END.format(marker=marker.encode())], check=True, timeout=60)
            assert mine.wait(20) == 0
        assert not was_told_to_end(one)
        assert not was_told_to_end(other)
        other.send_signal(signal.SIGTERM)
        assert was_told_to_end(other)


def was_told_to_end(process):
    """Whether a SIGTERM waits for ``process``, which blocks it."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    pending = next(line for line in lines if line.startswith("ShdPnd"))
    return bool(int(pending.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_it_ends_by_itself_after_its_lifetime():
    with program(WAIT.format(lifetime=0.05), "netpol-audit-11111111") as process:
        assert process.wait(60) == 0


def relabel(store, name, **labels):
    path = f"{PODS.format(name.partition('/')[0])}/{name.partition('/')[2]}"
    store.objects[path]["metadata"]["labels"] = labels


@pytest.mark.usefixtures("streams")
async def test_a_pod_that_is_relabelled_has_failed_and_one_that_is_gone_is_left_to_its_agent():
    store = hosting(policy("db", "web"))
    for one in WORKLOADS:
        relabel(store, one.name, **one.labels)
    async with in_place(store) as cluster:
        relabel(store, "prod/web-1", app="web", unread="1")
        del store.objects[f"{PODS.format('dev')}/api-1"]
        await cluster.changes()
        assert cluster.failed == {}
        relabel(store, "prod/web-1", app="other")
        await cluster.changes()
        assert list(cluster.failed) == ["prod/web-1"]
        assert cluster.failed["prod/web-1"].startswith("somebody changed the label app of its pod during the run")
