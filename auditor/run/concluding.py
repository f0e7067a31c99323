"""From what an audit brought back to its report: nothing here needs the cluster, so it is done once that has been left.

Each analysis is made apart from the event loop, and those that a hostile input can draw out have a limit in time. What
was cut short is said in the report's facts; nothing is concluded from it. Policies get remarks whatever enforces them:
what lint finds, and where they are not what was meant.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

from auditor.diagnosis.asked import NOTHING, Asked
from auditor.diagnosis.coverage import unexercised
from auditor.diagnosis.findings import TOLD, find
from auditor.diagnosis.proof import policy_tests
from auditor.diagnosis.search import diagnose
from auditor.intent import check_intent
from auditor.lint import lint
from auditor.loop.apart import apart
from auditor.model.diagnosis import Diagnosis
from auditor.model.dns_seen import DnsSeen, ReachedSeen
from auditor.model.intent import Intent, IntentFinding
from auditor.model.lint import Severity
from auditor.model.policy import NetworkPolicy
from auditor.model.report import CellResult, PolicyRemark, PolicyTests, Report, Summary
from auditor.model.service_seen import ServicesSeen
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.probing.options import ProbingProgress
from auditor.run.expectation import AuditState


def remarks_on(
    snapshot: Snapshot, namespaces: Collection[str] = (), *, complete: bool = True
) -> tuple[PolicyRemark, ...]:
    """The warnings and errors about policies in ``namespaces`` (none: all), the gravest first. ``complete`` as for
    ``lint``.
    """
    return tuple(
        PolicyRemark(finding.check, finding.severity, str(finding.place), finding.message)
        for finding in lint(snapshot, complete=complete)
        if finding.severity.reaches(Severity.WARNING) and (not namespaces or finding.place.namespace in namespaces)
    )


def against_intent(snapshot: Snapshot, intent: Intent | None) -> tuple[IntentFinding, ...]:
    """Where the policies of ``snapshot`` differ from ``intent``; nothing without one. Raises UsageError or InputError
    for a wrong one.
    """
    return () if intent is None else check_intent(evaluate(intent.with_hosts(snapshot)), intent)


ANALYSIS_SECONDS = 60.0
"""How long each analysis may take that a report can do without."""
UNFINISHED = f"which policies were tested was not searched further after {ANALYSIS_SECONDS:g} s"

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class Seconds(dict[str, float]):
    """The wall time of each phase, in the order in which they began."""

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Count the time of the block as that of ``phase``, in addition to what it has already."""
        began = time.monotonic()
        self.setdefault(phase, 0.0)
        try:
            yield
        finally:
            self[phase] += time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit brought back, and what it was ``asked`` about.

    ``diagnosis`` is final where it was ``sought`` to the end while the audit still could probe.
    """

    endpoints: tuple[Endpoint, ...]
    audit_state: AuditState
    reproduce: Callable[[Cell], str]
    diagnosis: Diagnosis | None = None
    sought: bool = False
    asked: Asked = NOTHING
    facts: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    services: ServicesSeen | None = None
    dns: DnsSeen | None = None
    reached: ReachedSeen | None = None


async def report_on(seen: Seen, subject: str, min_coverage: float, progress: ProbingProgress) -> Report:
    """The report of what was ``seen``."""
    progress.phase("comparing", 0)
    seconds = Seconds(seen.seconds)
    snapshot = seen.audit_state.expectation.matrix.snapshot
    with seconds.of("comparing"):
        results = await apart(seen.audit_state.results)
        findings = await apart(find, snapshot, results, seen.reproduce)
        summary = await apart(Summary.of, results)
    with seconds.of("diagnosing"):
        diagnosis = seen.diagnosis if seen.sought else await _cause(snapshot, results, seen.audit_state.former)
    with seconds.of("coverage"):
        tests = await at_most(ANALYSIS_SECONDS, policy_tests, snapshot, results, seen.asked) or PolicyTests(
            unfinished=UNFINISHED
        )
        parts = await at_most(ANALYSIS_SECONDS, unexercised, snapshot, results)
    unsearched = () if parts is not None else (cut_short("parts of policies that no probe has exercised"),)
    return Report(
        subject=subject,
        run_id=secrets.token_hex(4),
        endpoints=seen.endpoints,
        cells=results,
        findings=findings,
        summary=summary,
        min_coverage=min_coverage,
        facts=(*seen.facts, *unsearched, *_needless(tests, seen.asked.accepted)),
        seconds=seconds,
        attempts=seen.audit_state.outcome.attempts,
        diagnosis=diagnosis,
        policies=tests,
        unexercised=parts or (),
        services=seen.services,
        dns=seen.dns,
        reached=seen.reached,
    )


def _needless(tests: PolicyTests, accepted: Collection[str]) -> list[str]:
    names = [] if tests.unfinished else sorted(set(accepted) - set(tests.accepted))
    nothing = {name for name, _ in tests.deciding_nothing}
    anyway = {name: "need not be: it decides nothing here" if name in nothing else "is tested anyway" for name in names}
    return [f"policy {name} is accepted as untested (--accept-untested) and {why}" for name, why in anyway.items()]


async def with_lint(report: Report, policies: Snapshot, namespaces: Collection[str] = ()) -> Report:
    """``report`` with what is likely not meant in those of ``policies`` that are in ``namespaces`` (none: all)."""
    seconds = Seconds(report.seconds)
    with seconds.of("lint"):
        remarks = await at_most(ANALYSIS_SECONDS, remarks_on, policies, namespaces)
    facts = () if remarks is not None else (cut_short("what is likely not meant in the policies"),)
    return replace(report, seconds=seconds, lint=remarks or (), facts=(*report.facts, *facts))


async def _cause(
    snapshot: Snapshot, results: tuple[CellResult, ...], former: Sequence[NetworkPolicy] | None
) -> Diagnosis | None:
    """The cause of what differs; where it takes too long to find, that it was not found is all there is to say."""
    try:
        async with asyncio.timeout(ANALYSIS_SECONDS):
            return await apart(diagnose, snapshot, results, former)
    except TimeoutError:
        return _not_found([each.cell for each in results if each.result in TOLD])


def _not_found(differing: Sequence[Cell]) -> Diagnosis:
    what = pluralize(len(differing), "connection differs", "connections differ")
    return Diagnosis(
        title=f"why {what} was not searched further after {ANALYSIS_SECONDS:g} s",
        advice="Look at the findings one by one, or audit fewer pods at a time, so that there is less to compare.",
        unexplained=tuple(differing),
    )


async def at_most(
    seconds: float, work: Callable[Parameters, Returned], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Returned | None:
    """What ``work``, which never returns None, gives; None where that takes longer than that many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await apart(work, *args, **kwargs)
    except TimeoutError:
        return None


def cut_short(what: str) -> str:
    """The fact that says that ``what`` took too long to find out."""
    return f"{what}: not searched further after {ANALYSIS_SECONDS:g} s, so none is reported"
