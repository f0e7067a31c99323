"""Real agents as child processes that probe each other over loopback, each on ports of its own."""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

AGENT = Path(__file__).parents[3] / "probes" / "agent.py"
KEY = "0badcafe" * 8
SERVER = "5e12e1a5e12e1a00"
PROBER = "12345678abcdef00"
BATCH = "00c0ffee"


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
OURS = range(10_000 + WORKER * 2_800, 12_800 + WORKER * 2_800)
"""Ports that nobody takes between our choice and our use of them: other workers have others, and connections get higher
ones from Linux.
"""


def free_ports(count):
    """Ports on which nobody listens, neither TCP nor UDP."""
    ports = []
    for port in random.sample(OURS, len(OURS)):
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, suppress(OSError):
            stream.bind(("127.0.0.1", port))
            datagram.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            break
    return ports


class AgentProcess:
    """An agent, talked to a line at a time."""

    def __init__(self, process):
        self.process = process
        self.more = {}

    def tell(self, **command):
        self.raw(json.dumps(command).encode() + b"\n")

    def raw(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def hear_all(self, *commands):
        """All that it says to these commands."""
        for command in commands:
            self.tell(**command)
        return b"".join(self.process.stdout.readline() for _ in commands).decode()

    def listen(self, identity=SERVER, tcp=(), udp=(), key=KEY, addresses=()):
        """The ports that could not be opened; the addresses must be its own."""
        self.tell(do="listen", identity=identity, key=key, tcp=list(tcp), udp=list(udp), addresses=list(addresses))
        failed, more = [], True
        while more:
            answer = self.hear()
            assert (answer["kind"], answer["foreign"]) == ("listening", [])
            failed, more = failed + answer["failed"], answer["more"]
        return failed

    def probe(self, *targets, timeout=5.0, datagrams=3, window=64):
        """Fire and wait: a verdict, outcome and detail for each attempt, and the last message."""
        self.start_probe(*targets, timeout=timeout, datagrams=datagrams, window=window)
        return self.results()

    def start_probe(self, *targets, timeout=5.0, datagrams=3, window=64):
        targets = [
            {"address": address, "protocol": protocol, "ports": ports, "identity": identity}
            for address, protocol, ports, identity in targets
        ]
        self.tell(do="probe", batch=BATCH, timeout=timeout, datagrams=datagrams, window=window, targets=targets)

    def results(self):
        results, self.more = {}, {}
        while True:
            message = self.hear()
            assert message["batch"] == BATCH, message
            if message["kind"] == "done":
                return [results[attempt] for attempt in range(message["attempts"])], message
            found = [(attempt, ("allowed", "token", "")) for attempt in message["allowed"][::2]]
            found += [(attempt, tuple(rest)) for attempt, *rest, _ in message["others"]]
            self.more |= {attempt: more for attempt, *_, more in message["others"] if more}
            for attempt, result in found:
                assert attempt not in results
                results[attempt] = result


@contextmanager
def running_agent(**listening):
    """An agent that listens; ``python`` and ``preexec_fn`` are for its process."""
    before, python = listening.pop("preexec_fn", None), listening.pop("python", sys.executable)
    pipe = subprocess.PIPE
    with subprocess.Popen([python, AGENT], stdin=pipe, stdout=pipe, preexec_fn=before) as process:  # noqa: PLW1509 - no threads yet
        agent = AgentProcess(process)
        try:
            agent.listen(**listening)
            yield agent
        finally:
            process.kill()


class ProcessChannel:
    """An AgentChannel to a child process."""

    broken = False
    failure = ""

    def __init__(self, process):
        self.process = process

    @classmethod
    async def start(cls):
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(sys.executable, AGENT, stdin=pipe, stdout=pipe, limit=1 << 24))

    async def send(self, line):
        self.process.stdin.write(line)
        await self.process.stdin.drain()

    async def receive(self):
        return await self.process.stdout.readline()

    async def close(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
