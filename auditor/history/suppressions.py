"""Findings of runs that somebody has looked at and accepted: with an owner, a reason and a day on which that ends.

``schema: audit.finding-suppressions/v1`` with a list ``suppressions`` of ``kind``, ``source``, ``destination``,
``port``, ``owner``, ``reason`` and ``expires``, all of them required. A finding is accepted when each of its
connections is; it is reported all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from auditor.model.beside import KINDS_BESIDE
from auditor.model.night import Connection
from auditor.model.standing import Age
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source
from auditor.parsing.suppressions import read_suppression_file

SCHEMA = "audit.finding-suppressions/v1"
REQUIRED = ("kind", "source", "destination", "port", "owner", "reason", "expires")
KINDS = ("leak", "outage", "unstable", "misdelivered", *KINDS_BESIDE)
PORT = re.compile(r"\*|(TCP|UDP|SCTP)/(\*|[1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FindingSuppression:
    """Accepted connections. ``source`` and ``destination`` are globs on ``NAMESPACE/WORKLOAD``, ``port`` is
    ``TCP/5432``, ``TCP/*`` or ``*``; ``expires`` is the last day on which it holds, as ``YYYY-MM-DD``.
    """

    kind: str
    source: str
    destination: str
    port: str
    owner: str
    reason: str
    expires: str
    file: str = ""
    line: int = 0

    def covers(self, kind: str, connection: Connection) -> bool:
        """Whether it speaks of ``connection`` in a finding of ``kind``, expired or not."""
        port = f"{connection.port.protocol}/{connection.port.number}"
        return (
            kind == self.kind
            and fnmatchcase(connection.source, self.source)
            and fnmatchcase(connection.destination, self.destination)
            and fnmatchcase(port, self.port)
        )

    def __str__(self) -> str:
        what = f"{self.kind} {self.source} -> {self.destination} {self.port}"
        return f"{self.file}:{self.line}: {what} ({self.owner}, until {self.expires}: {self.reason})"


class Accepted:
    """``suppressions`` on the day ``today``, given as ``YYYY-MM-DD``, and which of them speak of anything."""

    def __init__(self, suppressions: Sequence[FindingSuppression], today: str) -> None:
        valid = [each for each in suppressions if each.expires >= today]
        self._in_order = (*valid, *(each for each in suppressions if each.expires < today))
        self._valid = len(valid)
        self._used: dict[FindingSuppression, None] = {}
        self._of: dict[tuple[str, Connection], FindingSuppression] = {}

    def age(self, kind: str, connection: Connection) -> Age | None:
        """ACCEPTED or EXPIRED where one speaks of ``connection`` of ``kind``: one that holds comes first."""
        for number, each in enumerate(self._in_order):
            if each.covers(kind, connection):
                self._used[each] = None
                self._of[kind, connection] = each
                return Age.ACCEPTED if number < self._valid else Age.EXPIRED
        return None

    def of(self, kind: str, connections: Iterable[Connection]) -> tuple[str, ...]:
        """The suppressions that speak of any of ``connections``, in words."""
        found = (self._of.get((kind, connection)) for connection in connections)
        return tuple(dict.fromkeys(str(each) for each in found if each is not None))

    def marks(self, workload: str) -> tuple[bool, ...]:
        """What any suppression says of ``workload``: workloads with the same marks are accepted alike."""
        ends = [glob for each in self._in_order for glob in (each.source, each.destination)]
        return tuple(fnmatchcase(workload, glob) for glob in ends)

    @property
    def expired(self) -> tuple[str, ...]:
        """Those that speak of a finding and hold no more."""
        return tuple(str(each) for each in self._in_order[self._valid :] if each in self._used)

    @property
    def unused(self) -> tuple[str, ...]:
        """Those that speak of no finding."""
        return tuple(str(each) for each in self._in_order if each not in self._used)


def read_finding_suppressions(source: Source) -> tuple[FindingSuppression, ...]:
    """The suppressions in ``source``. Raises InputError with every problem."""
    return read_suppression_file(source, SCHEMA, REQUIRED, _read_one)


def _read_one(fields: Fields, texts: dict[str, str]) -> FindingSuppression:
    kind, port = texts["kind"], texts["port"]
    if kind and kind not in KINDS:
        near = get_close_matches(kind, KINDS, 1)
        fields.note(
            f"no finding is of kind {kind!r}: {f'did you mean {near[0]}' if near else ', '.join(KINDS)}", "kind"
        )
    if port and not PORT.fullmatch(port):
        fields.note(f"{port!r} is not a valid port: write TCP/5432, TCP/* or '*'", "port")
    return FindingSuppression(**texts, file=fields.document.source, line=fields.line)
