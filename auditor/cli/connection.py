"""The options that say which live cluster, and as whom: named as kubectl names them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions

Decorator: TypeAlias = Callable[[Any], Any]
CONNECTION = ("kubeconfig", "context", "impersonate", "request_timeout", "qps")
"""The parameters as which the options arrive."""
UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)\Z")


def _read_duration(_context: click.Context, _option: click.Parameter, text: str) -> float | None:
    """Seconds; None for 0, which means no limit."""
    found = DURATION.match(text)
    if not found:
        raise click.BadParameter(f"{text!r} is not a valid duration: write 30s, 1m or, for no limit, 0")
    return float(found[1]) * UNITS[found[2]] or None


kubeconfig_option: Decorator = click.option(
    "--kubeconfig",
    metavar="FILE",
    help="The kubeconfig. [default: $KUBECONFIG, ~/.kube/config, or this pod's service account]",
)
context_option: Decorator = click.option(
    "--context", metavar="NAME", help="The context of the kubeconfig. [default: its current-context]"
)
as_option: Decorator = click.option("--as", "impersonate", metavar="USER", help="The user to act as (impersonation).")
request_timeout_option: Decorator = click.option(
    "--request-timeout",
    callback=_read_duration,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long one request may take: 500ms, 30s, 1m; 0 for no limit.",
)
qps_option: Decorator = click.option(
    "--qps",
    type=click.FloatRange(0.1, 10_000),
    default=50.0,
    show_default=True,
    metavar="N",
    help="Requests per second; after a pause, two seconds' worth may go out at once.",
)


def connection_options(command: Any) -> Any:
    """Give ``command`` all of them; they arrive as the parameters of ``read_connection``."""
    for option in (qps_option, request_timeout_option, as_option, context_option, kubeconfig_option):
        command = option(command)
    return command


def read_connection(
    *, kubeconfig: str | None, context: str | None, impersonate: str | None, request_timeout: float | None, qps: float
) -> ConnectionOptions:
    """What the options say, as the adapter wants it."""
    from auditor.cluster.kubernetes.client.options import ConnectionOptions

    return ConnectionOptions(kubeconfig, context, impersonate, request_timeout, qps)
