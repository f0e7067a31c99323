"""What somebody else keeps in the cluster though it has been deleted: nobody but he can let it go, so it is told and
not waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

OF_THE_CLUSTER = frozenset({"foregroundDeletion", "orphan"})
"""Finalizers that the garbage collector sets and takes away itself (Garbage Collection page)."""
HELD_PATIENCE = 5.0
"""Seconds that the owner of a finalizer gets to take it away again, as most do."""


def foreign_finalizers(finalizers: Iterable[str]) -> str:
    """Those that somebody has put there, in words, empty for none: we put none anywhere."""
    return ", ".join(sorted(set(finalizers) - OF_THE_CLUSTER))


def kept(what: object, finalizers: str) -> str:
    """That ``what`` is kept by ``finalizers``, as a line for people."""
    return f"{what} is deleted, and kept by the finalizer {finalizers}, which is not ours: its owner has to remove it"
