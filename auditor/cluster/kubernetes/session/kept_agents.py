"""Agents that outlast a round of probing: to start one takes an exec, and so a good part of a second of a busy node.

An agent that has answered all that it was asked listens anew for whoever comes next, under the next run's key and mark
(see ``probes.agent``). One that still owes an answer, or whose stream has ended, is closed.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from auditor.cluster.kubernetes.client.creation import all_of
from auditor.probing.sites import AgentChannel


class _Line(msgspec.Struct):
    kind: str = ""
    more: bool = False

    @property
    def is_last(self) -> bool:
        """Whether it ends what a command is answered with."""
        return self.kind != "results" and not self.more


class _Lent:
    """An AgentChannel whose agent goes back to ``agents`` when it is closed."""

    def __init__(self, agents: KeptAgents, pod: str, stream: AgentChannel) -> None:
        self._agents = agents
        self._pod = pod
        self._stream = stream
        self._owed = 0
        self._closed = False

    @property
    def broken(self) -> bool:
        return self._stream.broken

    @property
    def failure(self) -> str:
        return self._stream.failure

    async def send(self, line: bytes) -> None:
        self._owed += 1
        await self._stream.send(line)

    async def receive(self) -> bytes:
        line = await self._stream.receive()
        try:
            self._owed -= msgspec.json.decode(line, type=_Line).is_last
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._owed += 1  # whoever says such things is not lent again
        return line

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._owed or self._stream.failure:
            await self._stream.close()
        else:
            self._agents.take_back(self._pod, self._stream)


class KeptAgents:
    """The agents that nobody uses at the moment, by the name of their pod."""

    def __init__(self) -> None:
        self._idle: dict[str, AgentChannel] = {}

    def lend(self, pod: str) -> AgentChannel | None:
        """The idle agent of ``pod``, if there is one."""
        stream = self._idle.pop(pod, None)
        return None if stream is None or stream.failure else _Lent(self, pod, stream)

    def lent(self, pod: str, stream: AgentChannel) -> AgentChannel:
        """``stream``, to an agent that was just started in ``pod``, as a channel after which it is kept."""
        return _Lent(self, pod, stream)

    def take_back(self, pod: str, stream: AgentChannel) -> None:
        """Keep the agent behind ``stream`` for the next."""
        self._idle[pod] = stream

    async def end(self, pods: Collection[str] | None = None) -> None:
        """End the agents of ``pods``, or all, as far as they are idle."""
        names = [name for name in self._idle if pods is None or name in pods]
        await all_of(self._idle.pop(name).close() for name in names)
