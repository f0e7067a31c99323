"""``@FILE`` in the place of an option: the options that are in a file.

A CronJob's options can then be changed without the CronJob, and those that are secret (the address of a webhook) come
from a Secret, and are in no list of processes.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from auditor.model.errors import UsageError, system_reason


def with_options_of_files(arguments: Sequence[str]) -> list[str]:
    """``arguments`` with what is in the file in the place of each ``@FILE``, up to a ``--``.

    A file has words as a shell reads them, with quotes and with comments after ``#``; nothing is expanded, and an
    ``@FILE`` in it stands for nothing. Raises UsageError for a file that can't be read so.
    """
    found: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[number:]]
        found += _words(argument) if argument.startswith("@") and len(argument) > 1 else [argument]
    return found


def _words(argument: str) -> list[str]:
    try:
        text = Path(argument[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{argument}: {system_reason(error)}: name a file with options") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{argument}: is not text: name a file with options") from error
    return [word for line in _lines(argument, text) for word in line]


def _lines(argument: str, text: str) -> Iterator[list[str]]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            said = f"{argument}:{number}: {str(error).lower()}"
            raise UsageError(f"{said}: end in the same line what begins there") from error
        if any(word.startswith("@") for word in words):
            raise UsageError(f"{argument}:{number}: a file with options can't name another one: write its options here")
        yield words
