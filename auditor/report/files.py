"""Where a finding stands in the files of a checkout, as code hosts name them: relative to its root, where we run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from auditor.model.lint import Place


def in_the_checkout(places: Iterable[Place]) -> Place | None:
    """The first of ``places`` that is a line of a file below the current directory, with the file's path from there.

    None without any: what was read from a cluster, from standard input, from another revision or from what a program
    rendered is in no file, and a code host can't show what is outside of the checkout.
    """
    return next(all_in_the_checkout(places), None)


def all_in_the_checkout(places: Iterable[Place]) -> Iterator[Place]:
    """As ``in_the_checkout``, each of them."""
    here = Path.cwd().resolve()
    for place in places:
        if place.line and place.file and (inside := _inside(place.file, here)):
            yield replace(place, file=inside)


def _inside(file: str, here: Path) -> str:
    """``file`` as a path from ``here`` with slashes; empty where it is no file below it."""
    try:
        path = Path(os.path.abspath(file))  # noqa: PTH100 - links are kept: the host knows the path with them
        return path.relative_to(here).as_posix() if path.is_file() else ""
    except (OSError, ValueError):
        return ""
