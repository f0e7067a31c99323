"""The diagnosis, and what the audit could not have caught, as labelled lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.model.diagnosis import Diagnosis, Unexercised
from auditor.model.words import counted

MOST_ALTERNATIVES = 3
MOST_PARTS = 8


def cause_lines(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """The lines of a diagnosis, each with its label, empty where it is that of the line above."""
    yield "cause" if diagnosis.faults else "no cause", diagnosis.title
    yield "advice", diagnosis.advice
    shown = diagnosis.alternatives[:MOST_ALTERNATIVES]
    for number, alternative in enumerate(shown):
        yield "" if number else "fits as well", alternative.title
    hidden = len(diagnosis.alternatives) - len(shown)
    if hidden:
        yield "", f"and {hidden} more; -o json has each"
    if diagnosis.alternatives:
        yield _told_apart(diagnosis)


def _told_apart(diagnosis: Diagnosis) -> tuple[str, str]:
    if not diagnosis.discriminating:
        return "", "(no probe between these endpoints tells them apart)"
    more = len(diagnosis.discriminating) - 1
    return "to decide", f"probe {diagnosis.discriminating[0]}" + (f" and {counted(more, 'more cell')}" if more else "")


def coverage_lines(parts: Sequence[Unexercised]) -> Iterator[str]:
    """What could be ignored without this audit noticing; nothing where every part of every policy was exercised."""
    if not parts:
        return
    policies = counted(len({part.policy for part in parts}), "policy", "policies")
    yield f"Not exercised, so that nobody would notice if it were ignored: {counted(len(parts), 'part')} of {policies}"
    for part in parts[:MOST_PARTS]:
        yield f"{part.place}: {part.what}: {part.reason}"
    if len(parts) > MOST_PARTS:
        yield f"and {len(parts) - MOST_PARTS} more; -o json has each"
