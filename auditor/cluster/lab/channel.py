"""The stream to one agent of the lab."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

LONGEST_LINE = 1 << 20


class LabChannel:
    """An AgentChannel over a socket. ``end`` is awaited once, on the first ``close``, and ends the agent's process."""

    broken = False  # a socket of this machine does not break: where it ends, the agent has

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: Callable[[], Awaitable[None]]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._end = end
        self._closed = False
        self.failure = ""

    @classmethod
    async def over(cls, stream: socket.socket, end: Callable[[], Awaitable[None]]) -> LabChannel:
        """The channel over ``stream``, which it owns from now on."""
        reader, writer = await asyncio.open_connection(sock=stream, limit=LONGEST_LINE)
        return cls(reader, writer, end)

    async def send(self, line: bytes) -> None:
        if self._closed or self._reader.at_eof():
            raise ConnectionError("the agent is gone")
        self._writer.write(line)
        await self._writer.drain()

    async def receive(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""  # the agent was killed
        except ValueError:
            self.failure = f"the agent sent a line of more than {LONGEST_LINE >> 20} MiB"
            return b""

    async def close(self) -> None:
        if self._closed:
            return
        self.cut()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        await self._end()

    def cut(self) -> None:
        """Release the stream and leave the agent to the one that ends it. Unsent lines are given up: the agent may
        not be reading.
        """
        self._closed = True
        self._writer.transport.abort()
