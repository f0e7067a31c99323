"""Whole audits on the lab: how long the network takes to come up, and how long probing takes beside its
deny timeout.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address

from auditor.cluster.lab.lab import Lab
from auditor.loop.collections import brief_collections
from auditor.loop.watchdog import BOUND, Block, Watchdog
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, PolicyPort, Rule
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.bench.measure import say

PORTS = (
    PortRequest(Protocol.TCP, 80),
    PortRequest(Protocol.TCP, 81),
    PortRequest(Protocol.UDP, 80),
    PortRequest(Protocol.UDP, 81),
)
MANY_PORTS = tuple(PortRequest(protocol, port) for protocol in (Protocol.TCP, Protocol.UDP) for port in range(80, 86))
ONLY_80 = (Rule((), (PolicyPort(Protocol.TCP, 80), PolicyPort(Protocol.UDP, 80))),)


def snapshot(pods: int, nodes: int) -> Snapshot:
    """Pods in three namespaces whose policies allow port 80 and deny the rest: half of ``PORTS``."""
    namespaces = [f"ns-{number}" for number in range(3)]
    endpoints = tuple(
        Endpoint(
            f"{namespaces[number % 3]}/pod-{number}",
            EndpointKind.POD,
            namespaces[number % 3],
            {"pod": str(number)},
            (ip_address(f"10.244.{number % nodes}.{number // nodes + 2}"),),
            node=f"node-{number % nodes + 1}",
        )
        for number in range(pods)
    )
    policies = tuple(
        NetworkPolicy(namespace, "only-80", LabelSelector(), frozenset({Direction.INGRESS}), ONLY_80)
        for namespace in namespaces
    )
    return Snapshot({name: Namespace.of(name) for name in namespaces}, endpoints, policies)


async def _up_and_down(pods: int, nodes: int) -> float:
    lab = Lab(snapshot(pods, nodes), nodes=[f"node-{number + 1}" for number in range(nodes)])
    began = time.perf_counter()
    async with lab:
        return time.perf_counter() - began


async def _audit(pods: int, nodes: int, ports: tuple[PortRequest, ...] = PORTS) -> tuple[float, float, str, Block]:
    """Seconds in all, seconds of the main pass, what came out, and the longest time without a turn of the loop."""
    began = time.perf_counter()
    async with Lab(snapshot(pods, nodes), nodes=[f"node-{number + 1}" for number in range(nodes)]) as lab:
        with brief_collections(), Watchdog() as watchdog:
            report = await audit(lab, "bench", AuditOptions(ports=ports), NoProgress())
    seconds = time.perf_counter() - began
    summary = report.summary
    verdicts = f"{summary.cells} cells, {summary.allowed} allowed, {summary.denied} denied"
    outcome = f"{verdicts}, {summary.faults} faults, {summary.inconclusive} inconclusive"
    return seconds, report.seconds.get("probing", 0.0), outcome, watchdog.longest


def run() -> None:
    """Measure and print."""
    for pods, nodes, limit in ((10, 2, "limit 1 s"), (200, 4, "")):
        seconds = min(asyncio.run(_up_and_down(pods, nodes)) for _ in range(3))
        say(f"lab up: {pods} pods on {nodes} nodes (best of 3)", f"{seconds:.2f} s", limit)
    timeout = ProbingOptions().timeout
    for pods, nodes, ports, limit in ((9, 2, PORTS, "; limit 4 s"), (60, 4, PORTS, ""), (60, 4, MANY_PORTS, "")):
        seconds, probing, outcome, block = asyncio.run(_audit(pods, nodes, ports))
        say(
            f"audit, lab included: {outcome}",
            f"{seconds:.2f} s",
            f"{seconds / timeout:.2f} x the deny timeout of {timeout:g} s{limit}",
        )
        say("  of which the main pass", f"{probing:.2f} s", f"{probing / timeout:.2f} x the deny timeout")
        say(
            "  longest the event loop went without a turn",
            f"{block.computing:.2f} s",
            f"{block.computing / BOUND:.2f} x the limit of {BOUND:g} s; {block}",
        )


if __name__ == "__main__":
    run()
