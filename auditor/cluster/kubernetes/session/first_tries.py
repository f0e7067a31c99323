"""What a new pod tries from its first moment on: the container's own command, for nobody else is there that early.

It is told addresses and TCP ports as arguments, which hold no secrets, and connects to each over and over for a while.
A handshake that is completed is all that it looks at; nothing is sent. When that was it tells by its own clock, in
seconds since its process was started, to whoever asks it inside the pod. On ports without an address it listens, and
closes what comes: pods that were there before try that in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from auditor.model.addresses import IPAddress
from auditor.model.ports import LAST_PORT
from auditor.model.probe_pod import AfterStart

MOST_TARGETS = 32
TRYING_SECONDS = 60

_TRIES = """import json, os, signal, socket, sys, threading, time
signal.pthread_sigmask(0, {15})
def age():
    with open("/proc/self/stat") as status:
        ticks = int(status.read().rpartition(") ")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
def attempt(number, address, port):
    now = age()
    seen[number][0] = now
    while now < SECONDS:
        try:
            socket.create_connection((address, int(port)), 0.3).close()
            seen[number][1] = now
        except OSError:
            pass
        time.sleep(0.02)
        now = age()
def serve(port):
    try:
        listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):
        listener = socket.create_server(("", port))
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            time.sleep(0.1)
for port in [int(each) for each in sys.argv[1:] if "|" not in each]:
    threading.Thread(target=serve, args=(port,), daemon=True).start()
targets = [target.split("|") for target in sys.argv[1:] if "|" in target]
seen = [[None, None] for _ in targets]
for number, target in enumerate(targets):
    threading.Thread(target=attempt, args=(number, *target), daemon=True).start()
""".replace("SECONDS", str(TRYING_SECONDS))

TRY = (
    _TRIES
    + """def tell():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\\0netpol-audit-first-tries")
    listener.listen(4)
    while True:
        asking = listener.accept()[0]
        asking.sendall(json.dumps([age(), seen]).encode())
        asking.close()
threading.Thread(target=tell, daemon=True).start()
"""
)
"""Comes before the first process of a container. SIGTERM is blocked in every thread, or it could be lost to one."""

ASK = """import socket
asking = socket.socket(socket.AF_UNIX)
asking.settimeout(5)
asking.connect("\\0netpol-audit-first-tries")
said = b""
while part := asking.recv(65536):
    said += part
print(said.decode(), flush=True)"""
"""Prints what the first process has seen."""

KNOCK = (
    _TRIES
    + """import select
while not select.select([0], [], [], 0.2)[0]:
    print(json.dumps([age(), seen]), flush=True)
os._exit(0)"""
)
"""Tries the same from a pod that is there already, and prints what it has seen again and again, until its input
ends.
"""


class Told(NamedTuple):
    """What a process has seen of its targets by the time that it was ``age`` seconds old."""

    age: float
    tries: list[AfterStart]


def as_arguments(targets: Sequence[tuple[IPAddress, int]]) -> list[str]:
    """``targets`` as the command takes them."""
    return [f"{address}|{port}" for address, port in targets[:MOST_TARGETS] if 0 < port <= LAST_PORT]


def read_tries(line: bytes, targets: int) -> list[AfterStart]:
    """What the first process said of so many ``targets``; empty where it has not begun with all of them, or makes no
    sense.
    """
    told = read_told(line, targets)
    return told.tries if told else []


def read_told(line: bytes, targets: int) -> Told | None:
    """The same with its age; None where ``read_tries`` has nothing."""
    try:
        age, seen = json.loads(line)
        found = [AfterStart(_seconds(age), _seconds(began), _optional(until)) for began, until in seen]
        return Told(_seconds(age), found) if len(found) == targets else None
    except (TypeError, ValueError):
        return None


def _optional(value: Any) -> float | None:
    return None if value is None else _seconds(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 24 * 3600:
        raise ValueError("not a number of seconds")
    return float(value)
