"""A lab that is up, reached from outside: its network namespaces, its agents, and what is left of it afterwards. Needs
root.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 20.0
GONE_WITHIN = 10.0
LONGEST = 15
"""Seconds after which whatever was started to make trouble ends by itself."""


def net_of(pid: int) -> str:
    """The network namespace of a process; empty when it has ended."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""


def children_of(pid: int) -> list[int]:
    """The children of all its threads, as far as these have not ended meanwhile."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


class TroubledLab:
    """The processes and network namespaces of ``lab``, which is up."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.topology = lab._topology
        (self.inner,) = children_of(lab.pid)
        descriptors = Path(f"/proc/{self.inner}/fd")
        held = sorted(int(entry.name) for entry in descriptors.iterdir() if _readlink(entry).startswith("net:"))
        assert len(held) == len(self.topology.namespaces), (held, len(self.topology.namespaces))
        self._paths = [f"/proc/{self.inner}/fd/{number}" for number in held]
        self.networks = {_readlink(path) for path in self._paths} | {net_of(self.inner)}
        self.started: list[subprocess.Popen] = []

    def index(self, site: str) -> int:
        return self.topology.site_namespaces[site]

    def node_of(self, site: str) -> int | None:
        """The namespace of the node that ``site`` hangs on: None for a host outside."""
        pod = next((link.pod for link in self.topology.links if link.pod.name == site), None)
        return self.topology.nodes[pod.node] if pod else None

    def interface_of(self, site: str) -> str:
        """The node's end of the link of the pod ``site``."""
        return next(link.interface for link in self.topology.links if link.pod.name == site)

    def inside(self, index: int, *command: str, text: str = "", check: bool = True) -> None:
        """Run ``command`` in a namespace and wait for it."""
        argv = ["nsenter", f"--net={self._paths[index]}", *command]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def rules(self, index: int, *chains: str) -> None:
        """Add nftables chains of our own to a namespace, beside the enforcer's."""
        self.inside(index, "nft", "-f", "-", text="\n".join(["table inet trouble {", *chains, "}"]) + "\n")

    def calm(self, index: int) -> None:
        """Take those rules away again."""
        self.inside(index, "nft", "delete", "table", "inet", "trouble", check=False)

    def start(self, *command: str, index: int | None = None) -> None:
        """Start something that goes on beside the audit, in a namespace or outside; ``end`` ends it, at the latest time
        does.
        """
        entering = [] if index is None else ["nsenter", f"--net={self._paths[index]}"]
        bounded = ["timeout", "-s", "KILL", str(LONGEST), *entering, *command]
        self.started.append(
            subprocess.Popen(bounded, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        )

    def python(self, program: str, *arguments: object, index: int | None = None) -> None:
        self.start(sys.executable, "-S", "-c", program, *map(str, arguments), index=index)

    def agent(self, site: str) -> int:
        """The process of the agent at ``site``; ProcessLookupError when there is none."""
        wanted = _readlink(self._paths[self.index(site)])
        found = [
            pid
            for pid in children_of(self.inner)
            if net_of(pid) == wanted and _comm(pid) not in ("ip", "nft", "nsenter")
        ]
        if not found:
            raise ProcessLookupError(f"no agent at {site}")
        return found[0]

    def end(self) -> None:
        """End whatever was started here."""
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def left_behind(self) -> list[int]:
        """The processes of the lab that are still there, some time after its end."""
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        deadline = time.monotonic() + GONE_WITHIN
        while (found := users_of(self.networks, ended)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


def users_of(networks: set[str], ended: float) -> list[int]:
    """Whoever is in ``networks`` and was there before their lab's end, in seconds since the machine began: a later
    lab's, and anybody's pods, may be called by the same numbers.
    """
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if net_of(pid) in networks and _started(pid) < ended]


def _readlink(path: str | Path) -> str:
    with suppress(OSError):
        return str(Path(path).readlink())
    return ""


def _started(pid: int) -> float:
    """When a process began, in seconds since the machine did; never when it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float("inf")


def _comm(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def normal(text: str) -> str:
    """A reason without the names and numbers of its run, so that the same ones can be counted."""
    text = re.sub(r"\b(TCP|UDP)/\d+", "PORT", text)
    text = re.sub(r"\b(node|host)/[\w.-]+|\b[a-z0-9-]+/[a-z][\w.-]*", "X", text)
    text = re.sub(r"\b[0-9a-f]+(:[0-9a-f]*){2,}|\b\d+(\.\d+){3}\b", "ADDRESS", text)
    return re.sub(r"\b\d+([.,]\d+)*\b", "N", text)
