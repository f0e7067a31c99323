"""The stream to a process that is started in a container: exec over a websocket (``pods/exec``, kubelet's remotecommand
protocol).

Every frame begins with the number of its channel: 0 to 2 are the process's own, 3 brings one Status when the process
has ended. A stream can end without that, while the process lives on or is gone with its node, so the two ends are told
apart. Frames are read only when a line is asked for: a client that doesn't read makes the server wait, and the process
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
import msgspec

from auditor.cluster.kubernetes.client.errors import in_words
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError, Question
from auditor.model.printable import printable

PROTOCOLS = ("v4.channel.k8s.io", "v5.channel.k8s.io")
"""Offered one after the other: API servers 1.30 to 1.35 end v5 themselves, and so answer pings for a node that has
died. What v5 adds, closing stdin alone, isn't needed: the process sees the end of its stdin when the stream ends."""
STDIN = 0
FRAME = 32 << 10
"""Bytes of one frame: kubectl's own size. Servers take up to 32 MiB, proxies between may not."""
LONGEST_LINE = 1 << 20
"""Bytes of one line of the process: what an agent has to say fits, and nobody in its place can fill this process's
memory.
"""
LONGEST_STATUS = 1 << 16
LONGEST_WORDS = 300
LONGEST_EXIT_CODE = 10
HEARTBEAT = 5.0
"""Seconds of silence after which the server is asked whether it is still there; after twice as many the stream counts
as broken.
"""
CLOSE_SECONDS = 2.0
KILLED = 137


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    """metav1 Status, as channel 3 brings it."""

    status: str = ""
    message: str = ""
    details: _Details | None = None

    def exit_code(self) -> int | None:
        """The process's exit code; None where it could not be started or followed."""
        if self.status == "Success":
            return 0
        causes = (self.details and self.details.causes) or ()
        told = (cause.message for cause in causes if cause.reason == "ExitCode")
        return next((int(code) for code in told if code.isdecimal() and len(code) <= LONGEST_EXIT_CODE), None)


async def open_exec(api: ApiServer, namespace: str, pod: str, container: str, command: Sequence[str]) -> ExecStream:
    """Start ``command`` in a running container.

    Raises what ``ApiServer.send`` raises. Newer servers agree to the stream before they know whether the process can be
    started: then the stream is ended from the beginning, and its ``failure`` says why.
    """
    question = Question(
        f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", "create", "pods/exec", f" in pod {namespace}/{pod}"
    )
    streams = [(name, "true") for name in ("stdin", "stdout", "stderr")]
    parameters = [("container", container), *(("command", word) for word in command), *streams]
    for protocol in PROTOCOLS:
        try:
            return ExecStream(api, await api.upgrade(question, parameters, protocol))
        except ForbiddenError as error:  # this is how a protocol is refused, too
            refused = error
    raise ForbiddenError(f"{refused}; exec takes both create pods/exec and get pods/exec") from refused


class ExecStream:
    """An AgentChannel to a process in a container.

    Once ``receive`` has given ``b""``, ``failure`` says in words why, and ``broken`` whether only the stream has ended,
    so that the process may be started anew; it is False where the process itself has ended or could not be started.
    """

    def __init__(self, api: ApiServer, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.failure = ""
        self.broken = False
        self._api = api
        self._socket = socket
        self._closed = False
        self._stdout = bytearray()
        self._searched = 0
        self._stderr = bytearray()

    async def send(self, line: bytes) -> None:
        """Pass ``line`` to the process's stdin. Raises ConnectionError when the process or the stream has ended."""
        for start in range(0, len(line), FRAME):
            if self.failure or self._closed:
                raise ConnectionError(self.failure or "the stream is closed")
            frame = bytes([STDIN]) + line[start : start + FRAME]
            try:
                await self._socket.send_bytes(frame)
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                raise ConnectionError(f"the stream broke: {in_words(error)}") from error
            self._api.sent += len(frame)

    async def receive(self) -> bytes:
        """The next whole line of stdout, line break included; ``b""`` once process or stream have ended.

        Raises ConnectionError for a line of more than 1 MiB. Cancelling it loses nothing.
        """
        while True:
            end = self._stdout.find(b"\n", self._searched) + 1
            if end > LONGEST_LINE:
                raise self._too_long()
            if end:
                line = bytes(self._stdout[:end])
                del self._stdout[:end]
                self._searched = 0
                return line
            self._searched = len(self._stdout)
            if self._searched > LONGEST_LINE:
                raise self._too_long()
            if self.failure:
                return b""
            await self._read_frame()

    def _too_long(self) -> ConnectionError:
        self._end(f"the process sent a line of more than {LONGEST_LINE >> 20} MiB", broken=False)
        self._stdout.clear()
        self._searched = 0
        return ConnectionError(self.failure)

    async def _read_frame(self) -> None:
        message = await self._next_message()
        match message.type:
            case aiohttp.WSMsgType.BINARY if message.data:
                self._take(message.data[0], message.data[1:])
            case aiohttp.WSMsgType.PING:
                with suppress(aiohttp.ClientError, OSError):
                    await self._socket.pong(message.data)
            case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                self._end(
                    "the stream was closed" if self._closed else "the stream broke: the server closed it", broken=True
                )
            case aiohttp.WSMsgType.ERROR:
                self._end(f"the stream broke: {in_words(message.data)}", broken=True)

    async def _next_message(self) -> aiohttp.WSMessage:
        """The next message of any kind. Silence is first asked about, then taken for the end: a node that has died says
        nothing more.
        """
        for _ in range(2):
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    message: aiohttp.WSMessage = await self._socket.receive()
                    return message
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._socket.ping()
        return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, TimeoutError(f"silent for {2 * HEARTBEAT:g} s"), None)

    def _take(self, channel: int, data: bytes) -> None:
        self._api.received += 1 + len(data)
        match channel:
            case 1:
                self._stdout += data
            case 2:
                self._stderr = (self._stderr + data)[-4 * LONGEST_WORDS :]
            case 3 if data:
                self._take_status(data)

    def _take_status(self, data: bytes) -> None:
        try:
            status = msgspec.json.decode(data[:LONGEST_STATUS], type=_Status)
        except (msgspec.DecodeError, RecursionError):
            status = _Status(message=data[:LONGEST_STATUS].decode(errors="replace"))
        code = status.exit_code()
        if code is None:
            self._end(
                f"the process could not be started or followed: {_on_one_line(status.message)[:LONGEST_WORDS]}",
                broken=False,
            )
            return
        how = "was killed (exit code 137)" if code == KILLED else f"ended with exit code {code}"
        said = _on_one_line(self._stderr.decode(errors="replace"))[-LONGEST_WORDS:]
        self._end(f"the process {how}{said and f': {said}'}", broken=False)

    def _end(self, failure: str, *, broken: bool) -> None:
        if not self.failure:
            self.failure, self.broken = failure, broken

    async def close(self) -> None:
        """End the stream, and with it the process's stdin, within 2 s. Never raises; may be called more than once."""
        if self._closed:
            return
        self._closed = True
        with suppress(aiohttp.ClientError, OSError, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()


def _on_one_line(text: str) -> str:
    return printable(" ".join(text.split()))
