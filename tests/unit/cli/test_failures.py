from __future__ import annotations

import errno

import click
import pytest

from auditor.cli.exit_codes import exit_code_of
from auditor.model.errors import AuditError, ClusterError, InputError, Problem, UsageError

PROBLEMS = [Problem("unknown field", "a.yaml", 3, "spec.x"), Problem("duplicate key", "b.yaml", 1)]
INTERNAL = "internal error: ValueError: first second; please report it with what 'audit --debug COMMAND ...' prints"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError(PROBLEMS), 2, ["a.yaml:3: spec.x: unknown field", "b.yaml:1: duplicate key"]),
        (UsageError("no such endpoint"), 2, ["error: no such endpoint"]),
        (click.UsageError("bad option"), 2, ["error: bad option"]),
        (click.BadParameter("bad\nvalue"), 2, ["error: Invalid value: bad value"]),
        (click.FileError("x", "gone"), 2, ["error: Could not open file 'x': gone"]),
        (ClusterError("no nft"), 4, ["error: no nft"]),
        (AuditError("other"), 4, ["error: other"]),
        (
            ExceptionGroup(
                "tasks", [ExceptionGroup("more", [ClusterError("may not"), ClusterError("may not either")])]
            ),
            4,
            ["error: may not"],
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 4, ["error: standard output: no space left on device"]),
        (PermissionError(errno.EACCES, "Permission denied", "x.yaml"), 4, ["error: x.yaml: permission denied"]),
        (BrokenPipeError(), 4, []),
        (MemoryError(), 4, ["error: there is not enough memory for this: give it more, or less to do at a time"]),
        (ValueError("first\nsecond"), 4, [INTERNAL]),
        (
            RecursionError("deep"),
            4,
            ["internal error: RecursionError: deep; please report it with what 'audit --debug COMMAND ...' prints"],
        ),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (click.Abort(), 130, ["interrupted"]),
        (click.exceptions.Exit(3), 3, []),
    ],
)
def test_each_error_has_its_code_and_words(error, code, words, capsys):
    assert exit_code_of(error, debug=False) == code
    shown = capsys.readouterr()
    assert (shown.err.splitlines(), shown.out) == (words, "")


def test_a_traceback_only_with_debug(capsys):
    exit_code_of(ValueError("first"), debug=False)
    assert capsys.readouterr().err.startswith("internal error: ValueError: first;")
    exit_code_of(ValueError("first"), debug=True)
    assert capsys.readouterr().err.startswith("ValueError: first\n")
    exit_code_of(_raised(), debug=True)
    assert "Traceback" in capsys.readouterr().err


def _raised():
    try:
        int("x")
    except ValueError as error:
        return error
