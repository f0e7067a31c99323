"""A world of fake agents in this process: every answer is what the test says, and every wait is a place to cancel."""

import asyncio
import json
from collections import defaultdict
from ipaddress import ip_address
from itertools import count

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.probe_run import probe
from auditor.probing.sites import NO_WITNESSES, ProbeSite

TOKEN = ("allowed", 1000)
TIMEOUT = ("dropped", "timeout", "")
RESET = ("refused", "tcp-reset", "")
CLOSED = ("refused", "icmp-port-unreachable", "")
STRANGER = ("misdelivered", "wrong-identity", "b/stranger")
OWN_FAILURE = ("error", "EMFILE: Too many open files", "")
SWIFT = ProbingOptions(timeout=0.2, retests=2, settle=0.0)


class World:
    """Fake agents at sites named ``a/0``, ``a/1``, ….

    ``arrived(nonce)`` says of a UDP attempt whether it arrived where it was aimed, or gives the socket that it seemed
    to come from; ``arrived(None)`` is None where agents can't tell.

    ``answer(source, destination, protocol, port, number of the try)`` gives what comes of an attempt at another site,
    ``control(site, protocol, port, number of the try)`` what comes of one over loopback, ``node(site, port, number of
    the try)`` what comes of one at the site's own node, an address 192.0.2.x, and ``node_datagram(site)`` of one
    there over UDP. ``deaths`` maps a site to the batch number (0 is the first control) that it doesn't survive,
    ``breaks`` to the numbers of those in the middle of which its stream breaks."""

    def __init__(self, sites=2, answer=lambda *_: TOKEN, control=lambda *_: TOKEN):
        self.sites = [
            ProbeSite(
                f"a/{n}",
                (ip_address(f"10.0.0.{n + 1}"),),
                (f"a/{n}",),
                neighbour_addresses=(ip_address(f"192.0.2.{n + 1}"),),
            )
            for n in range(sites)
        ]
        self.node = lambda *_: RESET
        self.node_datagram = lambda _site: CLOSED
        self.node_by_address = None
        self.witnesses = NO_WITNESSES
        self.answer = answer
        self.control = control
        self.opened = []
        self.tries = {}
        self.deaths = {}
        self.refuses_to_open = {}
        self.unbound = {}
        self.slowest = {}
        self.lags = {}
        self.overruns = {}
        self.loss = {}
        self.breaks = {}
        self.breaks_at_lag = set()
        self.batches = defaultdict(count)
        self.refuses_to_open_again = None
        self.taken_ports = []
        self.arrived = lambda _nonce: True
        self.names = {}
        self.sockets = {}
        self.steps = count()
        self.cancel_at = None
        self.insisting = False
        self.asked_timeouts = []
        self.first_targets = []
        self.ages = {}

    async def open(self, site):
        await self.step()
        if site.name in self.refuses_to_open:
            raise self.refuses_to_open[site.name]
        if self.refuses_to_open_again and any(channel.site == site for channel in self.opened):
            raise self.refuses_to_open_again
        channel = FakeChannel(self, site)
        self.opened.append(channel)
        return channel

    async def step(self):
        """One wait of the code under test."""
        step = next(self.steps)
        if self.cancel_at is not None and (step >= self.cancel_at if self.insisting else step == self.cancel_at):
            self.main.cancel()
        await asyncio.sleep(0)

    def cells(self, ports=((Protocol.TCP, 80),), family=Family.IPV4):
        names = [site.name for site in self.sites]
        return [
            Cell(source, to, protocol, port, family) for source in names for to in names for protocol, port in ports
        ]

    async def probe(self, cells=None, expected=lambda _: Verdict.ALLOWED, options=SWIFT, progress=None, **more):
        self.main = asyncio.current_task()
        cells, progress = self.cells() if cells is None else cells, progress or NoProgress()
        return await probe(cells, self.sites, self.open, expected, options, progress, witnesses=self.witnesses, **more)


class FakeChannel:
    failure = ""

    def __init__(self, world, site):
        self.world = world
        self.site = site
        self.lines = asyncio.Queue()
        self.closed = False
        self.broken = False
        self.batches = world.batches[site.name]
        self.controls = count()

    async def send(self, line):
        await self.world.step()
        command = json.loads(line)
        getattr(self, "_" + command["do"])(command)

    async def receive(self):
        await self.world.step()
        return await self.lines.get()

    async def close(self):
        for _ in range(3):
            await self.world.step()
        self.closed = True

    def say(self, **message):
        self.lines.put_nowait(json.dumps(message).encode() + b"\n")

    def _listen(self, command):
        self.world.names[command["identity"]] = self.site.name
        foreign = [
            [address, "EADDRNOTAVAIL"]
            for address in command["addresses"]
            if address not in map(str, self.site.addresses)
        ]
        failed = self.world.unbound.get(self.site.name, [])
        if self.world.taken_ports and sum(channel.site == self.site for channel in self.world.opened) > 1:
            failed = self.world.taken_ports.pop()
        age = self.world.ages.get(self.site.name)
        self.say(kind="listening", failed=failed, foreign=foreign, more=False, age=age)

    def _break(self):
        self.broken = True
        self.lines.put_nowait(b"")

    def _lag(self, command):
        if self.site.name in self.world.breaks_at_lag:
            self.world.breaks_at_lag.discard(self.site.name)
            self._break()
            return
        lags = self.world.lags.get(self.site.name)
        overruns = self.world.overruns.pop(self.site.name, 0)
        self.say(kind="lag", seconds=lags.pop(0) if lags else 0.0, udp_overruns=overruns, listen_overflows=0)

    def _probe(self, command):
        world, mine = self.world, self.site.name
        number = next(self.batches)
        dying, breaking = world.deaths.get(mine) == number, number in world.breaks.get(mine, ())
        world.asked_timeouts.append(command["timeout"])
        first = command["targets"][0]
        world.first_targets.append(world.names.get(first["identity"], first["address"]))
        results = [
            result for target in command["targets"] for port in target["ports"] for result in [self._one(target, port)]
        ]
        for attempt, result in enumerate(results):
            if (dying or breaking) and attempt >= len(results) // 2:
                self.broken = breaking
                self.lines.put_nowait(b"")
                return
            if result is None:
                return
            allowed = [attempt, result[1]] if result[0] == "allowed" and len(result) == 2 else []
            socket = [str(self.site.addresses[0]), 40000 + attempt]
            world.sockets[f"{command['batch']}{attempt:08x}"] = socket
            more = result[3] if len(result) > 3 else {"socket": socket} if result == TIMEOUT else {}
            others = [] if allowed else [[attempt, *result[:3], more]]
            self.say(kind="results", batch=command["batch"], allowed=allowed, others=others)
        slowest = world.slowest.get(command["timeout"], 0.001)
        sent, lost = world.loss.get(mine, (len(results), 0))
        self.say(
            kind="done", batch=command["batch"], attempts=len(results), allowed=0, slowest=slowest, sent=sent, lost=lost
        )

    def _one(self, target, port):
        world, protocol = self.world, Protocol(target["protocol"].upper())
        if target["address"].startswith("192.0.2.") and protocol is Protocol.UDP:
            return world.node_datagram(self.site.name)
        if target["address"].startswith("192.0.2.") and not target["identity"]:
            if world.node_by_address:
                return world.node_by_address(self.site.name, port, 0, target["address"])
            number = world.tries[self.site.name, "node", port] = world.tries.get((self.site.name, "node", port), -1) + 1
            return world.node(self.site.name, port, number)
        aimed_at = world.names.get(target["identity"]) or next(
            (site.name for site in world.sites if target["address"] in map(str, site.addresses)), self.site.name
        )
        key = (self.site.name, aimed_at, protocol, port, target["address"] == "127.0.0.1")
        number = world.tries[key] = world.tries.get(key, -1) + 1
        if key[-1]:
            return world.control(self.site.name, protocol, port, number)
        return world.answer(self.site.name, aimed_at, protocol, port, number)

    def _arrivals(self, command):
        found = [(nonce, self.world.arrived(nonce)) for nonce in command["nonces"]]
        arrived = [[nonce, *(self.world.sockets[nonce] if there is True else there)] for nonce, there in found if there]
        self.say(kind="arrivals", arrived=arrived, complete=self.world.arrived(None) is not None)
