"""What of a directory is read, and why nothing of it is: the same on disk and in a git revision."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from auditor.model.errors import UsageError

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""What is read of a directory, as ``kubectl apply -f DIRECTORY`` does."""


def is_excluded(below: str, exclude: Sequence[str]) -> bool:
    """Whether a glob of ``exclude`` matches what is ``below`` the directory that is read: that path, or the name."""
    name = below.rpartition("/")[2]
    return any(fnmatchcase(below, glob.rstrip("/")) or fnmatchcase(name, glob) for glob in exclude)


def nothing_to_read(place: str, *, recursive: bool, exclude: Sequence[str]) -> UsageError:
    """That the directory at ``place`` has no file to read, and what may be the reason."""
    below = "" if recursive else " (--recursive reads the directories below it, too)"
    but = " that --exclude leaves" if exclude else ""
    return UsageError(f"{place}: no {', '.join(sorted(SUFFIXES))} file in this directory{but}{below}")


def too_large(name: str, largest: int) -> UsageError:
    """That the file called ``name`` has more than ``largest`` bytes."""
    return UsageError(f"{name}: more than {largest >> 20} MiB: give the objects of fewer namespaces at a time")
