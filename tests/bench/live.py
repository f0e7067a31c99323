"""Audits of a real cluster as a user starts them: ``python -m tests.bench.live --kubeconfig FILE``.

What is measured is the whole command, from its start to the last of its pods being gone. The cluster gets namespaces of
its own for this, and the lab's enforcer on its nodes for the part in which half of the cells are denied."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.e2e.enforcers.nftables import NftablesEnforcer
from tests.e2e.kubectl import Kubectl, KubectlError, Object

FOUR_PORTS = "TCP/80,TCP/81,UDP/80,UDP/81"
SIX_PORTS = "TCP/80,TCP/81,TCP/82,UDP/80,UDP/81,UDP/82"
DENY_TIMEOUT = 1.3
WHOLE_LIMIT, OPEN_LIMIT, DROPPED_LIMIT = 6.0, 0.5, DENY_TIMEOUT + 0.5
RUNS = 3


def pods(count: int, image: str, namespaces: Sequence[str]) -> Iterator[Object]:
    """``count`` pods in ``namespaces`` by turns, each with a label of its own."""
    for number in range(count):
        container = {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "infinity"]}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"pod-{number}",
                "namespace": namespaces[number % len(namespaces)],
                "labels": {"pod": str(number)},
            },
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        }


def policy(namespace: str, ports: Sequence[Object]) -> Object:
    """A policy that isolates all of ``namespace`` for ingress and allows ``ports`` from everywhere; none:
    every port.
    """
    rule = {"ports": list(ports)} if ports else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "bench", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule]},
    }


ONLY_80 = ({"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 80})


@contextmanager
def world(kubectl: Kubectl, count: int, image: str) -> Iterator[list[str]]:
    """``count`` pods that run, in three namespaces."""
    names = [f"bench-{number}" for number in range(3)]
    kubectl.delete_namespaces(names)
    kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    try:
        kubectl.apply(pods(count, image, names))
        for name in names:
            kubectl.run("wait", "-n", name, "--for=condition=Ready", "pods", "--all", "--timeout=180s", patience=200)
        yield names
    finally:
        kubectl.delete_namespaces(names)


class MemoryOfAgents(threading.Thread):
    """The most memory that the agent of one probe pod was seen to take, in KiB, looked at while a run goes on."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        super().__init__(daemon=True)
        self._kubectl = kubectl
        self._namespace = namespace
        self.most = 0
        self.over = threading.Event()

    LOOK = (
        "import os,re\n"
        "for p in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try:\n"
        "        if b'agent.py' in open(f'/proc/{p}/cmdline','rb').read():\n"
        "            print(re.search(r'VmHWM:\\s+(\\d+)', open(f'/proc/{p}/status').read())[1])\n"
        "    except OSError:\n"
        "        pass\n"
    )

    def run(self) -> None:
        while not self.over.wait(0.5):
            try:
                found = self._kubectl.run(
                    "get", "pods", "-n", self._namespace, "-l", "netpol-audit/run", "-o", "name"
                ).split()
                if found:
                    seen = self._kubectl.run(
                        "exec", "-n", self._namespace, found[0], "--", "python3", "-ISc", self.LOOK
                    ).split()
                    self.most = max([self.most, *map(int, seen)])
            except (KubectlError, ValueError):
                continue


def audit(kubectl: Kubectl, image: str, names: Sequence[str], ports: str, *more: str) -> tuple[float, dict[str, Any]]:
    """Wall time of one whole command in seconds, and its report."""
    chosen = [word for name in names for word in ("-n", name)] + [
        word for name in names for word in ("--from", name, "--to", name)
    ]
    argv = [
        sys.executable,
        "-m",
        "auditor",
        "run",
        "--kubeconfig",
        kubectl.kubeconfig,
        "--image",
        image,
        "-q",
        "-o",
        "json",
        "--all-pods",
    ]
    began = time.perf_counter()
    done = subprocess.run([*argv, "--ports", ports, *chosen, *more], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if not done.stdout:
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)


def probing(report: dict[str, Any]) -> float:
    """Seconds from the first probe to the last one of the main pass, its controls included."""
    return float(sum(report["seconds"].get(phase, 0.0) for phase in ("probing", "controls")))


def starting(kubectl: Kubectl, count: int, image: str, names: Sequence[str]) -> float:
    """Seconds that kubectl needs until ``count`` plain pods are ready: what no audit that has probe pods of its own
    can do without.
    """
    plain = list(pods(count, image, names))
    for pod in plain:
        pod["metadata"]["name"] += "-plain"
        pod["metadata"]["labels"] = {"bench": "plain"}
    began = time.perf_counter()
    kubectl.apply(plain)
    for name in names:
        kubectl.run("wait", "-n", name, "--for=condition=Ready", "pods", "--all", "--timeout=180s", patience=200)
    seconds = time.perf_counter() - began
    for name in names:
        kubectl.run("delete", "pods", "-n", name, "-l", "bench=plain", "--now")
    return seconds


def tell(name: str, runs: Sequence[tuple[float, dict[str, Any]]], limits: tuple[float, float] | None) -> None:
    """Print the quickest of ``runs`` beside ``limits`` for the whole command and for its probing."""
    wall, report = min(runs, key=lambda run: run[0])
    summary, api = report["summary"], report["api"]
    limit = f" (limits {limits[0]:.1f} and {limits[1]:.1f} s)" if limits else ""
    print(f"{name}: {wall:.2f} s in all, probing {probing(report):.2f} s{limit}")
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in report["seconds"].items() if seconds >= 0.005)
    print(
        f"  {summary['cells']} cells, {summary['allowed']} allowed, {summary['denied']} denied, "
        f"{summary['inconclusive']} inconclusive"
    )
    print(f"  {phases}")
    print(f"  {api['calls']} API requests, {api['received'] / 1000:.0f} kB received, {api['sent'] / 1000:.0f} kB sent")


def nine(kubectl: Kubectl, image: str, node_image: str) -> None:
    """9 x 9 pods x 4 ports, all open, and with half of the cells dropped."""
    with world(kubectl, 9, image) as names:
        floors, runs = [], []
        for _ in range(RUNS):
            floors.append(starting(kubectl, 9, image, names))
            runs.append(audit(kubectl, image, names, FOUR_PORTS))
        tell("9 pods, all open", runs, (WHOLE_LIMIT, OPEN_LIMIT))
        ratio = min(seconds for seconds, _ in runs) / min(floors)
        print(f"  {ratio:.2f} times what kubectl needs for nine plain pods to be ready, {min(floors):.2f} s")
        with NftablesEnforcer(kubectl, node_image, names) as enforcer:
            kubectl.apply(policy(name, ONLY_80) for name in names)
            enforcer.use()
            enforcer.settle()
            runs = [audit(kubectl, image, names, FOUR_PORTS) for _ in range(RUNS)]
            tell("9 pods, half dropped", runs, (WHOLE_LIMIT + DENY_TIMEOUT, DROPPED_LIMIT))


def services(kubectl: Kubectl, image: str, node_image: str) -> None:
    """9 x 9 pods x 4 ports, half of the cells dropped, without and with --services by turns."""
    with world(kubectl, 9, image) as names, NftablesEnforcer(kubectl, node_image, names) as enforcer:
        kubectl.apply(policy(name, ONLY_80) for name in names)
        enforcer.use()
        enforcer.settle()
        without, through = [], []
        for _ in range(RUNS):
            without.append(audit(kubectl, image, names, FOUR_PORTS))
            through.append(audit(kubectl, image, names, FOUR_PORTS, "--services"))
        tell("9 pods, half dropped, without Services", without, None)
        tell("9 pods, half dropped, with --services", through, None)
        counts = min(through, key=lambda run: run[0])[1]["services"]
        print(f"  {counts['connections']} connections through Services, {counts['inconclusive']} inconclusive")


def sixty(kubectl: Kubectl, image: str) -> None:
    """60 x 60 pods x 6 ports."""
    with world(kubectl, 60, image) as names:
        memory = MemoryOfAgents(kubectl, names[0])
        memory.start()
        run = audit(kubectl, image, names, SIX_PORTS, "--start-timeout", "180")
        memory.over.set()
        memory.join()
        tell("60 pods, all open", [run], None)
        controller = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"  memory: controller {controller / 1024:.0f} MiB, an agent {memory.most / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--image", default="audit-e2e/python:3")
    parser.add_argument("--node-image")
    parser.add_argument("--only", choices=["nine", "services", "sixty"])
    options = parser.parse_args()
    kubectl = Kubectl(options.kubeconfig)
    node_image, parts = options.node_image or options.image, [options.only] if options.only else ["nine", "sixty"]
    if "nine" in parts:
        nine(kubectl, options.image, node_image)
    if "services" in parts:
        services(kubectl, options.image, node_image)
    if "sixty" in parts:
        sixty(kubectl, options.image)


if __name__ == "__main__":
    main()
