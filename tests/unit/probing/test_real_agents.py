"""The probe run with real agents as processes, which reach each other over loopback: each site has its own ports
instead of an address.
"""

import asyncio
from collections import Counter
from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.attempts import Listener
from auditor.probing.batches import Batch, Target
from auditor.probing.keys import RunKey
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.probe_run import probe
from auditor.probing.session import AgentSession
from auditor.probing.sites import ProbeSite
from tests.unit.probing.processes import ProcessChannel, free_ports

HERE = ip_address("127.0.0.1")
OPTIONS = ProbingOptions(timeout=1.0, retests=1, settle=0.0)


class Agents:
    """Sites ``p/0``, ``p/1``, … with ``ports`` for each, and the processes that run there."""

    def __init__(self, sites, ports_each):
        self.sites = [ProbeSite(f"p/{n}", (HERE,), (f"p/{n}",)) for n in range(sites)]
        ports = free_ports(sites * ports_each)
        self.ports = {site.name: ports[n * ports_each : (n + 1) * ports_each] for n, site in enumerate(self.sites)}
        self.channels = {}

    async def open(self, site):
        self.channels[site.name] = channel = await ProcessChannel.start()
        return channel

    def cells(self):
        return [
            Cell(source.name, destination.name, protocol, port, Family.IPV4)
            for source in self.sites
            for destination in self.sites
            for port in self.ports[destination.name]
            for protocol in (Protocol.TCP, Protocol.UDP)
        ]

    async def probe(self, cells, progress=None):
        return await probe(cells, self.sites, self.open, lambda _: Verdict.ALLOWED, OPTIONS, progress or NoProgress())

    @property
    def ended(self):
        return all(channel.process.returncode is not None for channel in self.channels.values())


async def test_every_token_comes_back():
    agents = Agents(4, 3)
    outcome = await agents.probe(agents.cells())
    assert Counter((seen.verdict, seen.outcome) for seen in outcome.observations.values()) == {
        (Observed.ALLOWED, "token"): 96
    }
    assert outcome.attempts >= 96 + 2 * 24
    # On a busy machine answers are too late to tell single datagrams that got lost by.
    assert [fact for fact in outcome.facts if "was not counted: answers took up to" not in fact] == []
    assert agents.ended


class Counting(NoProgress):
    """Calls ``at_half`` once half of the main pass has results."""

    def __init__(self, at_half=lambda: None):
        self.at_half = at_half
        self.left = None

    def phase(self, name, attempts):
        self.left = attempts // 2 if name == "probing" else None

    def advance(self, attempts):
        if self.left is not None:
            self.left -= attempts
            if self.left <= 0:
                self.left = None
                self.at_half()


async def test_agent_killed_in_the_middle_is_never_a_denial():
    """Its own unfinished cells, and those aimed at it afterwards, are inconclusive; between the others
    nothing changes.
    """
    agents = Agents(3, 40)
    outcome = await agents.probe(agents.cells(), Counting(lambda: agents.channels["p/1"].process.kill()))  # noqa: PLW0108 - not started yet
    verdicts = {cell: seen.verdict for cell, seen in outcome.observations.items()}
    assert not any(verdict.is_denied for verdict in verdicts.values())
    others = [seen for cell, seen in outcome.observations.items() if "p/1" not in cell[:2]]
    assert others
    assert [seen for seen in others if seen.verdict is not Observed.ALLOWED] == []
    assert "agent of p/1" in outcome.facts[0]
    assert agents.ended


async def test_stopped_agent_is_given_up(monkeypatch):
    monkeypatch.setattr("auditor.probing.session.PATIENCE", 2.0)
    agents = Agents(2, 20)
    outcome = await agents.probe(agents.cells(), Counting(lambda: agents.channels["p/1"].process.send_signal(19)))
    assert not any(seen.verdict.is_denied for seen in outcome.observations.values())
    assert any("agent of p/1" in fact for fact in outcome.facts)
    assert agents.ended


async def test_closed_port_is_refused_only_with_its_listener_proven():
    """An address that belongs to someone else: nobody listens there, while the site's own listener lives."""
    agents = Agents(1, 1)
    other = ProbeSite("p/elsewhere", (ip_address("127.0.0.9"),), ("p/elsewhere",))
    (port,) = agents.ports["p/0"]
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.9", port)
    async with taken:
        outcome = await probe(
            [Cell("p/0", "p/elsewhere", Protocol.TCP, port, Family.IPV4)],
            [*agents.sites, other],
            agents.open,
            lambda _: Verdict.DENIED,
            OPTIONS,
            NoProgress(),
        )
    (seen,) = outcome.observations.values()
    assert seen.verdict is Observed.INCONCLUSIVE
    assert "can't listen" in seen.outcome or "did not answer" in seen.outcome or "connected-no-token" in seen.outcome


@pytest.mark.parametrize("after", [0.0, 0.05])
async def test_cancelled_while_starting(after):
    agents = Agents(3, 20)
    running = asyncio.create_task(agents.probe(agents.cells()))
    await asyncio.sleep(after)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert agents.ended


async def test_cancelled_while_probing():
    agents = Agents(3, 40)
    running = asyncio.create_task(agents.probe(agents.cells(), Counting(lambda: running.cancel())))  # noqa: PLW0108 - not there yet
    await asyncio.wait([running])
    assert running.cancelled()
    assert agents.ended
    assert len(agents.channels) == 3


@pytest.mark.slow
async def test_twenty_thousand_attempts_in_one_batch():
    agents = Agents(2, 1)
    (port,) = agents.ports["p/1"]
    run = RunKey.draw(site.name for site in agents.sites)
    sessions = [AgentSession(site, await agents.open(site), run) for site in agents.sites]
    try:
        await sessions[0].listen([])
        await sessions[1].listen([Listener("p/1", Protocol.TCP, port, Family.IPV4)])
        batch = Batch([Target("127.0.0.1", Protocol.TCP, port, "p/1")] * 20_000, 5.0, 3, 256)
        await sessions[0].run(batch, lambda _: None)
    finally:
        for session in sessions:
            await session.close()
    assert Counter(one.outcome for one in batch.results()) == {"token": 20_000}
    assert 0 < batch.slowest < 5.0
    assert agents.ended


class BreakingChannel(ProcessChannel):
    """Its stream breaks when told to: the agent sees the end of its input and ends by itself, as after a cut exec
    stream.
    """

    def break_off(self):
        self.broken, self.failure = True, "the stream broke"
        self.process.stdin.close()

    async def receive(self):
        if self.broken:
            return b""
        line = await super().receive()
        return b"" if self.broken else line


async def test_streams_that_break_cost_no_cell():
    agents, opened = Agents(3, 40), []

    async def open_channel(site):
        opened.append(site.name)
        agents.channels[site.name, len(opened)] = channel = await BreakingChannel.start()
        return channel

    def break_off():
        for (name, _), channel in list(agents.channels.items()):
            if name in ("p/0", "p/1"):
                channel.break_off()

    outcome = await probe(
        agents.cells(), agents.sites, open_channel, lambda _: Verdict.ALLOWED, OPTIONS, Counting(break_off)
    )
    assert Counter(seen.verdict for seen in outcome.observations.values()) == {Observed.ALLOWED: len(agents.cells())}
    assert not any(verdict.is_denied for seen in outcome.observations.values() for verdict in seen.history)
    assert sorted(opened) == ["p/0", "p/0", "p/1", "p/1", "p/2"]
    assert {"the stream to the agent of p/0 broke 1 time: it was started again"} <= set(outcome.facts)
    assert agents.ended
