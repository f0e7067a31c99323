"""How far a running audit is, shown on stderr: a live bar on a terminal, a line for each phase elsewhere, nothing when
quiet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Protocol, TextIO

from auditor.probing.options import NoProgress, ProbingProgress
from auditor.report.console import open_console
from auditor.report.lines import write_line

FIRST_PAUSE = 10.0
"""Seconds after which a phase that still lasts is reported again."""


class Progress(ProbingProgress, Protocol):
    """What a run reports beside its phases."""

    def note(self, text: str) -> None:
        """Tell one thing worth knowing, such as how many endpoints and classes there are."""


class Silence(NoProgress):
    """Tells nobody."""

    def note(self, text: str) -> None:
        """Nothing."""


DUMB = ("dumb", "unknown")
"""Values of TERM for terminals on which nothing can be redrawn."""


class LineProgress:
    """A line when a phase begins, unless the one before is called the same, and then after ``FIRST_PAUSE`` and each
    time after twice as long: what lasts for hours leaves a log that can be read.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._name: str | None = None
        self._total = self._done = 0
        self._begun = self._told = clock()
        self._pause = FIRST_PAUSE

    def note(self, text: str) -> None:
        self._tell(text)

    def phase(self, name: str, attempts: int) -> None:
        again = name == self._name
        self._name, self._total, self._done = name, attempts, 0
        self._begun = self._clock()
        if again:
            return
        self._pause = FIRST_PAUSE
        self._tell(f"{name}: {attempts:,} attempts" if attempts else name)

    def advance(self, attempts: int) -> None:
        self._done += attempts
        now = self._clock()
        if now - self._told < self._pause:
            return
        self._pause *= 2
        rate = self._done / max(now - self._begun, 1e-9)
        of = f" of {self._total:,}, {100 * self._done // self._total} %" if self._total else ""
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate and self._done < self._total else ""
        speed = f", {rate:,.0f}/s" if rate >= 1 else ""
        self._tell(f"{self._name}: {self._done:,}{of}{speed}{left}")

    def _tell(self, text: str) -> None:
        self._told = self._clock()
        with suppress(OSError):  # nobody listens (any more): no reason to end an audit
            write_line(text, self._stream)


@contextmanager
def open_progress(stream: TextIO, *, quiet: bool = False) -> Iterator[Progress]:
    """Progress on ``stream`` for the time of the block. A bar is cleared away at the end: what remains is
    the report.
    """
    if quiet:
        yield Silence()
    elif not stream.isatty() or os.environ.get("TERM", "").lower() in DUMB:
        yield LineProgress(stream)
    else:
        with _open_bar(stream) as bar:
            yield bar


@contextmanager
def _open_bar(stream: TextIO) -> Iterator[Progress]:
    from auditor.report.progress_bar import BarProgress  # noqa: PLC0415 - rich's live display, which no pipe needs

    with BarProgress(open_console(stream)) as bar:
        yield bar
