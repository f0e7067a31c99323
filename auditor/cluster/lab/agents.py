"""Forks agents: the supervisor has imported the agent once, so each further one costs a fork and no start of an
interpreter.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TypeAlias

from auditor.cluster.lab.isolation import enter_network
from auditor.model.printable import printable

Serve: TypeAlias = Callable[[int, int], int]
"""An agent's main function: the descriptors that it reads from and writes to; returns the exit status."""

_FIRST_OTHER_DESCRIPTOR = 3


class Agents:
    """The running agents, at most one for each namespace."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._running: dict[int, int] = {}

    def start(self, namespace: int, network: int, stream: int) -> int:
        """Fork an agent into the namespace whose descriptor is ``network``; its lines go both ways over ``stream``,
        which is closed here.

        An agent that still runs there is ended first: two could not listen on the same ports. Returns the agent's
        process id.
        """
        if namespace in self._running:
            self.end(namespace, self._running[namespace])
        child = os.fork()
        if child == 0:
            _be_agent(self._serve, network, stream)
        os.close(stream)
        self._running[namespace] = child
        return child

    def end(self, namespace: int, process: int) -> None:
        """Kill the agent ``process`` of this namespace, if it still runs, and wait until it is gone and its ports are
        free.
        """
        if self._running.get(namespace) == process:
            del self._running[namespace]
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    def reap(self) -> None:
        """Collect the agents that have ended on their own."""
        for namespace, process in list(self._running.items()):
            if os.waitpid(process, os.WNOHANG)[0]:
                del self._running[namespace]


def _be_agent(serve: Serve, network: int, stream: int) -> None:
    """The child's whole life."""
    status = 1
    try:
        enter_network(network)
        # Only the lines and the diagnostics stay open, else one agent would hold the others' streams, and the lab,
        # alive.
        moved = (
            os.dup2(stream, _FIRST_OTHER_DESCRIPTOR, inheritable=False) if stream != _FIRST_OTHER_DESCRIPTOR else stream
        )
        os.closerange(_FIRST_OTHER_DESCRIPTOR + 1, os.sysconf("SC_OPEN_MAX"))
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        status = serve(moved, moved)
    except BaseException:  # noqa: BLE001 - whatever it was: a forked child must not return into the supervisor
        sys.stderr.writelines(f"{printable(line)}\n" for line in traceback.format_exc().split("\n"))
    finally:
        os._exit(status)
