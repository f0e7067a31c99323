"""``--notify``: a webhook gets what is new in a run. That it can't be reached costs the message and never the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from auditor.report.lines import say_aside

if TYPE_CHECKING:
    from auditor.model.report import Report

FORMATS = ("json", "slack", "teams")
HOSTS = {
    "hooks.slack.com": "slack",
    ".webhook.office.com": "teams",
    ".logic.azure.com": "teams",
    ".powerplatform.com": "teams",
}
"""Whose webhook it is, by the host's name or, with a dot in front, by its end."""
SECONDS = 10.0
TRIES = 2
PAUSE = 2.0
TOO_BUSY = 429
BROKEN = 500
REDIRECT = 300


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a message goes and as what. ``str`` has no path, which is a secret mostly."""

    format: str
    url: str

    def __str__(self) -> str:
        return f"{self.format}={urlsplit(self.url).hostname}"


def read_webhooks(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[Webhook, ...]:
    """The callback of an option whose values are ``URL`` or ``FORMAT=URL``. What it refuses, it does not repeat."""
    return tuple(map(_read_webhook, values))


def _read_webhook(value: str) -> Webhook:
    before, equals, after = value.partition("=")
    chosen, url = (before, after) if equals and before in FORMATS else ("", value)
    host = ""
    with suppress(ValueError):
        parts = urlsplit(url)
        host = (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    if not host:
        raise click.BadParameter(
            f"not an address: write https://… or FORMAT=https://…, FORMAT one of {', '.join(FORMATS)}"
        )
    return Webhook(chosen or _of_host(host), url)


def _of_host(host: str) -> str:
    return next(
        (name for known, name in HOSTS.items() if host == known or (known[0] == "." and host.endswith(known))), "json"
    )


def notify(report: Report, last: str, webhooks: Sequence[Webhook]) -> None:
    """Send what is new in ``report`` to each of ``webhooks``; nothing where nothing is.

    ``last`` is the conclusion of the run before, empty without one. What can't be sent is told in a line on stderr.
    """
    if not webhooks:
        return
    from auditor.report.message import BODIES, message_of

    message = message_of(report, last)
    if message is None:
        return
    bodies = [(each, BODIES[each.format](message)) for each in webhooks]
    for each, trouble in zip(webhooks, asyncio.run(_send_all(bodies)), strict=True):
        if trouble:
            with suppress(OSError):
                say_aside(f"warning: --notify {each}: {trouble}; it was told nothing")


async def _send_all(bodies: Sequence[tuple[Webhook, Any]]) -> list[str]:
    return list(await asyncio.gather(*(_send(webhook, body) for webhook, body in bodies)))


async def _send(webhook: Webhook, body: Any) -> str:
    """Send ``body``; why it could not be sent, empty where it was. What may pass is tried again once."""
    import aiohttp

    trouble = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS), trust_env=True) as session,
                session.post(webhook.url, json=body, allow_redirects=False) as answer,
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
