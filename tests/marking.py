"""Marks for single parameters of a test."""

from __future__ import annotations

import pytest


def slow(*values: object) -> object:
    """A parameter set with which a test is one of ``make test-slow``'s: others like it are tried by ``make test``."""
    return pytest.param(*values, marks=pytest.mark.slow)
