"""The project's own errors.

They exist so that one place, the command line, can turn any failure into one clear line and the right exit code,
whatever library raised the original (which stays chained as ``__cause__``).
"""

from __future__ import annotations

from dataclasses import dataclass


class AuditError(Exception):
    """Base of every error that a user is meant to read. Each of its ``lines`` says what, where, what to do; mostly
    there is one.

    What looks like a line's end inside of one is text from outside, and shown as such.
    """

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))


def system_reason(error: OSError) -> str:
    """Why the system refused, as it stands inside a line: ``no such file or directory``."""
    return (error.strerror or str(error)).lower()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: what is wrong and where it stands.

    ``line`` counts from 1; 0 means that no line is known. ``path`` is the field's place inside its document in the
    notation of kubectl, such as ``spec.ingress[0].from[1].ipBlock.cidr``; empty for the document as a whole.
    """

    message: str
    file: str
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class InputError(AuditError):
    """Input that can't be read as what it claims to be. Carries every problem found, in file and line order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(*map(str, problems))


class UsageError(AuditError):
    """A request that makes no sense for this input: an unknown endpoint, a selector that matches nothing."""


class ClusterError(AuditError):
    """The cluster, the lab or the machine under them can't do what was asked."""


class LimitError(AuditError):
    """More would be done to the cluster than the user has allowed."""
