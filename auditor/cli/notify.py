"""``--notify`` and ``--push``: a webhook gets what is new in a run, a Pushgateway its metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
GROUP = "/metrics/job/"
"""What the path of a group of metrics begins with at a Pushgateway."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Pushgateway reads; to it the last line of OpenMetrics is a comment."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a message goes and as what. ``str`` has no path, which is a secret mostly."""

    format: str
    url: str

    def __str__(self) -> str:
        return f"{self.format}={host_of(self.url)}"


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


def metrics_for(lines: Iterable[str], group: str | None, job: str = "netpol-audit") -> list[Post]:
    """``lines`` of metrics for the ``group`` of a Pushgateway, None where nobody asked for it; ``job`` names the group
    where the address names none.

    By POST, which leaves the metrics there that a run has none of: the time of the last conclusive one, say.
    """
    if group is None:
        return []
    url = group if GROUP in group else f"{group.rstrip('/')}{GROUP}{job}"
    return [Post(f"--push {host_of(group)}", url, METRICS_TYPE, "".join(f"{line}\n" for line in lines).encode())]
