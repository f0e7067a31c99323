"""Checks by real packets, on the lab or on a cluster: one audit for all of them, of which each check reads its part.

So a denial's timeout is paid once, and with the first check: all pods try all ports that matter, and those that the
checks name, at the same time. A check that needs a port or a host that no check before it named has the audit made
again, with that.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from auditor.model.addresses import IPAddress
from auditor.model.checks import Answer, Check, Outcome
from auditor.model.errors import AuditError, UsageError
from auditor.model.ports import PortRequest
from auditor.model.report import CellResult, Report
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import NOT_OBSERVED, Cell, Note, Observed, Result
from auditor.model.workloads import workload_name
from auditor.policy.explain import decide
from auditor.report.cause import cause_lines
from auditor.report.grouping import by_reason, in_words, observation
from auditor.testing.backends import Remarks
from auditor.testing.merging import Known, merge, with_applied
from auditor.testing.policies import require_namespaces
from auditor.testing.questions import Question, resolve, with_addresses_named, with_hosts

SAME_POD = "one probe pod stands for both ends, which no policy tells apart"
NOT_TRIED = "it was not tried, as neither end is in a namespace that is audited, or there were too many to try"


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What an audit has to try besides what it would anyway: ``ports``, and ``hosts`` outside. ``at_hosts`` are the
    ports of hosts that are destinations, by their names. ``generation`` counts how often what was seen was forgotten.
    """

    ports: frozenset[PortRequest] = frozenset()
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False)
    at_hosts: frozenset[tuple[str, PortRequest]] = frozenset()
    generation: int = 0

    def with_checks(self, checks: Sequence[Check]) -> AuditRequest:
        """What ``checks`` need as well."""
        hosts = {name: addresses for check in checks for name, addresses in check.hosts.items()}
        at_hosts = {
            (name, check.port) for check in checks for name in check.hosts if check.destination == f"host/{name}"
        }
        return self.joined(AuditRequest(frozenset(check.port for check in checks), hosts, frozenset(at_hosts)))

    def joined(self, other: AuditRequest) -> AuditRequest:
        """This and ``other``."""
        hosts = {**self.hosts, **other.hosts}
        generation = max(self.generation, other.generation)
        return AuditRequest(self.ports | other.ports, hosts, self.at_hosts | other.at_hosts, generation)


@dataclass(frozen=True)
class Audited:
    """What one audit saw.

    Names mean something in ``snapshot``; ``stand_ins`` say by which names they go in the report, all others by their
    own. ``audited`` is the cluster as the report has it. ``again`` is the beginning of the command line that tries one
    connection again.
    """

    snapshot: Snapshot
    audited: Snapshot
    report: Report
    again: tuple[str, ...]
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def results(self) -> Mapping[Cell, CellResult]:
        return {each.cell: each for each in self.report.cells}

    def tried(self, cell: Cell) -> Cell:
        """``cell`` by the names of the report."""
        source, destination = (self.stand_ins.get(name, name) for name in (cell.source, cell.destination))
        return cell._replace(source=source, destination=destination)

    def standing_in(self, cells: Sequence[Cell]) -> Iterator[str]:
        """A line for each workload of ``cells`` in the place of which another one's probe pod was tried."""
        named = {endpoint.name: endpoint for endpoint in self.snapshot.endpoints}
        ends = dict.fromkeys(name for cell in cells for name in (cell.source, cell.destination))
        pods = [named[name] for name in ends if name in named and name in self.stand_ins and named[name].namespace]
        pairs = dict.fromkeys((self.stand_ins[pod.name], workload_name(pod)) for pod in pods)
        for stand_in, workload in pairs:
            if not f"{stand_in}-".startswith((f"{workload}-", f"{workload}@")):
                yield f"{stand_in} was tried in the place of {workload}: no policy tells them apart"

    def why_not_tried(self, cell: Cell) -> str:
        """Why there is nothing about ``cell``, which is by the names of the report."""
        if cell.source == cell.destination:
            return SAME_POD
        known = {endpoint.name for endpoint in self.audited.endpoints}
        missing = [name for name in (cell.source, cell.destination) if name not in known]
        return f"nothing stands for {missing[0]} in it" if missing else NOT_TRIED


def reproduce(again: Sequence[str], cell: Cell) -> str:
    """The command line that begins with ``again`` and tries ``cell``, by the names of the report."""
    return shlex.join(
        [*again, "--from", cell.source, "--to", cell.destination, "--ports", f"{cell.protocol}/{cell.port}"]
    )


class AuditedBackend:
    """``audit`` makes one audit; ``apply`` has the policies of a file in force while it is entered. ``lasting``: once
    they are gone, everything is as it was before.
    """

    def __init__(
        self,
        audit: Callable[[AuditRequest], Audited],
        apply: Callable[[str], AbstractContextManager[None]],
        made_on: str,
        *,
        lasting: bool,
    ) -> None:
        self._audit = audit
        self._apply = apply
        self._lasting = lasting
        self._made_on = made_on
        self._request = AuditRequest()
        self._seen: Audited | None = None
        self._applied = ""
        self._failed: tuple[tuple[AuditRequest, str], AuditError] | None = None

    @property
    def made_on(self) -> str:
        return self._made_on

    def snapshot(self) -> Snapshot:
        return self._whole().snapshot

    def answers(self, checks: Sequence[Check]) -> Sequence[Answer]:
        named = [with_addresses_named(check) for check in checks]
        request = self._request.with_checks(named)
        if self._seen is None or self._lacks(named):
            self._request = request
            self._seen = None
        seen = self._whole()
        return [self._answer(seen, check) for check in named]

    def everybody(self) -> Snapshot:
        return self._whole().snapshot

    def remarks(self, namespaces: Sequence[str]) -> Remarks:
        """The findings of the audit, and what it could not find out."""
        seen = self._whole()
        require_namespaces(seen.snapshot, namespaces)
        return remarks_of(seen.report, namespaces)

    @contextmanager
    def applied(self, path: str) -> Iterator[None]:
        """The audit that follows sees them come into force: what differs is tried again until nothing changes."""
        before = self._seen, self._applied
        self._seen, self._applied = None, path
        try:
            with self._apply(path):
                self._whole()
                yield
        finally:
            self._seen, self._applied = before if self._lasting else (None, before[1])

    def expecting(self, checks: Sequence[Check], ports: Sequence[PortRequest] = ()) -> None:
        """Have the next audit try ``checks`` as well, and ``ports`` everywhere."""
        request = self._request.with_checks([with_addresses_named(check) for check in checks])
        self._request = request.joined(AuditRequest(frozenset(ports)))

    def forget(self) -> None:
        """Have the next question make an audit anew: something in the cluster has changed."""
        self._seen = None
        self._request = replace(self._request, generation=self._request.generation + 1)

    def _whole(self) -> Audited:
        """What the audit saw. One that could not be made is not tried again: that may take a minute each time."""
        if self._seen is None:
            if self._failed is not None and self._failed[0] == (self._request, self._applied):
                raise self._failed[1]
            try:
                self._seen = self._audit(self._request)
            except AuditError as error:
                self._failed = (self._request, self._applied), error
                raise
        return self._seen

    def _lacks(self, checks: Sequence[Check]) -> bool:
        """Whether any of ``checks`` needs what was not asked for yet, and might get it."""
        return any(self._is_lacking(check) for check in checks)

    def _is_lacking(self, check: Check) -> bool:
        if self._seen is None or self._request.with_checks([check]) == self._request:
            return False
        with suppress(UsageError):
            cells = map(self._seen.tried, self._question(self._seen, check).cells)
            return any(cell not in self._seen.results for cell in cells)
        return False

    @staticmethod
    def _question(seen: Audited, check: Check) -> Question:
        return resolve(with_hosts(seen.snapshot, [check]), check)

    def _answer(self, seen: Audited, check: Check) -> Answer:
        question = self._question(seen, check)
        tried = dict.fromkeys((seen.tried(cell), question.doubts.get(cell, "")) for cell in question.cells)
        known = [_known(seen, cell, doubt) for cell, doubt in tried]
        cells = [each.cell for each in known]
        command = with_applied(reproduce(seen.again, _worst(seen, cells)), self._applied)
        answer = merge(check, self.made_on, known, reproduce=command, run_id=seen.report.run_id)
        observed = (*answer.observed, *seen.standing_in(question.cells))
        return replace(answer, observed=observed, causes=tuple(_causes(seen.report, cells)))


def _worst(seen: Audited, cells: Sequence[Cell]) -> Cell:
    """The one of ``cells`` to try again: one that differs, if any does."""
    differing = (cell for cell in cells if cell in seen.results and seen.results[cell].result is not Result.MATCH)
    return next(differing, cells[0])


def _known(seen: Audited, cell: Cell, doubt: str) -> Known:
    result = seen.results.get(cell)
    if result is None:
        return Known(cell, Outcome.INCONCLUSIVE, seen.why_not_tried(cell))
    because = _because(seen, result)
    expected = None if Note.UNDEFINED in result.notes else result.expected
    outcome, why = _outcome(result)
    seen_at_all = result.observation.verdict not in (Observed.INCONCLUSIVE, Observed.SKIPPED)
    observed = observation(result.observation) if seen_at_all else ""
    return Known(cell, Outcome.INCONCLUSIVE if doubt else outcome, doubt or why, expected, because, observed)


def _outcome(result: CellResult) -> tuple[Outcome, str]:
    seen = result.observation
    if result.result is Result.UNSTABLE:
        return Outcome.INCONCLUSIVE, f"it changed its answer: {', '.join(seen.history[-4:])}"
    if seen.verdict is Observed.MISDELIVERED:
        return Outcome.INCONCLUSIVE, "somebody else answered in its place"
    if seen.verdict is Observed.ALLOWED:
        return Outcome.REACHED, ""
    return (Outcome.DENIED, "") if seen.verdict.is_denied else (Outcome.INCONCLUSIVE, seen.outcome)


def _because(seen: Audited, result: CellResult) -> tuple[str, ...]:
    for finding in seen.report.findings:
        if result in finding.cells:
            return finding.expected_by
    decision = decide(seen.audited, result.cell)
    return decision.because() if decision.verdict is result.expected else ()


def _causes(report: Report, cells: Sequence[Cell]) -> Iterator[str]:
    if report.diagnosis is None or set(cells).isdisjoint((*report.diagnosis.explained, *report.diagnosis.unexplained)):
        return
    for label, text in cause_lines(report.diagnosis):
        yield f"{label}: {text}" if label else text


def remarks_of(report: Report, namespaces: Sequence[str]) -> Remarks:
    """What ``report`` says about ``namespaces`` (none: all)."""

    def concerns(cell: Cell) -> bool:
        ends = (name.partition("/")[0] for name in (cell.source, cell.destination))
        return not namespaces or any(end in namespaces for end in ends)

    findings = []
    for finding in report.findings:
        if any(concerns(each.cell) for each in finding.cells):
            cells = [each.cell for each in finding.cells]
            lines = [f"{finding.kind}: {finding.title}", *(f"  {line}" for line in finding.expected_by)]
            lines += [f"  {line}" for line in _causes(report, cells)]
            findings.append("\n".join([*lines, f"  reproduce: {finding.reproduce}"]))
    unknown = [each for each in report.cells if each.result is Result.INCONCLUSIVE and concerns(each.cell)]
    reasons = [f"{len(cells)} connections: {in_words(reason)}" for reason, cells in by_reason(unknown).items()]
    policies = [
        f"policy {each} is untested: {'; '.join(each.reasons[:2])}"
        for each in report.policies.open
        if not namespaces or each.policy.partition("/")[0] in namespaces
    ]
    tried = any(concerns(each.cell) and each.result not in NOT_OBSERVED for each in report.cells)
    nothing = () if tried else ("no connection of it has a verdict",)
    return Remarks(tuple(findings), (*reasons, *policies, *nothing))
