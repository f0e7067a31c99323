"""The command line that tries one cell again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from auditor.model.verdict import Cell


def again(cell: Cell, scenario: str, enforcers: Iterable[str]) -> str:
    """A shell command that probes ``cell``, in every address family that its ends have in common, on a lab
    like the one it was found on.
    """
    words = ["audit", "run", "--lab", scenario]
    for enforcer in enforcers:
        words += ["--enforcer", enforcer]
    words += ["--from", cell.source, "--to", cell.destination, "--ports", f"{cell.protocol}/{cell.port}"]
    return shlex.join(words)
