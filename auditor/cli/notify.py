"""``--notify`` and ``--push``: a webhook gets what is new in a run, a Pushgateway its metrics."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import click

from auditor.cli.sending import Post, host_of

if TYPE_CHECKING:
    from auditor.report.message import Message

FORMATS = ("json", "slack", "teams")
HOSTS = {
    "hooks.slack.com": "slack",
    ".webhook.office.com": "teams",
    ".logic.azure.com": "teams",
    ".powerplatform.com": "teams",
}
"""Whose webhook it is, by the host's name or, with a dot in front, by its end."""
GROUP = re.compile(r"/metrics/job(@base64)?/[^/]")
"""What the path of a group of metrics begins with at a Pushgateway."""
LONGEST_LABEL = 200
"""Characters of a label of a group that stand for themselves."""
SIMPLE = re.compile(r"[A-Za-z0-9,._-]+", re.ASCII)
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Pushgateway reads; to it the last line of OpenMetrics is a comment."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a message goes and as what. ``str`` has no path, which is a secret mostly."""

    format: str
    url: str

    def __str__(self) -> str:
        return f"{self.format}={host_of(self.url)}"


@dataclass(frozen=True, slots=True)
class Group:
    """The group of a Pushgateway that has a run's metrics, ``str`` its path. Runs that look at something else have
    another one, so that none takes the place of the night's: ``scope`` are the namespaces that are looked at, empty for
    all, ``part`` what leaves less of them, in words.
    """

    job: str
    scope: str = ""
    part: str = ""

    def __str__(self) -> str:
        labels = (("scope", self.scope), ("part", self.part))
        return f"/metrics/job/{self.job}" + "".join(f"/{name}{_in_path(value)}" for name, value in labels if value)


def _in_path(value: str) -> str:
    """``value`` as the value of a label in the path of a group, where a slash takes base64."""
    if len(value) > LONGEST_LABEL:
        value = f"{value[:LONGEST_LABEL]}… ({sha256(value.encode()).hexdigest()[:8]})"
    if SIMPLE.fullmatch(value):
        return f"/{value}"
    return f"@base64/{urlsafe_b64encode(value.encode()).decode()}"


def read_webhooks(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[Webhook, ...]:
    """The callback of an option whose values are ``URL`` or ``FORMAT=URL``. What it refuses, it does not repeat."""
    return tuple(map(_read_webhook, values))


def _read_webhook(value: str) -> Webhook:
    before, equals, after = value.partition("=")
    chosen, url = (before, after) if equals and before in FORMATS else ("", value)
    host = host_of(url)
    if not host:
        raise click.BadParameter(
            f"not an address: write https://… or FORMAT=https://…, FORMAT one of {', '.join(FORMATS)}"
        )
    return Webhook(chosen or _of_host(host), url)


def _of_host(host: str) -> str:
    return next(
        (name for known, name in HOSTS.items() if host == known or (known[0] == "." and host.endswith(known))), "json"
    )


def read_gateway(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """The callback of an option that is the address of a Pushgateway, or of a group there."""
    if value is None:
        return None
    if not host_of(value):
        raise click.BadParameter("not an address: write http://pushgateway:9091 or the like")
    if "/metrics/job" in value and not GROUP.search(value):
        raise click.BadParameter("it names no job: write …/metrics/job/NAME, or leave /metrics/job out")
    return value


def news_for(message: Message | None, webhooks: Sequence[Webhook]) -> list[Post]:
    """``message``, None for no news, for each of ``webhooks``."""
    if message is None:
        return []
    from auditor.report.message import BODIES

    return [
        Post(f"--notify {each}", each.url, "application/json", json.dumps(BODIES[each.format](message)).encode())
        for each in webhooks
    ]


def metrics_for(lines: Iterable[str], address: str | None, group: Group) -> list[Post]:
    """``lines`` of metrics for the Pushgateway at ``address``, None where nobody asked for it: for ``group``, unless
    the address names one.

    By POST, which leaves the metrics there that a run has none of: the time of the last conclusive one, say.
    """
    if address is None:
        return []
    url = address if GROUP.search(address) else f"{address.rstrip('/')}{group}"
    return [Post(f"--push {host_of(address)}", url, METRICS_TYPE, "".join(f"{line}\n" for line in lines).encode())]
