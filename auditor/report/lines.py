"""Single lines for people, on stdout and stderr: results where no table is, warnings, errors, progress.

Whatever is written outside a console (``auditor.report.console``) or a document (``auditor.report.documents``) is
written by these functions: texts from outside are in most lines, and here they are made printable. A test sees to it
that nothing else writes to these streams.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO

from auditor.model.printable import printable

OURS = "auditor"
"""The name above those of all our loggers."""


def what_json_has(items: Sized, shown: int) -> Iterator[str]:
    """How many of ``items`` a report for people leaves out after the first ``shown``, and where they are; nothing if
    none.
    """
    if len(items) > shown:
        yield f"and {len(items) - shown:,} more; -o json has each"


def headed(lines: Iterable[str]) -> tuple[str, list[str]]:
    """The heading that the first of ``lines`` is, without its colon, and the others; empty without any."""
    title, *rest = list(lines) or [""]
    return title.rstrip(":"), rest


def say(line: str = "") -> None:
    """Print ``line`` on stdout. Raises OSError when it can't be written."""
    write_line(line, sys.stdout)


def say_aside(line: str) -> None:
    """Print ``line`` on stderr, beside the result. Raises OSError when it can't be written."""
    write_line(line, sys.stderr)


def say_traceback(error: BaseException) -> None:
    """Print the traceback of ``error`` on stderr."""
    for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
        say_aside(line)


def write_line(line: str, stream: TextIO) -> None:
    """Print ``line`` on ``stream``, in the characters that its encoding has."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(printable(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def say_what_libraries_say() -> None:
    """From now on, warnings, log records and errors that nobody catches come as lines of ours, too."""
    warnings.showwarning = _show_warning
    sys.unraisablehook = _show_unraisable
    root = logging.getLogger()
    if not any(isinstance(handler, _Lines) for handler in root.handlers):
        root.addHandler(_Lines())
    say_what_we_do(debug=False)


def say_what_we_do(*, debug: bool) -> None:
    """From now on our own log comes as lines or, without ``debug``, not at all. Libraries' logs begin with warnings."""
    logging.getLogger(OURS).setLevel(logging.DEBUG if debug else logging.WARNING)


class _Lines(logging.Handler):
    """Log records as lines on stderr, with the traceback of an error that comes with one."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.partition(".")[0] == OURS
        if record.levelno < logging.WARNING and not ours:
            return
        try:
            of = "" if ours else f"{record.name}: "
            say_aside(f"{record.levelname.lower()}: {of}{record.getMessage()}")
            if record.exc_info and record.exc_info[1] is not None:
                say_traceback(record.exc_info[1])
        except Exception:  # noqa: BLE001, S110 - a library's log, which nobody can be told about, ends no audit
            pass


def _show_warning(  # noqa: PLR0913, PLR0917 - Python's interface
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file, line
    say_aside(f"{filename}:{lineno}: {category.__name__}: {message}")


def _show_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    say_aside(f"{unraisable.err_msg or 'error ignored'}: {unraisable.object!r}")
    if unraisable.exc_value is not None:
        say_traceback(unraisable.exc_value)
