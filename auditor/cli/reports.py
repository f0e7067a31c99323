"""``--reports``: the run as objects of the cluster that it audited.

What can't be written there costs the objects and not the run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.parameters import OBJECT_NAME
from auditor.model.errors import AuditError
from auditor.model.report_scope import WHOLE_CLUSTER, ReportScope
from auditor.model.words import pluralize
from auditor.report.lines import say_aside

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.model.report import Report
    from auditor.run.live_plan import LiveOptions
    from auditor.run.planning import AuditOptions

NAME = re.compile(rf"{OBJECT_NAME}\Z")


def _read_name(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not NAME.match(text):
        raise click.BadParameter(f"{text!r} is not a valid name of an object: use a-z, 0-9, '-' and '.'")
    return text


def reports_option(command: Any) -> Any:
    """Give ``command`` the option, which arrives as ``reports``."""
    return click.option(
        "--reports",
        callback=_read_name,
        metavar="NAME",
        help="Write the results as objects of OpenReports into the cluster, under this name, over those of the last "
        "run.",
    )(command)


def scope_of(live: LiveOptions, options: AuditOptions) -> ReportScope:
    """How much of the cluster a run with these options looks at."""
    return ReportScope.of(
        {
            "namespaces": live.namespaces,
            "pods": () if live.selector is None else (str(live.selector),),
            "from": options.sources,
            "to": options.destinations,
            "ports": tuple(map(str, options.ports)),
        },
        {
            "per-node": ("yes",) if live.mode.is_everywhere else (),
            "all-pods": ("yes",) if live.mode is live.mode.ALL_PODS else (),
            "probe-pods": () if live.in_place else ("yes",),
            "seconds": ("yes",) if live.mode is not live.mode.ONE_PER_CLASS else (),
            "external": tuple(f"{host.name}:{port}" for host in live.externals for port in host.ports),
            "intent": () if live.intent is None else ("yes",),
        },
    )


def write_reports(
    report: Report,
    name: str | None,
    connection: ConnectionOptions,
    audited: Collection[str],
    scope: ReportScope = WHOLE_CLUSTER,
) -> None:
    """Write ``report`` as objects called ``name``, None where nobody asked for them; ``audited`` are the namespaces,
    ``scope`` is that of the run.

    Where that fails, a line on stderr says so.
    """
    if name is None:
        return
    from auditor.cluster.kubernetes.report_writing import write_report_objects
    from auditor.report.as_objects import report_objects

    objects = report_objects(report, audited, scope)
    try:
        written = asyncio.run(write_report_objects(connection, name, objects))
    except AuditError as error:
        _warn(f"{error}; no report object was written")
        return
    failures = written.failures
    if failures:
        _warn(f"{failures[0]}; {len(failures):,} of {pluralize(len(objects), 'report object')} not written")
    if written.left:
        _warn(written.left)


def _warn(line: str) -> None:
    with suppress(OSError):
        say_aside(f"warning: --reports: {line}")
