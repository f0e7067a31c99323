"""Probing over slow streams: what the round trips to the agents cost when every answer comes at once.

Run as ``python -m tests.bench.round_trips``. The lab's agents, each line held up on its way as on an exec stream
through an API server."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address

from auditor.cluster.lab.lab import Lab
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.probe_run import probe
from auditor.probing.sites import AgentChannel, ProbeSite
from tests.bench.measure import say

DELAY = 0.01
SITES = 9
PORTS = (80, 81)


class SlowChannel:
    """A channel on which every line arrives ``DELAY`` seconds later, in either direction; lines don't wait for one
    another.
    """

    broken = False
    failure = ""

    def __init__(self, channel: AgentChannel) -> None:
        self._channel = channel
        self._there: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._back: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._carriers = [asyncio.create_task(self._deliver()), asyncio.create_task(self._fetch())]

    async def _deliver(self) -> None:
        while True:
            await self._channel.send(await _arrived(self._there))

    async def _fetch(self) -> None:
        while True:
            self._back.put_nowait((time.perf_counter() + DELAY, await self._channel.receive()))

    async def send(self, line: bytes) -> None:
        self._there.put_nowait((time.perf_counter() + DELAY, line))

    async def receive(self) -> bytes:
        return await _arrived(self._back)

    async def close(self) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await self._channel.close()


async def _arrived(lines: asyncio.Queue[tuple[float, bytes]]) -> bytes:
    due, line = await lines.get()
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return line


async def _probe() -> tuple[float, dict[str, float]]:
    names = [f"ns/pod-{number}" for number in range(SITES)]
    pods = [
        Endpoint(name, EndpointKind.POD, "ns", {}, (ip_address(f"10.244.0.{number + 2}"),), node="node-1")
        for number, name in enumerate(names)
    ]
    protocols = [(protocol, port) for protocol in (Protocol.TCP, Protocol.UDP) for port in PORTS]
    cells = [
        Cell(source, to, protocol, port, Family.IPV4)
        for source in names
        for to in names
        for protocol, port in protocols
    ]
    async with Lab(Snapshot({"ns": Namespace.of("ns")}, tuple(pods)), nodes=["node-1"]) as lab:

        async def open_slowly(site: ProbeSite) -> AgentChannel:
            return SlowChannel(await lab.open(site))

        began = time.perf_counter()
        outcome = await probe(cells, lab.sites, open_slowly, lambda _: Verdict.ALLOWED, ProbingOptions(), NoProgress())
        seconds = time.perf_counter() - began
    assert all(seen.outcome == "token" for seen in outcome.observations.values())
    return seconds, dict(outcome.seconds)


def run() -> None:
    """Measure and print."""
    seconds, phases = min((asyncio.run(_probe()) for _ in range(5)), key=lambda one: one[0])
    told = ", ".join(f"{name} {spent:.2f} s" for name, spent in phases.items())
    cells = SITES * SITES * 2 * len(PORTS)
    say(
        f"probing, {SITES} agents, {cells} cells, all open, lines 10 ms late (best of 5)",
        f"{seconds:.2f} s",
        f"{told}; limit 0.5 s",
    )


if __name__ == "__main__":
    run()
