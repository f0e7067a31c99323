"""Checks by the evaluator alone: exact, in no time, and about what policies say, not about what enforces them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from auditor.lint import lint
from auditor.model.addresses import IPNetwork
from auditor.model.checks import Answer, Check, Outcome
from auditor.model.errors import UsageError
from auditor.model.lint import Severity
from auditor.model.snapshot import EndpointKind, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.policy.explain import decide
from auditor.policy.outside import with_outside
from auditor.run.explanation import doubts_of
from auditor.run.naming import host_words
from auditor.run.sources import load_sources
from auditor.testing.backends import Remarks
from auditor.testing.merging import Known, merge, with_applied
from auditor.testing.policies import replaced, require_namespaces, without_blocks_apart_from
from auditor.testing.questions import Question, resolve, with_hosts

UNCERTAIN = {
    Note.UNDEFINED: "the specification leaves it open: a hostNetwork pod, or policies with one priority that differ",
    Note.CNI_DEPENDENT: "an ipBlock covers an address inside the cluster, which the specification leaves to the CNI",
    Note.ADDRESS_UNKNOWN: "an ipBlock may cover a pod whose address the manifests don't give; pod_networks says where "
    "pods have theirs",
}
"""Why a verdict with such a note is no answer."""


class ManifestsBackend:
    """The manifests at ``paths``. ``pod_networks`` are those that pods have their addresses from (none: not known)."""

    def __init__(self, paths: Sequence[str], *, recursive: bool = True, pod_networks: Sequence[IPNetwork] = ()) -> None:
        self._pod_networks = tuple(pod_networks)
        self._paths = tuple(paths)
        self._recursive = recursive
        self._applied = ""
        self._snapshot = read_snapshot(load_sources(paths, recursive=recursive))
        if not self._snapshot.endpoints:
            raise UsageError(f"{', '.join(paths)}: no pod, workload, node or host in the input")

    @property
    def made_on(self) -> str:
        return "by the policies alone"

    def answers(self, checks: Sequence[Check]) -> Sequence[Answer]:
        return [self._answer(check) for check in checks]

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def everybody(self) -> Snapshot:
        return with_outside(self._snapshot)

    def remarks(self, namespaces: Sequence[str]) -> Remarks:
        """What lint says, warnings and errors."""
        require_namespaces(self._snapshot, namespaces)
        found = [
            f"{each.severity} {each.check} {each.place}: {each.message}"
            for each in lint(self._snapshot, complete=False)
            if each.severity.reaches(Severity.WARNING) and (not namespaces or each.place.namespace in namespaces)
        ]
        return Remarks(tuple(found), tuple(f"{each.full_name} {each.why}" for each in self._snapshot.unknown))

    @contextmanager
    def applied(self, path: str) -> Iterator[None]:
        before, self._applied = (self._snapshot, self._applied), path
        try:
            self._snapshot = replaced(self._snapshot, path)
            yield
        finally:
            self._snapshot, self._applied = before

    def _answer(self, check: Check) -> Answer:
        question = resolve(with_outside(with_hosts(self._snapshot, [check])), check)
        matrix, doubts = doubts_of(question.snapshot, question.cells, [check.port])
        doubts = {**doubts, **question.doubts}
        notes = {cell: matrix.notes(*cell) for cell in question.cells}
        notes |= self._known_by_network(question, [cell for cell in notes if Note.ADDRESS_UNKNOWN in notes[cell]])
        known = [self._known(question.snapshot, cell, notes[cell], doubts.get(cell, "")) for cell in question.cells]
        return merge(check, self.made_on, known, reproduce=self._reproduce(check))

    def _known_by_network(self, question: Question, cells: Sequence[Cell]) -> Mapping[Cell, tuple[Note, ...]]:
        """The notes of those of ``cells`` between pods, once it is known where pods have their addresses."""
        pods = {end.name for end in question.snapshot.endpoints if end.kind is EndpointKind.POD}
        between = [cell for cell in cells if {cell.source, cell.destination} <= pods]
        if not (between and self._pod_networks):
            return {}
        matrix, _ = doubts_of(without_blocks_apart_from(question.snapshot, self._pod_networks), between)
        return {cell: matrix.notes(*cell) for cell in between}

    @staticmethod
    def _known(snapshot: Snapshot, cell: Cell, notes: Sequence[Note], doubt: str) -> Known:
        decision = decide(snapshot, cell)
        why = doubt or next((UNCERTAIN[note] for note in notes if note in UNCERTAIN), "")
        outcome = Outcome.REACHED if decision.verdict is Verdict.ALLOWED else Outcome.DENIED
        if why:
            return Known(cell, Outcome.INCONCLUSIVE, why)
        return Known(cell, outcome, "", decision.verdict, decision.because())

    def _reproduce(self, check: Check) -> str:
        words = ["audit", "explain", *(word for path in self._paths for word in ("-f", path))]
        words += ["-R"] if self._recursive else []
        named = {
            name: each for name, each in check.hosts.items() if f"host/{name}" in (check.source, check.destination)
        }
        command = shlex.join([*words, *host_words(named), check.source, check.destination, str(check.port)])
        return with_applied(command, self._applied)
