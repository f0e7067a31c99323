"""Where a result goes: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from auditor.cli.replacement import check_replaceable, replacing
from auditor.model.errors import ClusterError, UsageError, system_reason
from auditor.report.lines import say_aside

STANDARD_OUTPUT = (None, "-")
DESCRIPTOR = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd/(\d+)")
MOST_LINKS = 40
"""As many symbolic links as Linux follows in one path."""


def now() -> str:
    """The time, as reports give it: ``2026-11-21T18:24:06Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_standard_output(path: str | None) -> bool:
    """Whether ``path`` stands for it: None, ``-``, or a path to our descriptor 1 such as /dev/stdout."""
    with suppress(OSError):  # what can't be looked at is reported by the code that writes there
        return path in STANDARD_OUTPUT or _descriptor(path or "") == (os.getpid(), 1)
    return False


def check_output(path: str | None, given: str = "") -> None:
    """Find out before a long run whether ``path`` can be written. Raises UsageError or ClusterError when it can't,
    which say what option was ``given``: ``--output-file PATH`` unless told otherwise.
    """
    if path in STANDARD_OUTPUT:
        return
    given = given or f"--output-file {path}"
    with _said_plainly(path, given):
        if _is_special(path, given):
            _check_special(path)
            return
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise UsageError(f"{given}: is a directory")
        if not target.parent.is_dir():
            raise UsageError(f"{given}: there is no directory {target.parent}")
        check_replaceable(target)


@contextmanager
def open_output(path: str | None, given: str = "") -> Iterator[TextIO]:
    """A text stream to standard output or, when ``path`` is given, to a file that takes its place once the block has
    ended well.

    An existing file stays as it was until then, and for good if the block fails; a symbolic link stays one. What is no
    regular file, or stands for an open descriptor such as /dev/stdout, is written to as it is. Raises ClusterError when
    the file can't be written; it says what option was ``given``, as ``check_output`` does.
    """
    if path in STANDARD_OUTPUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    given = given or f"--output-file {path}"
    with _said_plainly(path, given):
        if _is_special(path, given):
            with open(_open_special(path), "w", encoding="utf-8") as stream:
                yield stream
        else:
            with replacing(Path(os.path.realpath(path)), given) as stream:
                yield stream


def tell(conclusion: str, headline: str, path: str | None, *, quiet: bool) -> None:
    """Say on stderr what a report comes to that went to the file at ``path``, where nobody sees it go by."""
    if path in STANDARD_OUTPUT or quiet:
        return
    with suppress(OSError):  # the report is where it should be: nobody who listens is no reason to fail
        say_aside(f"{conclusion.upper()}  {headline} ({path})")


def _is_special(path: str, given: str) -> bool:
    """Whether ``path`` is a device, a pipe or the like, or an open descriptor, all of which are written to and never
    replaced.
    """
    if _descriptor(path) is not None or _is_step_summary(path):
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - what is no file is no Path's business
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISBLK(mode):
        raise UsageError(f"{given}: is a disk: name a file on it")
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _is_step_summary(path: str) -> bool:
    """Whether ``path`` is where GitHub takes a step's summary from, to which each command of the step adds its own
    (docs.github.com, "Workflow commands", GITHUB_STEP_SUMMARY).
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return bool(summary) and os.path.realpath(path) == os.path.realpath(summary) and Path(path).is_file()


def _check_special(path: str) -> None:
    process, number = _descriptor(path) or (0, 0)
    if process == os.getpid() and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "is not open for writing")


def _open_special(path: str) -> int:
    """A descriptor to write what is at ``path``, at its end where it has one: nothing that is there is overwritten.

    A descriptor of our own is used as its opener meant it: ``>>`` appends, ``>`` goes on where the last output
    ended.
    """
    process, number = _descriptor(path) or (0, 0)
    if process != os.getpid():
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC)
    _check_special(path)
    sys.stdout.flush()
    return os.dup(number)


def _descriptor(path: str) -> tuple[int, int] | None:
    """The process and the number of the open descriptor that ``path`` stands for: /dev/stdout, /dev/fd/3,
    /proc/self/fd/3 or a link there.

    Such a path leads on to what the descriptor was opened on: to a log, say, that is not meant to be replaced.
    """
    for _ in range(MOST_LINKS):
        place = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))  # noqa: PTH118, PTH119, PTH120
        if found := DESCRIPTOR.fullmatch(place):
            return int(found[1]), int(found[2])
        if not os.path.islink(place):  # noqa: PTH114
            break
        path = os.path.join(os.path.dirname(place), os.readlink(place))  # noqa: PTH115, PTH118, PTH120
    return None


@contextmanager
def _said_plainly(path: str, given: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        said = f"{given}: {system_reason(error)}"
        raise ClusterError(said if _is_device(path, given) else f"{said}; nothing was written there") from error


def _is_device(path: str, given: str) -> bool:
    with suppress(OSError):
        return _is_special(path, given)
    return False
