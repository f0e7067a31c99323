"""What ``audit conformance`` does from night to night, as ``nightly`` does for audits: hold the features that depart
against earlier runs, keep a record, and tell whoever asked for it what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.nightly import (
    HISTORY_OPTIONS,
    NIGHTS_LOOKED_AT,
    NOTHING_BEFORE,
    SENDING_OPTIONS,
    NightlyOptions,
    keep_record,
    name_of,
    read_records,
)
from auditor.cli.notify import Group, metrics_for, news_for
from auditor.cli.parameters import with_options
from auditor.cli.sending import send
from auditor.model.errors import UsageError
from auditor.model.scorecard import Score
from auditor.model.standing import FailOn

if TYPE_CHECKING:
    from auditor.model.conformance_record import ConformanceRecord
    from auditor.model.scorecard import Scorecard

JOB = "netpol-audit-conformance"
"""The job of a Pushgateway that has the metrics of these runs."""


@dataclass(frozen=True, slots=True)
class ConformanceBefore:
    """What is known before a conformance run: earlier ones, the latest first, and who they are in words."""

    options: NightlyOptions
    records: tuple[ConformanceRecord, ...] = ()
    against: str = NOTHING_BEFORE


def conformance_nightly_options(command: Any) -> Any:
    """Give ``command`` the options of ``read_before_conformance``."""
    fail_on: Callable[[Any], Any] = click.option(
        "--fail-on",
        type=click.Choice([FailOn.NEW.value, FailOn.ANY.value]),
        default=FailOn.ANY.value,
        show_default=True,
        help="Which features that depart make exit code 1: those that are not known from earlier runs, or any.",
    )
    return with_options(command, (*HISTORY_OPTIONS, fail_on, *SENDING_OPTIONS))


def read_before_conformance(options: NightlyOptions) -> ConformanceBefore:
    """What is known before the run that is about to begin. Raises UsageError; a history that can't be read is told,
    and taken for empty.
    """
    if options.history is None:
        if options.fail_on is FailOn.NEW:
            raise UsageError("--fail-on new: new since when? Give --history DIR")
        return ConformanceBefore(options)
    from auditor.history.store import CONFORMANCE

    records = read_records(options.history, NIGHTS_LOOKED_AT, options.connection, CONFORMANCE)
    against = f"the latest run of {options.history}{name_of(records[0])}" if records else NOTHING_BEFORE
    return ConformanceBefore(options, records, against)


def after_conformance(card: Scorecard, before: ConformanceBefore, part: str = "") -> Scorecard:
    """``card`` with how its features stand against ``before``, once its record is kept and everyone who asked for it
    has been told what is new. ``part`` are the options that leave less than all scenarios on a live cluster.
    """
    options = before.options
    if options.history is not None:
        card = _compared_and_kept(card, options.history, before)
    if options.webhooks or options.gateway:
        from auditor.report.message import message_of_card
        from auditor.report.scorecard_as_metrics import card_lines

        message = message_of_card(card, before.records[0].conclusion if before.records else "")
        send(
            [
                *news_for(message, options.webhooks),
                *metrics_for(card_lines(card), options.gateway, Group(JOB, part=part)),
            ]
        )
    return card


def _compared_and_kept(card: Scorecard, place: str, before: ConformanceBefore) -> Scorecard:
    from auditor import __version__
    from auditor.history.conformance import compare_conformance, record_of_card
    from auditor.history.store import CONFORMANCE

    record = record_of_card(card, __version__)
    fail_on = before.options.fail_on or FailOn.ANY
    compared = compare_conformance(record, before.records, before.against, fail_on)
    keep_record(record, place, before.options, CONFORMANCE)
    return replace(card, comparison=compared)


def verdict_of(card: Scorecard) -> Score:
    """What ``card`` comes to where features that depart may be known: without one that counts, a run with connections
    that have no verdict is inconclusive.
    """
    if card.comparison is None or card.comparison.failing or card.score is not Score.DEPARTS:
        return card.score
    return Score.INCONCLUSIVE if card.summary.inconclusive else Score.CONFORMS
