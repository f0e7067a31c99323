"""Answers the controller's requests, one after the other, inside the lab.

Between requests it also reaps agents that ended and puts rulesets in force whose time has come.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections import deque

from auditor.cluster.lab import wire
from auditor.cluster.lab.agents import Agents
from auditor.cluster.lab.isolation import in_words
from auditor.cluster.lab.name_server import answer_names
from auditor.cluster.lab.networks import CommandError, Networks

_LARGEST_READ = 1 << 18
_MOST_DESCRIPTORS = 64


class LabService:
    """The supervisor's answers.

    Requests: ``build`` (namespaces, ipv6), ``add`` (namespace, joined, ipv6), ``program`` (rulesets, later), ``serve``
    (rulesets, which leave what is to come ``later`` alone), ``open`` (namespace, names for a name server in the place
    of an agent, and a descriptor for its lines; answers its process), ``end`` (namespace, process).
    """

    def __init__(self, control: socket.socket, agents: Agents, networks: Networks) -> None:
        self._control = control
        self._networks = networks
        self._agents = agents
        self._name_servers = Agents(answer_names)
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._later: list[tuple[float, int, str]] = []

    def run(self) -> None:
        """Serve until the controller closes its end. Raises OSError when the socket breaks."""
        alarm, alarm_end = socket.socketpair()
        alarm.setblocking(False)
        alarm_end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(alarm_end.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._control, alarm], [], [], self._patience())
            if alarm in ready:
                alarm.recv(4096)
            self._agents.reap()
            self._name_servers.reap()
            self._program_what_is_due()
            if self._control in ready and not self._receive():
                return

    def _receive(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _LARGEST_READ, _MOST_DESCRIPTORS)
        if not data:
            return False
        self._received += data
        self._descriptors.extend(descriptors)
        while (request := wire.decode(self._received)) is not None:
            self._control.sendall(wire.encode(self._answer(request)))
        return True

    def _answer(self, request: wire.Message) -> wire.Message:
        answer: wire.Message = {"id": request["id"]}
        try:
            answer |= self._do(request)
        except CommandError as error:
            answer["error"] = str(error)
        except OSError as error:
            answer["error"] = in_words(error)
        return answer

    def _do(self, request: wire.Message) -> wire.Message:
        match request["do"]:
            case "build":
                self._networks.build(request["namespaces"], request["ipv6"])
            case "add":
                self._networks.add(request["namespace"], request["joined"], request["ipv6"])
            case "program":
                self._later = []
                self._networks.program((index, text) for index, text in request["rulesets"])
                now = time.monotonic()
                self._later = [(now + seconds, index, text) for seconds, index, text in request["later"]]
            case "serve":
                self._networks.program((index, text) for index, text in request["rulesets"])
            case "open":
                namespace = request["namespace"]
                of_kind = self._name_servers if request.get("names") else self._agents
                return {
                    "process": of_kind.start(
                        namespace, self._networks.descriptor(namespace), self._descriptors.popleft()
                    )
                }
            case "end":
                self._agents.end(request["namespace"], request["process"])
        return {}

    def _patience(self) -> float | None:
        return max(0.0, min(due for due, _, _ in self._later) - time.monotonic()) if self._later else None

    def _program_what_is_due(self) -> None:
        now = time.monotonic()
        due = [(index, text) for when, index, text in self._later if when <= now]
        if due:
            self._later = [item for item in self._later if item[0] > now]
            self._networks.program(due)
