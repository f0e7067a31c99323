"""What an enforcer behaves like, in one sentence, in the words of the list of dialects."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.diagnosis.sentences import PLACES
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.report import CellResult
from auditor.model.verdict import Observed
from auditor.model.words import counted

MOST_ALTERNATIVES = 2


def behaviour(results: Sequence[CellResult], diagnosis: Diagnosis | None) -> str:
    """The sentence: ``this CNI behaves like: spec except ignores-end-port``."""
    seen = {result.observation.verdict for result in results}
    if not seen - {Observed.SKIPPED, Observed.INCONCLUSIVE}:
        return "nothing was observed of this CNI"
    return f"this CNI behaves like: {_likeness(seen, diagnosis)}"


def _likeness(seen: set[Observed], diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        rejects = Observed.REFUSED in seen and Observed.DROPPED not in seen
        return f"{Dialect.REJECTS} (spec; what it denies, it answers)" if rejects else str(Dialect.SPEC)
    if not diagnosis.faults:
        return f"nothing that is known ({diagnosis.title})"
    text = _in_dialects(diagnosis.faults)
    if diagnosis.alternatives:
        others = [_in_dialects(alternative.faults) for alternative in diagnosis.alternatives]
        more = len(others) - MOST_ALTERNATIVES
        text += f" (or {', or '.join(others[:MOST_ALTERNATIVES])}{f', or {more} more' if more > 0 else ''}: no cell tells them apart)"
    if diagnosis.unexplained:
        text += f"; {counted(len(diagnosis.unexplained), 'cell')} that differ are not explained by that"
    return text


def _in_dialects(faults: Hypothesis) -> str:
    if faults == (Fault(Dialect.ENFORCES_NOTHING),):
        return str(Dialect.ENFORCES_NOTHING)
    kind = "except" if any(fault.is_fault for fault in faults) else "with"
    return f"{Dialect.SPEC} {kind} {' and '.join(map(_in_dialect, faults))}"


def _in_dialect(fault: Fault) -> str:
    if fault.scope.kind is ScopeKind.CLUSTER:
        return str(fault.dialect)
    return str(fault.dialect) + PLACES[fault.scope.kind].format(fault.scope.name)
