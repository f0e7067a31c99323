"""What happens to the objects of a list from a resourceVersion on (API concepts page, "Efficient detection of
changes").

The server ends every watch after a while, and connections break; neither is an event. So a watch goes on by itself from
the last resourceVersion that it saw, which bookmarks keep young, and ends only when the server has forgotten that
version or can't be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp
import msgspec

from auditor.cluster.kubernetes.client.errors import RefusedError
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.retry import LONGEST_PAUSE, Tries
from auditor.cluster.kubernetes.client.server import ApiServer, Parameters, Question
from auditor.model.errors import ClusterError

WATCH_SECONDS = 240
"""How long the server is asked to keep one watch open."""
SILENCE_SECONDS = WATCH_SECONDS + 30.0
LONGEST_LINE = 1 << 25


@dataclass(frozen=True, slots=True)
class Event:
    """One change. ``kind`` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's ``object`` has nothing but its
    resourceVersion.
    """

    kind: str
    object: msgspec.Raw
    resource_version: str


class _Line(msgspec.Struct):
    """metav1 WatchEvent."""

    type: str
    object: msgspec.Raw


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Versioned(msgspec.Struct):
    metadata: _Metadata


class _Status(msgspec.Struct):
    """metav1 Status."""

    code: int = 500


async def watch(
    api: ApiServer, question: Question, resource_version: str, *, parameters: Mapping[str, str | int] | None = None
) -> AsyncGenerator[Event, None]:
    """Every event after ``resource_version``, for as long as it is iterated.

    Raises ExpiredError when the server has forgotten the version: list anew, and watch from there. Raises
    ForbiddenError, and ClusterError for a server that can't be reached, or answers with no events, several times in a
    row and for longer than its ``patience``.
    """
    asked: dict[str, str | int] = {
        **(parameters or {}),
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": WATCH_SECONDS,
    }
    version, tries, pause = resource_version, Tries(api, "GET", question), api.first_pause
    while True:
        try:
            async with aclosing(
                _watch_once(api, question, {**asked, "resourceVersion": version} if version else asked)
            ) as events:
                async for event in events:
                    version, tries, pause = event.resource_version, Tries(api, "GET", question), api.first_pause
                    yield event
        except RefusedError as error:
            await asyncio.sleep(tries.after_refusal(error.status, error.headers, error.body))
        except (aiohttp.ClientError, OSError) as error:
            silent = ConnectionResetError(f"silent for {SILENCE_SECONDS:g} s")
            await asyncio.sleep(tries.after_failure(silent if isinstance(error, TimeoutError) else error))
        else:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _watch_once(api: ApiServer, question: Question, parameters: Parameters) -> AsyncGenerator[Event, None]:
    """The events of one answer. Raises what ``ApiServer.stream`` raises, and ExpiredError."""
    async with api.stream(question, parameters, silence=SILENCE_SECONDS) as content:
        async for text in _lines(api, question, content):
            line = decode(text, _Line, api, question)
            if line.type == "ERROR":
                code = decode(line.object, _Status, api, question).code
                raise RefusedError(code, {}, bytes(line.object))
            yield Event(
                line.type, line.object, decode(line.object, _Versioned, api, question).metadata.resource_version
            )


async def _lines(api: ApiServer, question: Question, content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The whole lines of ``content``. What follows the last line break was cut off on its way and is not an event."""
    rest = b""
    async for piece in content.iter_any():
        api.received += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise ClusterError(
                f"{api.place}: sends an event of more than {LONGEST_LINE >> 20} MiB, asked to {question}"
            )
        for line in lines:
            if line.strip():
                yield line
