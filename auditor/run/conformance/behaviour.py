"""What an enforcer behaves like, in one sentence, in the words of the list of dialects."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.sentences import PLACES
from auditor.model.diagnosis import Diagnosis, Fault, Hypothesis, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.report import CellResult
from auditor.model.verdict import Observed, Result, Verdict
from auditor.model.words import pluralize

MOST_ALTERNATIVES = 2


def behaviour(results: Sequence[CellResult], diagnosis: Diagnosis | None) -> str:
    """The sentence: ``this CNI behaves like: spec except ignores-end-port``; with what was not seen of it, as it may
    lie there.
    """
    telling = [result for result in results if is_telling(result)]
    if not telling and diagnosis is None:
        return "nothing was observed of this CNI"
    unseen = sum(result.result is Result.INCONCLUSIVE for result in results)
    doubt = (
        f"; {unseen:,} of {pluralize(unseen + len(telling), 'connection')} {'is' if unseen == 1 else 'are'} "
        "inconclusive"
        if unseen
        else ""
    )
    return f"this CNI behaves like: {_likeness(telling, diagnosis)}{doubt}"


def _likeness(telling: Sequence[CellResult], diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        if all(result.expected is Verdict.ALLOWED for result in telling):
            return f"{Dialect.SPEC} (or {Dialect.ENFORCES_NOTHING}: no connection that should be denied was observed)"
        seen = {result.observation.verdict for result in telling}
        rejects = Observed.REFUSED in seen and Observed.DROPPED not in seen
        return f"{Dialect.REJECTS} (spec; what it denies, it answers)" if rejects else str(Dialect.SPEC)
    if not diagnosis.faults:
        return f"nothing that is known ({diagnosis.title})"
    text = _in_dialects(diagnosis.faults)
    if diagnosis.alternatives:
        others = [_in_dialects(alternative.faults) for alternative in diagnosis.alternatives]
        more = len(others) - MOST_ALTERNATIVES
        text += (
            f" (or {', or '.join(others[:MOST_ALTERNATIVES])}{f', or {more} more' if more > 0 else ''}: no connection "
            "tells them apart)"
        )
    if diagnosis.unexplained:
        text += f"; that leaves {pluralize(len(diagnosis.unexplained), 'difference')} unexplained"
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
