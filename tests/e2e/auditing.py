"""Audits of the real cluster as users start them, held against what the tests' own evaluator predicts for the enforcer
in force.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

from auditor.model.dialect import Enforcement
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Result, Verdict
from tests.e2e import world
from tests.e2e.kubectl import Kubectl, Object
from tests.e2e.live import read_world
from tests.e2e.recording import PODS, Recording
from tests.oracle.evaluator import AmbiguousPrediction, may_flake, verdict
from tests.unit.cli.audit_process import environment
from tests.watching import LIMIT

Report = dict[str, Any]

FOUND_TO_DIFFER = (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED, Result.CNI_DEPENDENT)
FAULTS_OF_SERVICES = ("leaks", "outages", "misdelivered", "unstable", "inconclusive")
WAYS = {"cluster-ip", "node-port", "node-port-local"}
NO_VERDICT = (Result.INCONCLUSIVE, Result.SKIPPED)
MANAGED = "app.kubernetes.io/managed-by=netpol-audit"
RUN_LABEL = "netpol-audit/run"
PATIENCE = 240
HELD_UP = re.compile(r"held it up for (\d+\.\d+) s\n")
held_up: list[float] = []
"""Seconds for which the event loop of each audit of the suite was held up at most."""


def command(kubectl: Kubectl, *arguments: str) -> list[str]:
    """The command line ``audit ARGUMENTS`` on the cluster."""
    return [sys.executable, "-m", "auditor", *arguments, "--kubeconfig", kubectl.kubeconfig]


def audit(kubectl: Kubectl, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``audit ARGUMENTS`` on the cluster to its end."""
    return subprocess.run(
        command(kubectl, *arguments), env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


MODES = frozenset({"--one-per-class", "--per-node", "--all-pods", "--in-place"})


def run_arguments(image: str, *more: str, namespace: str = world.PROD, seconds: bool = False) -> tuple[str, ...]:
    """What the suite calls ``audit`` with for a whole run on the shop, or on another ``namespace``; with the
    ``seconds`` of pods alike that a run has by itself.
    """
    # Dialects that are slow leave new pods open, and further probe pods take time: both are for those who ask for it.
    bearing = () if "--late-isolation" in more else ("--late-isolation", "60")
    mode = () if seconds or not MODES.isdisjoint(more) else ("--one-per-class",)
    return ("run", "-n", namespace, "--image", image, "-o", "json", "-q", *mode, *bearing, *more)


@dataclass(frozen=True)
class Audited:
    """A run that has ended: its exit code, what it reported and the probe pods that it used, as endpoints by the
    report's names.
    """

    code: int
    report: Report
    complaints: str
    probes: tuple[Endpoint, ...]

    def results(self) -> dict[Cell, Object]:
        """The report's cells."""
        return {
            Cell(
                one["source"],
                one["destination"],
                Protocol(one["protocol"]),
                one["port"],
                Family(int(one["family"][-1])),
            ): one
            for one in self.report["cells"]
        }


def run_audit(kubectl: Kubectl, image: str, *more: str, namespace: str = world.PROD, seconds: bool = False) -> Audited:
    """Audit the shop, or another ``namespace``, as ``run_arguments`` has it."""
    with Recording(kubectl, PODS) as recording:
        done = audit(kubectl, *run_arguments(image, *more, namespace=namespace, seconds=seconds), "--debug")
    complaints = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("debug: "))
    assert done.stdout, complaints
    held_up.extend(map(float, HELD_UP.findall(done.stderr)))
    assert held_up[-1] <= LIMIT, f"the event loop was held up for {held_up[-1]} s"
    report = json.loads(done.stdout)
    return Audited(done.returncode, report, complaints, tuple(_probes(report, recording)))


def through_services(report: Report) -> list[Object]:
    """The connections of ``report`` through Services: every way was tried, and none differs by the Service alone."""
    cells: list[Object] = report["service_cells"]
    unheard = {cell["outcome"]: cell for cell in cells if cell["observed"] == "inconclusive"}
    assert unheard == {}
    assert {cell["way"] for cell in cells} == WAYS
    faults = {name: report["services"][name] for name in FAULTS_OF_SERVICES}
    assert faults == dict.fromkeys(FAULTS_OF_SERVICES, 0)
    return cells


def _probes(report: Report, recording: Recording) -> Iterator[Endpoint]:
    """Each endpoint of ``report``, pods with the labels and ports that they really had."""
    pods = {
        pod["status"]["podIP"]: pod
        for pod in recording.latest(PODS)
        if pod["status"].get("podIP") and RUN_LABEL in _labels(pod)
    }
    for entry in report["endpoints"]:
        if entry["kind"] == EndpointKind.NODE:
            addresses = tuple(ip_address(address) for address in entry["addresses"])
            yield Endpoint(entry["name"], EndpointKind.NODE, addresses=addresses, node=entry["name"].partition("/")[2])
        if entry["kind"] != EndpointKind.POD or not entry["addresses"]:
            continue
        pod = pods[entry["addresses"][0]]
        declared = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
        yield Endpoint(
            entry["name"],
            EndpointKind.POD,
            pod["metadata"]["namespace"],
            _labels(pod),
            tuple(ip_address(address) for address in entry["addresses"]),
            tuple(
                ContainerPort(Protocol(port["protocol"]), port["containerPort"], port.get("name", ""))
                for port in declared
            ),
            pod["spec"]["nodeName"],
        )


def _labels(pod: Object) -> dict[str, str]:
    labels: dict[str, str] = pod["metadata"].get("labels", {})
    return labels


def wrong(
    kubectl: Kubectl,
    audited: Audited,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None = None,
) -> list[str]:
    """Every way in which what ``audited`` found is not what the oracle predicts for ``enforcement``, which is that of
    the suite's own namespaces alone."""
    snapshot = read_world(kubectl)
    policed = tuple(policy for policy in snapshot.policies if policy.namespace in (*world.NAMESPACES, world.TENANT))
    shadow = replace(snapshot, endpoints=audited.probes, policies=policed)
    return [
        f"{problem}: {one}"
        for cell, one in audited.results().items()
        if (problem := _problem(shadow, cell, one, enforcement, previous_policies))
    ]


def _problem(
    shadow: Snapshot,
    cell: Cell,
    one: Object,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None,
) -> str:
    if one["result"] in NO_VERDICT:
        return "no verdict"
    by_name = {endpoint.name: endpoint for endpoint in shadow.endpoints}
    ends = by_name[cell.source], by_name[cell.destination]
    try:
        predicted = verdict(
            shadow,
            *ends,
            cell.protocol,
            cell.port,
            cell.family,
            enforcement=enforcement,
            previous_policies=previous_policies,
        )
    except AmbiguousPrediction:
        return ""
    differs = one["result"] in FOUND_TO_DIFFER
    if predicted is Verdict.ALLOWED and may_flake(*ends, enforcement):
        return ""
    if differs and predicted == one["expected"]:
        return "not caused by the enforcer"
    return "missed" if predicted != one["expected"] and not differs else ""


def left_behind(kubectl: Kubectl, patience: float = 60) -> list[str]:
    """Whatever of ours is in the cluster and stays there: the cluster gets up to ``patience`` seconds to be done with
    what it has been told to delete.
    """
    until = time.monotonic() + patience
    while found := in_cluster(kubectl):
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    return found


def in_cluster(kubectl: Kubectl) -> list[str]:
    """Whatever of ours is in the cluster at this moment."""
    found = kubectl.items("pods,configmaps,leases", "--all-namespaces", "-l", MANAGED)
    told = [f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}" for item in found]
    namespaces = kubectl.items("namespaces", "-l", RUN_LABEL)
    return told + [f"Namespace {item['metadata']['name']}" for item in namespaces]


class Running:
    """An audit under way, its progress shown line by line. Left while it still runs, it is killed."""

    def __init__(self, kubectl: Kubectl, image: str, *more: str) -> None:
        self._start(kubectl, *(argument for argument in run_arguments(image, *more) if argument != "-q"))

    @classmethod
    def of(cls, kubectl: Kubectl, *arguments: str) -> Self:
        """``audit ARGUMENTS``, with JSON on its standard output."""
        running = cls.__new__(cls)
        running._start(kubectl, *arguments)
        return running

    def _start(self, kubectl: Kubectl, *arguments: str) -> None:
        self._process = subprocess.Popen(
            command(kubectl, *arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._told: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, phase: str) -> None:
        """Return as soon as it says that ``phase`` begins."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._told.append(line)
            if line.startswith(phase):
                return
        raise AssertionError(f"it ended before {phase!r}: {''.join(self._told)}")

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> tuple[int, Report, str]:
        """Wait for its end: the exit code, the report (empty without one), and all that it printed."""
        output, told = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, json.loads(output) if output else {}, "".join(self._told) + told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
