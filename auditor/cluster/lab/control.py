"""The controller's line to the supervisor: starts it, asks it, ends it.

One task reads all answers and hands each to the one that waits for it, so that many agents can be opened at once. When
the supervisor ends early, every waiting and every later request fails with the last thing it had to say.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from contextlib import suppress

from auditor.cluster.lab import wire
from auditor.model.errors import ClusterError

PATIENCE = 90.0
"""Seconds that any one request may take: far more than the largest lab needs on a loaded machine."""

_PARTING = 10.0
_LARGEST_READ = 1 << 16


class Control:
    """A running supervisor. Made by ``start``; ``stop`` must be awaited in the end."""

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket, diagnostics: int) -> None:
        self.pid = process.pid
        self._process = process
        self._line = line
        self._diagnostics = diagnostics
        self._sending = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, asyncio.Future[wire.Message]] = {}
        self._last_id = 0
        self._failure: str | None = None
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, agent: str, ip: str, nft: str) -> Control:
        """Start a supervisor that uses these tools and forks agents from the module ``agent``.

        Raises ClusterError when the process can't be started.
        """
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the stream to each agent takes one
        line, far_end = socket.socketpair()
        diagnostics = os.memfd_create("lab-diagnostics")
        # -P: a module in the working directory must not take the place of one of Python's.
        arguments = [
            "-P",
            "-m",
            "auditor.cluster.lab.supervisor",
            str(far_end.fileno()),
            str(os.getpid()),
            agent,
            ip,
            nft,
        ]
        try:
            with far_end:
                # Its own session, so that Ctrl-C on the terminal leaves it to the controller to end things in order.
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=diagnostics,
                    stderr=diagnostics,
                    pass_fds=[far_end.fileno()],
                    start_new_session=True,
                )
        except BaseException as error:
            line.close()
            os.close(diagnostics)
            if isinstance(error, OSError):
                raise ClusterError(f"lab: can't start its supervisor: {error.strerror}") from error
            if isinstance(error, RuntimeError):  # no thread to wait for it in: that, too, counts as a process
                raise ClusterError(
                    f"lab: can't start its supervisor: {error}: allow more processes with 'ulimit -u'"
                ) from error
            raise
        line.setblocking(False)
        return cls(process, line, diagnostics)

    async def request(self, do: str, stream: socket.socket | None = None, **arguments: object) -> wire.Message:
        """Ask for ``do`` and return the answer; ``stream`` is passed along. Raises ClusterError, also when the
        supervisor is gone.
        """
        if self._failure is not None:
            raise ClusterError(self._failure)
        self._last_id += 1
        number = self._last_id
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send(wire.encode({"id": number, "do": do, **arguments}), stream)
                message: wire.Message = await answer
        except TimeoutError:
            raise ClusterError(f"lab: no answer to {do!r} within {PATIENCE:g} s: is the machine overloaded?") from None
        except OSError as error:
            raise ClusterError(self._failure or f"lab: its supervisor is gone ({error.strerror})") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in message:
            raise ClusterError(f"lab: {message['error']}")
        return message

    async def stop(self) -> None:
        """End the supervisor and all that is in it, and wait until nothing is left. May be called more than once.

        Raises ClusterError when the kernel takes too long to end it; it is then killed, as it is when this is
        cancelled.
        """
        try:
            with suppress(ProcessLookupError):
                self._process.terminate()
            async with asyncio.timeout(_PARTING):
                await self._process.wait()
        except TimeoutError:
            raise ClusterError(
                f"lab: its processes did not end within {_PARTING:g} s: look for what is left of process {self.pid}"
            ) from None
        finally:
            if self._process.returncode is None:
                await self._kill()
            self._reading.cancel()
            for sending in self._under_way:
                sending.cancel()
            self._fail("lab: it has been taken down")
            self._line.close()
            if self._diagnostics >= 0:
                os.close(self._diagnostics)
                self._diagnostics = -1

    async def _kill(self) -> None:
        """Kill the supervisor and see it end, however often this is cancelled: the event loop must not outlive its
        child's end.
        """
        with suppress(ProcessLookupError):
            self._process.kill()
        clock = asyncio.get_running_loop().time
        ending, deadline = asyncio.ensure_future(self._process.wait()), clock() + _PARTING
        while not ending.done() and clock() < deadline:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({ending}, timeout=deadline - clock())
        ending.cancel()

    async def _send(self, frame: bytes, stream: socket.socket | None) -> None:
        """Send the whole frame, even if this is cancelled: the rest of a frame cut short would be taken for the next
        one.
        """
        sending = asyncio.create_task(self._send_whole(frame, stream.dup() if stream is not None else None))
        self._under_way.add(sending)
        sending.add_done_callback(self._sent)
        await asyncio.shield(sending)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._under_way.discard(sending)
        if not sending.cancelled():
            sending.exception()  # the asker may have been cancelled; then nobody else looks at it

    async def _send_whole(self, frame: bytes, stream: socket.socket | None) -> None:
        try:
            await self._send_in_turn(frame, stream)
        finally:
            if stream is not None:
                stream.close()

    async def _send_in_turn(self, frame: bytes, stream: socket.socket | None) -> None:
        loop = asyncio.get_running_loop()
        async with self._sending:
            if stream is not None:
                # The descriptor rides on the first byte; once that is gone the rest is plain data.
                while True:
                    with suppress(BlockingIOError):
                        socket.send_fds(self._line, [frame[:1]], [stream.fileno()])
                        break
                    await asyncio.sleep(0.001)
                frame = frame[1:]
            await loop.sock_sendall(self._line, frame)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        received = bytearray()
        try:
            while data := await loop.sock_recv(self._line, _LARGEST_READ):
                received += data
                while (message := wire.decode(received)) is not None:
                    if message["id"] == 0:
                        self._fail(f"lab: {message['error']}")
                    elif (answer := self._waiting.get(message["id"])) is not None and not answer.done():
                        answer.set_result(message)
        except OSError:
            pass
        self._fail(f"lab: its supervisor ended unexpectedly{self._last_words()}")

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ClusterError(self._failure))

    def _last_words(self) -> str:
        size = os.fstat(self._diagnostics).st_size
        lines = os.pread(self._diagnostics, 4096, max(0, size - 4096)).decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""
