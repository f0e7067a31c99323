"""What ``audit run`` does from night to night: hold its findings against earlier runs and against what was accepted,
and keep a record.

A history that can't be read or written costs the history and never the run: one line on stderr says so.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.history_place import is_ring, keep, read
from auditor.cli.notify import Group, Webhook, metrics_for, news_for, read_gateway, read_webhooks
from auditor.cli.parameters import with_options
from auditor.cli.sending import send
from auditor.model.errors import ClusterError, UsageError, system_reason
from auditor.model.standing import FailOn
from auditor.report.lines import say_aside

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.history.codec import AnyRecord
    from auditor.history.store import RecordType
    from auditor.history.suppressions import Accepted
    from auditor.model.conformance_record import ConformanceRecord
    from auditor.model.night import Night
    from auditor.model.report import Report
    from auditor.model.standing import Comparison

NIGHTS_LOOKED_AT = 30
"""How many records are asked about a connection of which the latest ones say nothing."""
JOB = "netpol-audit"
"""The job of a Pushgateway that has the metrics of audits."""
NOTHING_BEFORE = "no earlier run"


@dataclass(frozen=True, slots=True)
class NightlyOptions:
    """Where records are kept and how many of them, what is known, which findings fail, and what is accepted.

    ``connection``: to the cluster that has the records, where these are in one.
    """

    history: str | None = None
    keep: int = 400
    days: int = 400
    baseline: str | None = None
    fail_on: FailOn | None = None
    suppressions: str | None = None
    webhooks: tuple[Webhook, ...] = ()
    gateway: str | None = None
    connection: ConnectionOptions | None = None

    @property
    def asked(self) -> bool:
        """Whether anything is to be held against anything."""
        return any((self.history, self.baseline, self.fail_on, self.suppressions))


@dataclass(frozen=True, slots=True)
class Before:
    """What is known before a run: earlier runs, the latest first, who they are in words, and what is accepted; and the
    runs that the history has, where there is one.
    """

    options: NightlyOptions
    nights: tuple[Night, ...] = ()
    against: str = NOTHING_BEFORE
    accepted: Accepted | None = None
    history: tuple[Night, ...] = ()

    @property
    def seed(self) -> int | None:
        """The number of the draw that comes next; None without a history."""
        if self.options.history is None:
            return None
        return max((night.seed + 1 for night in self.history if night.seed is not None), default=0)


HISTORY_OPTIONS = (
    click.option(
        "--history",
        metavar="PLACE",
        help="Keep a record of the run in this directory, or in configmap://NAMESPACE/NAME, and say what is new.",
    ),
    click.option(
        "--history-keep",
        type=click.IntRange(min=1),
        default=400,
        show_default=True,
        metavar="N",
        help="How many records to keep.",
    ),
    click.option(
        "--history-days",
        type=click.IntRange(1, 36500),
        default=400,
        show_default=True,
        metavar="DAYS",
        help="How many days to keep records.",
    ),
)
SENDING_OPTIONS = (
    click.option(
        "--notify",
        "webhooks",
        multiple=True,
        callback=read_webhooks,
        metavar="[FORMAT=]URL",
        help="Send what is new to this webhook, as json, slack or teams; may be repeated. [default format: by the "
        "host's name, else json]",
    ),
    click.option(
        "--push",
        "gateway",
        callback=read_gateway,
        metavar="URL",
        help="Push the run's metrics to this Prometheus Pushgateway, or to this group of one. [default group: the job "
        "netpol-audit, with scope and part where not everything is looked at]",
    ),
)


def nightly_options(command: Any) -> Any:
    """Give ``command`` the options of ``read_nightly``."""
    options = (
        *HISTORY_OPTIONS,
        click.option(
            "--baseline",
            metavar="FILE",
            help="Findings that are known already: from 'audit baseline', a JSON report or a record.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice([each.value for each in FailOn]),
            help="Which findings make exit code 1: those that are not known, any, or leaks. [default: new with "
            "--baseline, else any]",
        ),
        click.option(
            "--suppressions", metavar="FILE", help="Findings that are accepted, each with owner, reason and expiry."
        ),
        *SENDING_OPTIONS,
    )
    return with_options(command, options)


def read_nightly(options: NightlyOptions) -> Before:
    """What is known before the run that is about to begin.

    Raises UsageError or InputError for a baseline or for suppressions that can't be read. A history that can't be is
    told, and taken for empty: whatever is found then is not known.
    """
    if not options.asked:
        return Before(options)
    if options.fail_on is FailOn.NEW and not options.baseline and not options.history:
        raise UsageError("--fail-on new: new since when? Give --history DIR or --baseline FILE")
    accepted = read_accepted(options.suppressions)
    nights: tuple[Night, ...] = ()
    if options.history is not None:
        nights = read_history(options.history, NIGHTS_LOOKED_AT, options.connection)
    if options.baseline is not None:
        known = read_run(options.baseline)
        return Before(options, (known,), f"baseline {options.baseline}{name_of(known)}", accepted, nights)
    against = f"the latest run of {options.history}{name_of(nights[0])}" if nights else NOTHING_BEFORE
    return Before(options, nights, against, accepted, nights)


def read_accepted(path: str | None) -> Accepted:
    """What the file of suppressions at ``path`` accepts today; nothing without one. Raises UsageError or InputError."""
    from datetime import datetime

    from auditor.history.suppressions import Accepted, read_finding_suppressions
    from auditor.run.sources import load_sources

    sources = load_sources([path]) if path is not None else []
    suppressions = [each for source in sources for each in read_finding_suppressions(source)]
    return Accepted(suppressions, datetime.now().astimezone().date().isoformat())


def name_of(night: Night | ConformanceRecord) -> str:
    """Which run it is, to stand after the name of its file."""
    return f" (run {night.run}{f' of {night.began}' if night.began else ''})"


def read_run(path: str) -> Night:
    """The run that the file at ``path`` describes, or the latest one where that is a history. Raises UsageError or
    InputError.
    """
    from auditor.history.reading import read_night
    from auditor.run.sources import load_sources

    if is_ring(path) or Path(path).is_dir():
        nights = read_history(path, 1)
        if not nights:
            raise UsageError(f"{path}: no record of a run is there")
        return nights[0]
    return read_night(load_sources([path])[0])


def read_history(place: str, most: int, connection: ConnectionOptions | None = None) -> tuple[Night, ...]:
    """The latest ``most`` runs at ``place``, the latest first; none where nothing is kept there yet. What can't be
    read is reported and skipped.
    """
    from auditor.history.store import AUDITS

    return read_records(place, most, connection, AUDITS)


def read_records(
    place: str, most: int, connection: ConnectionOptions | None, records: RecordType[AnyRecord]
) -> tuple[AnyRecord, ...]:
    """As ``read_history``, for runs of which there are ``records``."""
    try:
        past = read(place, most, connection, records)
    except FileNotFoundError:
        return ()
    except (OSError, ClusterError) as error:
        _warn(f"--history {place}: {_why(error)}; nothing is known of earlier runs")
        return ()
    for line in past.skipped:
        _warn(line)
    return past.nights


def after_run(report: Report, before: Before, group: Group = Group(JOB)) -> Report:  # noqa: B008 - it is frozen
    """``report`` with how its findings stand against ``before``, once its record is kept and everyone who asked for it
    has been told what is new; ``group`` is that of its metrics.
    """
    from auditor.history.store import AUDITS

    options = before.options
    if report.draw is not None:
        report = replace(
            report, draw=report.draw.after(night.tried for night in before.history if night.seed is not None)
        )
    if options.asked:
        record = record_of(report)
        report = replace(report, comparison=_held_against(record, before))
        if options.history is not None:
            keep_record(record, options.history, options, AUDITS)
    _send(report, before.nights[0].conclusion if before.nights else "", options, group)
    return report


def _send(report: Report, last: str, options: NightlyOptions, group: Group) -> None:
    """Tell everyone who asked for it what is new in ``report`` since a run that came to ``last``."""
    if not (options.webhooks or options.gateway):
        return
    from auditor.report.as_metrics import metric_lines
    from auditor.report.message import message_of

    news = news_for(message_of(report, last), options.webhooks)
    send([*news, *metrics_for(metric_lines(report), options.gateway, group)])


def _held_against(record: Night, before: Before) -> Comparison:
    from auditor.history.comparing import compare

    options = before.options
    fail_on = options.fail_on or (FailOn.NEW if options.baseline else FailOn.ANY)
    accepted = (before.accepted,) if before.accepted is not None else ()
    return compare(record, before.nights, before.against, fail_on, *accepted)


def record_of(report: Report) -> Night:
    """The record of ``report``, whose conclusion is that of the run itself, whatever was known or accepted."""
    from auditor import __version__
    from auditor.history.recording import night_of
    from auditor.report.conclusion import conclude

    return night_of(report, __version__, conclude(replace(report, comparison=None)))


def keep_record(record: AnyRecord, place: str, options: NightlyOptions, records: RecordType[AnyRecord]) -> None:
    """Keep ``record`` at ``place``; where it can't be, say so."""
    from auditor.history.store import Retention

    try:
        keep(record, place, Retention(options.keep, options.days), options.connection, records)
    except (OSError, ClusterError) as error:
        _warn(f"--history {place}: {_why(error)}; no record of this run is kept")


def _why(error: OSError | ClusterError) -> str:
    return system_reason(error) if isinstance(error, OSError) else str(error)


def _warn(line: str) -> None:
    with suppress(OSError):
        say_aside(f"warning: {line}")
