"""Requests to the API server as raw bytes, and the one place where whatever goes wrong with them becomes an error of ours.

Bodies stay bytes since generated models cost thirty times as much to decode. Answers that say "later" and broken connections are tried
again, a few times; refusals and silence are told at once. Only reading is possible from here.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject
from multidict import CIMultiDict

from auditor import __version__
from auditor.cluster.kubernetes.config import Connection
from auditor.model.errors import ClusterError

ATTEMPTS = 4
LATER = frozenset({429, 500, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: its path, and in words what it does there, for messages: "list pods in namespace prod"."""

    path: str
    verb: str
    resource: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{self.where}"


class NotFoundError(ClusterError):
    """The API server has nothing at this path (404)."""


class ForbiddenError(ClusterError):
    """The user may not do this (403)."""


class ExpiredError(ClusterError):
    """The list that a continue token belongs to is gone (410): it must be started anew."""


class ApiServer:
    """One API server, entered with ``async with``. ``calls`` counts requests sent, ``received`` bytes of answers."""

    def __init__(self, connection: Connection, *, first_pause: float = FIRST_PAUSE) -> None:
        self.connection = connection
        self.calls = 0
        self.received = 0
        self._first_pause = first_pause
        self._next_start = 0.0
        self._client: Any = None

    async def __aenter__(self) -> Self:
        try:
            self._client = RESTClientObject(self.connection.configuration)
        except (OSError, ValueError) as error:
            raise ClusterError(f"{self._place}: its certificates can't be loaded: {_reason(error)}: correct the kubeconfig") from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._client.close()

    @property
    def _place(self) -> str:
        return f"{self.connection.server} (context {self.connection.context})"

    async def get(self, question: Question, parameters: Mapping[str, str | int] | None = None) -> bytes:
        """The body of a good answer to ``question``.

        Raises NotFoundError, ForbiddenError and ExpiredError for these answers, ClusterError for whatever else went wrong.
        """
        url = self.connection.server + question.path + (f"?{urlencode(parameters)}" if parameters else "")
        pause = self._first_pause
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, headers, body = await self._send(url)
            except (aiohttp.ServerConnectionError, aiohttp.ClientPayloadError, ConnectionResetError) as error:
                if attempt == ATTEMPTS or isinstance(error, aiohttp.ServerTimeoutError):
                    raise self._unreachable(question, error) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise self._unreachable(question, error) from error
            else:
                if status == 200:
                    return body
                if status not in LATER or attempt == ATTEMPTS:
                    raise self._refusal(question, status, body)
                pause = max(pause, _retry_after(headers))
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError  # the last attempt returns or raises

    async def _send(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        await self._take_turn()
        configuration = self.connection.configuration
        headers: list[tuple[str, str]] = [("Accept", "application/json"), ("User-Agent", f"netpol-audit/{__version__}")]
        headers += self.connection.headers
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers.append(("Authorization", token))
        self.calls += 1
        limit = aiohttp.ClientTimeout(total=self.connection.options.request_timeout)
        answer = await self._client.request("GET", url, headers=CIMultiDict(headers), _request_timeout=limit)
        body = await answer.read()
        self.received += len(body)
        return answer.status, answer.headers, body

    async def _take_turn(self) -> None:
        """Wait until --qps lets the next request start."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self.connection.options.qps
        await asyncio.sleep(start - now)

    def _unreachable(self, question: Question, error: Exception) -> ClusterError:
        match error:
            case TimeoutError():
                limit = self.connection.options.request_timeout
                within = "" if limit is None else f" within {limit:g} s"
                said = f"no whole answer{within}, asked to {question}: try a longer --request-timeout"
            case aiohttp.ClientConnectorCertificateError():
                said = f"its certificate is not trusted: {_reason(error.certificate_error)}: check certificate-authority in the kubeconfig"
            case aiohttp.ClientSSLError():
                said = f"TLS failed: {_reason(error.os_error)}: check the server's address and the certificates in the kubeconfig"
            case aiohttp.ClientConnectorError():
                said = f"can't be reached: {_reason(error.os_error)}: check the server's address, and that the cluster is up"
            case _:
                said = f"the connection failed, asked to {question}: {_reason(error)}"
        return ClusterError(f"{self._place}: {said}")

    def _refusal(self, question: Question, status: int, body: bytes) -> ClusterError:
        said = _message(body)
        match status:
            case 401:
                return ClusterError(f"{self._place}: doesn't know who we are (401): log in anew, or choose another --context")
            case 403:
                grant = f"grant it the verb {question.verb} on {question.resource}"
                return ForbiddenError(f"{self._place}: may not {question} (403): {grant}{said and f' ({said})'}")
            case 404:
                return NotFoundError(f"{self._place}: can't {question} (404){said and f': {said}'}")
            case 410:
                return ExpiredError(f"{self._place}: the list is gone, asked to {question} (410)")
            case _:
                tried = f", {ATTEMPTS} times" if status in LATER else ""
                return ClusterError(f"{self._place}: answered {status}{tried}, asked to {question}{said and f': {said}'}")


def _message(body: bytes) -> str:
    """The message of the Status object that an API server gives with a refusal; empty when the body is something else."""
    try:
        status = json.loads(body)
    except ValueError:
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return " ".join(message.split())[:300] if isinstance(message, str) else ""


def _reason(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError(verify_message=str(text)):
            pass
        case ssl.SSLError(reason=str(reason)):
            text = reason.replace("_", " ").lower()
        case OSError(errno=int(number)) if number > 0:
            text = os.strerror(number).lower()
        case OSError(strerror=str(said)):
            text = said
        case _:
            text = str(error) or type(error).__name__
    return " ".join(text.split())[:200]


def _retry_after(headers: Mapping[str, str]) -> float:
    """The pause in seconds that the server asks for; 0 when it doesn't."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
