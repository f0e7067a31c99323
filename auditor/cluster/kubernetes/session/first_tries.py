"""What a new pod tries from its first moment on: the container's own command, for nobody else is there that early.

It is told addresses and TCP ports as arguments, which hold no secrets, and connects to each over and over for a while.
A handshake that is completed is all that it looks at; nothing is sent. When that was it tells by its own clock, in
seconds since its process was started, to whoever asks it inside the pod.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from auditor.model.addresses import IPAddress
from auditor.model.ports import LAST_PORT
from auditor.model.probe_pod import AfterStart

MOST_TARGETS = 32
TRYING_SECONDS = 60

TRY = """import json, os, signal, socket, sys, threading, time
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
def tell():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\\0netpol-audit-first-tries")
    listener.listen(4)
    while True:
        asking = listener.accept()[0]
        asking.sendall(json.dumps([age(), seen]).encode())
        asking.close()
targets = [target.split("|") for target in sys.argv[1:]]
seen = [[None, None] for _ in targets]
for number, target in enumerate(targets):
    threading.Thread(target=attempt, args=(number, *target), daemon=True).start()
threading.Thread(target=tell, daemon=True).start()
""".replace("SECONDS", str(TRYING_SECONDS))
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


def as_arguments(targets: Sequence[tuple[IPAddress, int]]) -> list[str]:
    """``targets`` as the command takes them."""
    return [f"{address}|{port}" for address, port in targets[:MOST_TARGETS] if 0 < port <= LAST_PORT]


def read_tries(line: bytes, targets: int) -> list[AfterStart]:
    """What the first process said of so many ``targets``; those that it has not begun with are left out by their place:
    empty where it makes no sense.
    """
    try:
        age, seen = json.loads(line)
        found = [AfterStart(_seconds(age), _seconds(began), _optional(until)) for began, until in seen]
    except (TypeError, ValueError):
        return []
    return found if len(found) == targets else []


def _optional(value: Any) -> float | None:
    return None if value is None else _seconds(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 24 * 3600:
        raise ValueError("not a number of seconds")
    return float(value)
