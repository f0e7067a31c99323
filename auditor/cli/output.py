"""Where a result goes: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from auditor.model.errors import ClusterError, UsageError
from auditor.report.lines import say_aside

if TYPE_CHECKING:
    from auditor.model.report import Report

STANDARD_OUTPUT = (None, "-")
WORLD_READABLE = 0o666
"""Before the umask, as for any file that a program creates."""


def now() -> str:
    """The time, as reports tell it: ``2026-11-21T18:24:06Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_output(path: str | None) -> None:
    """Find out before a long run whether ``path`` can be written. Raises UsageError or ClusterError when it can't."""
    if path in STANDARD_OUTPUT or _is_special(Path(path)):
        return
    with _said_plainly(path):
        target = _target(path)
    if target.is_dir():
        raise UsageError(f"--output-file {path}: is a directory")
    if not target.parent.is_dir():
        raise UsageError(f"--output-file {path}: there is no directory {target.parent}")
    with _said_plainly(path):
        temporary, descriptor = _create_beside(target)
        os.close(descriptor)
        temporary.unlink()


@contextmanager
def open_output(path: str | None) -> Iterator[TextIO]:
    """A text stream to standard output or, when ``path`` is given, to a file that takes its place once the block has ended well.

    An existing file stays as it was until then, and for good if the block fails. Raises ClusterError when the file can't be written.
    """
    if path in STANDARD_OUTPUT:
        yield sys.stdout
        sys.stdout.flush()
    elif _is_special(Path(path)):
        with _said_plainly(path), open(path, "w", encoding="utf-8") as stream:  # noqa: PTH123 - devices and pipes are no Path's business
            yield stream
    else:
        with _said_plainly(path), _replacing(_target(path)) as stream:
            yield stream


def deliver(report: Report, output: str, path: str | None, *, quiet: bool) -> None:
    """Write ``report`` in the format ``output`` to where it is to go, and say on stderr what it comes to where that is a file."""
    from auditor.report import renderer
    from auditor.report.conclusion import conclude
    from auditor.report.headline import headline

    with open_output(path) as stream:
        renderer(output)(report, stream)
    tell(conclude(report), headline(report), path, quiet=quiet)


def tell(conclusion: str, headline: str, path: str | None, *, quiet: bool) -> None:
    """Say on stderr what a report comes to that went to the file at ``path``, where nobody sees it go by."""
    if path in STANDARD_OUTPUT or quiet:
        return
    with suppress(OSError):  # the report is where it should be: nobody who listens is no reason to fail
        say_aside(f"{conclusion.upper()}  {headline} ({path})")


@contextmanager
def _replacing(target: Path) -> Iterator[TextIO]:
    temporary, descriptor = _create_beside(target)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new, empty file in the directory of ``target``, open for writing: renaming it there is atomic."""
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, WORLD_READABLE)


def _target(path: str) -> Path:
    """The file that ``path`` stands for: a symbolic link stays one."""
    return Path(os.path.realpath(path))


def _is_special(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or the like, which is written to and never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def _said_plainly(path: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ClusterError(f"--output-file {path}: {(error.strerror or str(error)).lower()}; nothing was written there") from error
