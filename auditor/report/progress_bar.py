"""Progress on a terminal: one line with phase, attempts done, rate and time left, redrawn in place."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from auditor.model.printable import printable
from auditor.report.console import print_above

BAR_WIDTH = 24


class RateColumn(ProgressColumn):
    """Attempts per second, once there are some."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


class BarProgress:
    """Implements ``auditor.report.progress.Progress`` for the time of a ``with`` block."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            SpinnerColumn("line"),
            TextColumn("{task.description}"),
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        print_above(self._bar.console, Text(text, style="dim"))

    def phase(self, name: str, attempts: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(escape(printable(name)), total=attempts or None)

    def advance(self, attempts: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, attempts)
