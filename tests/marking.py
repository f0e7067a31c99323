"""Marks for single parameters of a test."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def slow(*values: object) -> object:
    """A parameter set with which a test is one of ``make test-slow``'s: others like it are tried by ``make test``."""
    return pytest.param(*values, marks=pytest.mark.slow)


def some(values: Iterable[object], every: int = 2) -> list[object]:
    """Of ``values``, each the arguments of a test or its only one, the first of ``every`` so many as they are, the
    others slow.
    """
    return [
        value if number % every == 0 else slow(*value) if isinstance(value, tuple) else slow(value)
        for number, value in enumerate(values)
    ]
