"""Requests to the API server as raw bytes.

Bodies stay bytes since generated models cost thirty times as much to decode. Answers that say "later" and broken
connections are tried again where that can't do a thing twice unnoticed: a few times, and with ``patience`` for as long
as a restart of the API server takes. Refusals and silence are reported at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client.rest import RESTClientObject
from multidict import CIMultiDict

from auditor import __version__
from auditor.cluster.kubernetes.client.config import Connection
from auditor.cluster.kubernetes.client.errors import (
    AdmissionError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Question,
    RefusedError,
    in_words,
    refusal,
    unreachable,
)
from auditor.cluster.kubernetes.client.retry import FIRST_PAUSE, Tries, Turns
from auditor.model.errors import ClusterError

__all__ = [
    "AdmissionError",
    "ApiServer",
    "ConflictError",
    "ExpiredError",
    "ForbiddenError",
    "InvalidError",
    "NotFoundError",
    "Question",
]

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 1 << 21
"""Bytes of one message over a websocket; kubelets send 32 KiB at once."""
JSON, JSON_PATCH = "application/json", "application/json-patch+json"
Parameters = Mapping[str, str | int] | Sequence[tuple[str, str]]


class ApiServer:
    """One API server, entered with ``async with``.

    ``calls`` counts requests and exec streams, ``sent`` and ``received`` the bytes of their bodies. ``patience``, which
    may be set at any moment, is how many seconds of failing connections a request outlasts: 0 until there is something
    to lose.
    """

    def __init__(self, connection: Connection, *, first_pause: float = FIRST_PAUSE, patience: float = 0) -> None:
        self.connection = connection
        self.patience = patience
        self.calls = 0
        self.sent = 0
        self.received = 0
        self.first_pause = first_pause
        self._turns = Turns(connection.options.qps)
        self._failed_at = float("-inf")
        self._client: Any = None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        configuration = self.connection.configuration
        try:
            self._client = RESTClientObject(configuration)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"{self.place}: its certificates can't be loaded: {in_words(error)}: correct the kubeconfig"
            ) from error
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(_keep_what_is_said)
        # Every exec stream and watch keeps a connection: the client library's own pool would be empty after ten of
        # them.
        connector = aiohttp.TCPConnector(ssl=self._client.ssl_context, limit=0)
        more = configuration.client_session_kwargs or {}
        self._session = aiohttp.ClientSession(connector=connector, trace_configs=[trace], **more)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def qps(self) -> float:
        """How many requests may start in a second."""
        return self.connection.options.qps

    @property
    def place(self) -> str:
        """Which server this is, for messages."""
        return f"{self.connection.server} (context {self.connection.context})"

    async def get(self, question: Question, parameters: Parameters | None = None) -> bytes:
        """The body of a good answer to ``question``. Raises what ``send`` raises."""
        return await self.send("GET", question, parameters=parameters)

    async def send(
        self,
        method: str,
        question: Question,
        body: Any = None,
        parameters: Parameters | None = None,
        *,
        content_type: str = JSON,
    ) -> bytes:
        """The body of a good answer (200 to 202). ``body`` is JSON in bytes, or any value that msgspec can encode as
        JSON.

        Raises NotFoundError, ForbiddenError, AdmissionError, ConflictError, InvalidError and ExpiredError for these
        answers, ClusterError for whatever else went wrong. A write whose answer was lost is sent again, except a JSON
        patch: see ``ConflictError``.
        """
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        tries = Tries(self, method, question, repeatable=content_type != JSON_PATCH)
        while True:
            try:
                status, headers, answer = await self._exchange(method, question, data, parameters, content_type)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                log.debug("%s %s: %s", method, question.path, in_words(error))
                pause = tries.after_failure(error)
            else:
                if status in (200, 201, 202):
                    return answer
                pause = tries.after_refusal(status, headers, answer)
            log.debug("%s %s: once more in %.2f s", method, question.path, pause)
            await asyncio.sleep(pause)

    async def _exchange(
        self, method: str, question: Question, data: bytes | None, parameters: Parameters | None, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = await self._headers(question)
        if data is not None:
            headers["Content-Type"] = content_type
            self.sent += len(data)
        limit = aiohttp.ClientTimeout(total=self.connection.options.request_timeout)
        url = self._url(question, parameters)
        async with self._session.request(
            method, url, data=data, headers=headers, timeout=limit, **self._route()
        ) as answer:
            body = await answer.read()
            self.received += len(body)
            log.debug("%s %s: %d, %d bytes", method, question.path, answer.status, len(body))
            return answer.status, answer.headers, body

    @asynccontextmanager
    async def stream(
        self, question: Question, parameters: Parameters, *, silence: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a good answer while it still grows, without an end in time; ``silence`` seconds without a byte
        break it.

        Raises RefusedError for any other answer; a connection that fails, then or later, raises the client library's
        own errors.
        """
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=self.connection.options.request_timeout, sock_read=silence
        )
        headers = await self._headers(question)
        async with self._session.get(
            self._url(question, parameters), headers=headers, timeout=limit, **self._route()
        ) as answer:
            log.debug("GET %s: %d, a stream", question.path, answer.status)
            if answer.status != 200:
                raise RefusedError(answer.status, answer.headers, await answer.read())
            yield answer.content

    async def upgrade(
        self, question: Question, parameters: Parameters, protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """A websocket at ``question``'s path that speaks ``protocol``. Pings are left to the caller.

        Raises what ``send`` raises; nothing is tried again.
        """
        limit = self.connection.options.request_timeout
        try:
            async with asyncio.timeout(limit):
                headers = await self._headers(question, accept="*/*")
                url = self._url(question, parameters)
                options: dict[str, Any] = {"autoping": False, "max_msg_size": LONGEST_MESSAGE, **self._route()}
                socket: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(
                    url, protocols=[protocol], headers=headers, **options
                )
                log.debug("GET %s: a websocket", question.path)
                return socket
        except RefusedError as error:
            raise refusal(self.place, question, error.status, error.body) from error
        except aiohttp.WSServerHandshakeError as error:
            raise ClusterError(
                f"{self.place}: speaks no websocket, asked to {question}: {error.message.lower()}"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(self.place, question, error, limit) from error

    async def _headers(self, question: Question, accept: str = JSON) -> CIMultiDict[str]:
        """Those of every request, once it is this one's turn."""
        await self._turns.take(urgent=question.urgent)
        self.calls += 1
        headers: CIMultiDict[str] = CIMultiDict(self.connection.headers)
        headers.update({"Accept": accept, "User-Agent": f"netpol-audit/{__version__}"})
        token = await self.connection.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        return headers

    def _url(self, question: Question, parameters: Parameters | None) -> str:
        return self.connection.server + question.path + (f"?{urlencode(parameters)}" if parameters else "")

    def _route(self) -> dict[str, Any]:
        """How the configuration says the server is reached, as arguments of every request."""
        configuration = self.connection.configuration
        route = {
            "proxy": configuration.proxy,
            "proxy_headers": configuration.proxy_headers,
            "server_hostname": configuration.tls_server_name,
        }
        return {name: value for name, value in route.items() if value}

    def note_failure(self) -> None:
        """Remember that the server couldn't be reached just now."""
        self._failed_at = asyncio.get_running_loop().time()

    def is_disturbed(self) -> bool:
        """Whether a connection failed within the last ``patience`` seconds."""
        return asyncio.get_running_loop().time() - self._failed_at < self.patience


async def _keep_what_is_said(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
) -> None:
    """Raise what a server said instead of opening a websocket: the client library would forget it."""
    answer = end.response
    if "Upgrade" in answer.request_info.headers and answer.status != 101:
        with suppress(aiohttp.ClientError):
            raise RefusedError(answer.status, answer.headers, await answer.read())
        raise RefusedError(answer.status, answer.headers, b"")
