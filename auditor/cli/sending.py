"""Sending what a run comes to over HTTP: that somebody can't be reached costs the message and never the run.

The path of an address is a secret mostly, so no text of ours has it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from auditor.report.lines import say_aside

SECONDS = 10.0
TRIES = 2
PAUSE = 2.0
TOO_BUSY = 429
BROKEN = 500
REDIRECT = 300


@dataclass(frozen=True, slots=True)
class Post:
    """One message: ``option`` says in a warning what asked for it."""

    option: str
    url: str
    content_type: str
    body: bytes


def host_of(url: str) -> str:
    """The host of an http or https address; empty where ``url`` is not one."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    return ""


def send(posts: Sequence[Post]) -> None:
    """Send all of ``posts``. What can't be sent is reported on stderr, one line each."""
    if not posts:
        return
    for post, trouble in zip(posts, asyncio.run(_send_all(posts)), strict=True):
        if trouble:
            with suppress(OSError):
                say_aside(f"warning: {post.option}: {trouble}; nothing was sent there")


async def _send_all(posts: Sequence[Post]) -> list[str]:
    return list(await asyncio.gather(*map(_send, posts)))


async def _send(post: Post) -> str:
    """Send ``post``; why it could not be sent, empty where it was. What may pass is tried again once."""
    import aiohttp

    trouble = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE)
        headers = {"Content-Type": post.content_type}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS), trust_env=True) as session,
                session.post(post.url, data=post.body, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status < REDIRECT:
                    return ""
                trouble = f"HTTP {answer.status}"
                if answer.status != TOO_BUSY and answer.status < BROKEN:
                    return trouble
        except TimeoutError:
            trouble = f"no answer within {SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            trouble = _why(error)
    return trouble


def _why(error: Exception) -> str:
    """The reason, without the address: errors of aiohttp tend to hold all of it."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0).lower()
    return str(getattr(cause, "strerror", None) or type(error).__name__).lower()
