"""One answer of what is known about several connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.checks import Answer, Check, Outcome
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize

MOST_REASONS = 2
MOST_LINES = 4


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one connection: its outcome, ``why`` it is inconclusive, what the policies demand and because of
    what, and what was seen, empty where nothing was sent.
    """

    cell: Cell
    outcome: Outcome
    why: str = ""
    expected: Verdict | None = None
    because: tuple[str, ...] = ()
    observed: str = ""


def merge(check: Check, made_on: str, known: Sequence[Known], **rest: object) -> Answer:
    """The answer to ``check``: what all connections have in common, and inconclusive where that is nothing."""
    outcome, why = _in_common(known)
    demanded = {each.expected for each in known}
    expected = demanded.pop() if len(demanded) == 1 else None
    because = tuple(dict.fromkeys(line for each in known for line in each.because))
    observed = _observed(known)
    details: Mapping[str, object] = {"because": shortened(because), "observed": shortened(observed), "why": why, **rest}
    return Answer(check, outcome, made_on, expected, **details)  # type: ignore[arg-type]


def _in_common(known: Sequence[Known]) -> tuple[Outcome, str]:
    unknown = [each for each in known if each.outcome is Outcome.INCONCLUSIVE]
    if unknown:
        reasons = list(dict.fromkeys(each.why for each in unknown))
        of = f"{len(unknown)} of {pluralize(len(known), 'connection')}: " if len(known) > 1 else ""
        more = f"; and {pluralize(len(reasons) - MOST_REASONS, 'more reason')}" if len(reasons) > MOST_REASONS else ""
        return Outcome.INCONCLUSIVE, f"{of}{'; '.join(reasons[:MOST_REASONS])}{more}"
    outcomes = {each.outcome for each in known}
    if len(outcomes) == 1:
        return outcomes.pop(), ""
    reached, denied = (
        [each for each in known if each.outcome is outcome] for outcome in (Outcome.REACHED, Outcome.DENIED)
    )
    examples = f"{reached[0].cell} is reached, {denied[0].cell} is denied"
    total = pluralize(len(known), "connection")
    return Outcome.INCONCLUSIVE, f"of {total}, {len(reached)} reached and {len(denied)} denied: {examples}"


def _observed(known: Sequence[Known]) -> tuple[str, ...]:
    by_observation: dict[str, list[Known]] = {}
    for each in known:
        if each.observed:
            by_observation.setdefault(each.observed, []).append(each)
    return tuple(
        f"{observed}: {having[0].cell}" + (f" and {len(having) - 1} more" if len(having) > 1 else "")
        for observed, having in by_observation.items()
    )


def with_applied(command: str, path: str) -> str:
    """``command``, which says the same only as long as the policies in ``path`` (empty: none) are applied."""
    return f"{command}  # with {path} applied" if path else command


def shortened(lines: Iterable[str]) -> tuple[str, ...]:
    """The first of ``lines``, and how many more there are."""
    given = tuple(lines)
    left = len(given) - MOST_LINES
    return given if left <= 1 else (*given[:MOST_LINES], f"and {left} more")
