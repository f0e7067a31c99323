"""The process that holds the lab: ``python -m auditor.cluster.lab.supervisor SOCKET PARENT AGENT IP NFT``.

Two processes. The outer one leaves the host's namespaces, forks the inner one and waits. The inner one is process 1 of
a process namespace: when it ends, however it ends, the kernel kills every agent and command, and with the last of them
all network namespaces, rules and mounts go. It ends when the control socket closes, when the outer process dies, and
the outer one dies with the controller. Nothing therefore has to be cleaned up, after kill -9 either.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

from auditor.cluster.lab import wire
from auditor.cluster.lab.agents import Agents
from auditor.cluster.lab.isolation import (
    IsolationError,
    die_with_parent,
    fork_to_die_with_parent,
    in_words,
    leave_host,
    private_mounts,
)
from auditor.cluster.lab.networks import Networks
from auditor.cluster.lab.service import LabService

_WAITED = {signal.SIGTERM, signal.SIGCHLD}


def main(arguments: list[str]) -> int:
    """Be the outer process. Returns the exit status."""
    descriptor, parent, agent, ip, nft = arguments
    control = socket.socket(fileno=int(descriptor))
    die_with_parent(int(parent))
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    agents = Agents(importlib.import_module(agent).serve)
    try:
        leave_host()
        die_with_parent(int(parent))  # again: the kernel forgets it when credentials change
        inner = fork_to_die_with_parent()
    except IsolationError as error:
        _tell(control, str(error))
        return 1
    except OSError as error:
        _tell(control, in_words(error))
        return 1
    if inner == 0:
        os._exit(_be_inner(control, agents, ip, nft))
    control.close()
    return _wait_for(inner)


def _wait_for(inner: int) -> int:
    """Wait for the inner process; on SIGTERM kill it first. When this returns, all processes of the lab are gone."""
    while True:
        if signal.sigwait(_WAITED) == signal.SIGTERM:
            os.kill(inner, signal.SIGKILL)
        ended, status = os.waitpid(inner, os.WNOHANG)
        if ended:
            return 0 if os.waitstatus_to_exitcode(status) == 0 else 1


def _be_inner(control: socket.socket, agents: Agents, ip: str, nft: str) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED)
        private_mounts()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        gc.freeze()
        LabService(control, agents, Networks(ip, nft)).run()
    except (OSError, ValueError) as error:
        _tell(control, f"the lab broke down: {error}")
        return 1
    return 0


def _tell(control: socket.socket, error: str) -> None:
    with suppress(OSError):
        control.sendall(wire.encode({"id": 0, "error": error}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
