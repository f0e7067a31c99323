"""The exit codes, which scripts and CI systems rely on, and the one place that turns whatever went wrong into words
and a code.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from auditor.model.errors import AuditError, InputError, UsageError, system_reason
from auditor.report.lines import say_aside, say_traceback

if TYPE_CHECKING:
    from auditor.model.report import Report
    from auditor.model.verdict import Conclusion


AS_EXPECTED: Final = 0
FINDINGS: Final = 1
WRONG_INPUT: Final = 2
INCONCLUSIVE: Final = 3
ENVIRONMENT: Final = 4
INTERRUPTED: Final = 130


def of_report(report: Report) -> int:
    """The exit code for the conclusion of ``report``."""
    from auditor.report.conclusion import conclude

    return of_conclusion(conclude(report))


def of_conclusion(conclusion: Conclusion) -> int:
    """The exit code for ``conclusion``."""
    from auditor.model.verdict import Conclusion

    return {Conclusion.PASS: AS_EXPECTED, Conclusion.FAIL: FINDINGS, Conclusion.INCONCLUSIVE: INCONCLUSIVE}[conclusion]


def exit_code_of(error: BaseException, *, debug: bool) -> int:
    """Say what ``error`` means on stderr, with its traceback if ``debug``, and return the exit code for it."""
    while isinstance(error, BaseExceptionGroup):  # of tasks that ran together: the first says what went wrong
        error = error.exceptions[0]
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else AS_EXPECTED
    with suppress(OSError):
        if debug:
            say_traceback(error)
        for line in _words(error):
            say_aside(line)
    return _code(error)


def _code(error: BaseException) -> int:
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if isinstance(error, (InputError, UsageError, click.ClickException)):
        return WRONG_INPUT
    return ENVIRONMENT


def _words(error: BaseException) -> list[str]:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            words = error.format_message().split("\n")
        case click.Abort() | KeyboardInterrupt():
            words = ["interrupted"]
        case click.ClickException():
            words = [f"error: {_one_line(error.format_message())}{_where_to_look(error)}"]
        case InputError():
            words = list(error.lines)
        case AuditError():
            words = [f"error: {line}" for line in error.lines]
        case BrokenPipeError():
            words = []
        case OSError():
            words = [f"error: {_about_file(error)}"]
        case MemoryError():
            words = ["error: there is not enough memory for this: give it more, or less to do at a time"]
        case _:
            what = f"{type(error).__name__}: {_one_line(str(error))}"
            words = [f"internal error: {what}; please report it with what 'audit --debug COMMAND ...' prints"]
    return words


def _where_to_look(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see '{context.command_path} --help')" if context is not None else ""


def _about_file(error: OSError) -> str:
    """What the system says, with the file if there is one. Without one it is our output: nothing else is left to be
    read or written.
    """
    reason = system_reason(error)
    return f"{error.filename if error.filename is not None else 'standard output'}: {reason}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
