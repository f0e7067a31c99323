"""Where checks can be made: one small interface, three ways behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from auditor.model.checks import Answer, Check
from auditor.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is wrong, and what is not known, each in words of one or more lines."""

    findings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Backend(Protocol):
    """Answers checks. Every method raises UsageError for what is not there, and ClusterError where checks can't be
    made; that is never an answer.
    """

    @property
    def made_on(self) -> str:
        """Where, in words: ``on the lab``."""

    def answers(self, checks: Sequence[Check]) -> Sequence[Answer]:
        """The answer to each of ``checks``, all of which are made together."""

    def snapshot(self) -> Snapshot:
        """The cluster, with the policies that are in force."""

    def everybody(self) -> Snapshot:
        """The same, with whoever of outside could be a source of checks."""

    def remarks(self, namespaces: Sequence[str]) -> Remarks:
        """What there is to find about ``namespaces`` (none: all)."""

    def applied(self, path: str) -> AbstractContextManager[None]:
        """Have the policies in ``path`` in force beside the others, or in the place of those with the same names."""
