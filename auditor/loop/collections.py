"""Garbage collections that stop everything for milliseconds, not for tenths of a second.

While Python looks for unreachable cycles, no thread runs: no Lease is renewed and no signal heard. How long that takes
grows with the number of objects looked at. A full collection looks at all there are, which after reading a large
cluster are hundreds of thousands that stay until the end (docs/adr/0017).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 5_000
"""How many young objects there are when they are collected."""
YOUNG_BEFORE_MIDDLE = 5
"""How many of these come before one of all that are not old yet."""
NEVER = 1_000_000_000


@contextmanager
def brief_collections() -> Iterator[None]:
    """While entered, old objects are looked at no more. For a process of our own: it concerns everything in it."""
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, YOUNG_BEFORE_MIDDLE, NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
