"""The answers that a test has asked for, so that whoever runs the test can show them when it fails."""

from __future__ import annotations

from auditor.model.checks import Answer

_answers: list[Answer] = []
MOST_KEPT = 1000
"""A test that asks for more is shown the last ones."""


def note(answer: Answer) -> None:
    """Keep ``answer``."""
    _answers.append(answer)
    del _answers[:-MOST_KEPT]


def take() -> list[Answer]:
    """What was kept since the last call."""
    taken = _answers[:]
    _answers.clear()
    return taken
