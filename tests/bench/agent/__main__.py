"""How fast the agent fires, as a share of what a small epoll client in C reaches against the same listener: the agent's
own.

Run as ``python -m tests.bench.agent [ATTEMPTS [ROUNDS]]``. Both sit in one network namespace and probe an agent in
another, over a veth pair, by turns. Needs root, or a kernel that lets users have namespaces; cc, iproute2 and
util-linux."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from probes.agent import asking_with
from tests.bench.measure import say

AGENT = Path(__file__).parents[3] / "probes" / "agent.py"
REQUIRED = {"tcp": 0.6, "udp": 0.5}
SERVER, CLIENT = "10.9.0.1", "10.9.0.2"
FIRST_PORT, PORTS, WINDOW = 7000, 4, 256
KEY, IDENTITY, OTHER = "0badcafe" * 8, "5e12e1a5e12e1a00", "12345678abcdef00"


class RunningAgent:
    """An agent, and its lines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.commands, self.messages = process, process.stdin, process.stdout

    def ask(self, last: str, **command: object) -> dict[str, Any]:
        """Send a command; the message of kind ``last`` that ends its answer."""
        self.commands.write(json.dumps(command).encode() + b"\n")
        self.commands.flush()
        while line := self.messages.readline():
            message: dict[str, Any] = json.loads(line)
            if message["kind"] in (last, "error"):
                return message
        raise RuntimeError("the agent ended")


@contextmanager
def running_agent(identity: str, ports: Sequence[int], *prefix: str) -> Iterator[RunningAgent]:
    with subprocess.Popen([*prefix, sys.executable, AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        agent = RunningAgent(process)
        assert (
            agent.ask("listening", do="listen", identity=identity, key=KEY, addresses=[], tcp=ports, udp=ports)[
                "failed"
            ]
            == []
        )
        yield agent
        agent.commands.close()


def connect_namespaces(pid: int) -> None:
    """A veth pair between this namespace and that of the process ``pid``."""
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "client", "type", "veth", "peer", "name", "server", "netns", str(pid)],
        ["ip", "address", "add", f"{CLIENT}/24", "dev", "client"],
        ["ip", "link", "set", "client", "up"],
        [*inside, "ip", "address", "add", f"{SERVER}/24", "dev", "server"],
        [*inside, "ip", "link", "set", "server", "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)


def rate_of_agent(agent: RunningAgent, protocol: str, attempts: int) -> float:
    ports = [FIRST_PORT + n % PORTS for n in range(attempts)]
    target = {"address": SERVER, "protocol": protocol, "identity": IDENTITY, "ports": ports}
    began = time.perf_counter()
    done = agent.ask("done", do="probe", batch="c0ffee01", timeout=1.3, datagrams=3, window=WINDOW, targets=[target])
    assert done["allowed"] == attempts, done
    return attempts / (time.perf_counter() - began)


def rate_of_c(client: Path, protocol: str, attempts: int) -> float:
    ask = asking_with(bytes.fromhex(KEY))
    questions = b"".join(ask(b"c0ffee00%08x" % attempt)[0] for attempt in range(attempts))
    arguments = [protocol, SERVER, FIRST_PORT, PORTS, attempts, WINDOW, IDENTITY]
    return float(
        subprocess.run([client, *map(str, arguments)], check=True, input=questions, stdout=subprocess.PIPE).stdout
    )


def compare(attempts: int, rounds: int) -> None:
    """Measure by turns and print; whether every ratio is as required."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        client = Path(directory) / "client"
        subprocess.run(["cc", "-O2", "-o", client, Path(__file__).with_name("client.c")], check=True)
        ports = list(range(FIRST_PORT, FIRST_PORT + PORTS))
        server = stack.enter_context(running_agent(IDENTITY, ports, "unshare", "--net"))
        connect_namespaces(server.process.pid)
        prober = stack.enter_context(running_agent(OTHER, []))
        for protocol, required in REQUIRED.items():
            rate_of_c(client, protocol, attempts // 10)
            rate_of_agent(prober, protocol, attempts // 10)
            pairs = [
                (rate_of_agent(prober, protocol, attempts), rate_of_c(client, protocol, attempts))
                for _ in range(rounds)
            ]
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            ours, theirs = (statistics.median(rates) for rates in zip(*pairs, strict=True))
            beside = f"of a C client's {theirs:,.0f}/s; limit {required}"
            say(f"agent's {protocol.upper()} attempts: {ours:,.0f}/s", f"{ratio:.2f} x", beside)


def main() -> None:
    if "--inside" not in sys.argv:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        inside = ["unshare", *user, "--net", sys.executable, "-m", "tests.bench.agent", "--inside", *sys.argv[1:]]
        os.execvp("unshare", inside)  # noqa: S606 - that is the point
    numbers = [int(argument) for argument in sys.argv[2:]]
    attempts, rounds = numbers + [30000, 7][len(numbers) :]
    compare(attempts, rounds)


if __name__ == "__main__":
    main()
