"""The group of all commands, and the outermost frame of a run of the command line.

Commands are imported when they are called: names and short help stand here, so that ``audit --help`` imports none of
them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import FrameType

import click

from auditor import __version__
from auditor.cli.defaults import defaults_of
from auditor.cli.exit_codes import AS_EXPECTED, exit_code_of
from auditor.cli.options_file import with_options_of_files
from auditor.loop.collections import brief_collections
from auditor.model.errors import UsageError
from auditor.report.lines import say_what_libraries_say, say_what_we_do

COMMANDS: Mapping[str, str] = {
    "run": "Audit a cluster: try every connection and compare it with what the policies say.",
    "expect": "Show who should reach whom, by the policies alone.",
    "explain": "Say why one connection is allowed or denied.",
    "diff": "Show which connections open or close between two sets of manifests.",
    "lint": "Find likely mistakes in network policies.",
    "intent": "Check network policies against a declared intent.",
    "test": "Run intents as tests: on manifests, the lab or a live cluster.",
    "history": "Show the last runs: the trend, and how long each finding has stood.",
    "compare": "Compare two runs: what is new, known, gone or incomparable.",
    "baseline": "Write what a run found, so that later runs take it as known.",
    "conformance": "Score an enforcer feature by feature, by running all scenarios against it.",
    "preflight": "Check whether an audit could run; creates nothing.",
    "cleanup": "Remove what earlier audits left in a live cluster.",
    "rbac": "Print the rights that an audit needs, and no others, as manifests.",
    "snapshot": "Save the relevant part of a live cluster to a file.",
    "scenarios": "List the scenarios that come with the auditor.",
    "enforcers": "List the enforcers that the lab can run, faulty ones included.",
    "completion": "Print what makes a shell complete commands and options.",
}


class LazyGroup(click.Group):
    """A group whose commands are the ``command`` of the module ``auditor.cli.NAME``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"auditor.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - a command's module without its command is our own mistake
        ctx.default_map = {cmd_name: defaults_of(cmd_name, command)}
        return _with_debug(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else "'audit --help' lists them"
            raise UsageError(f"no command is called {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's interface
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _with_debug(command: click.Command) -> click.Command:
    """``command``, which takes --debug as the group does: people write it where they are when something goes wrong."""
    if not any(parameter.name == "debug" for parameter in command.params):
        told = "Log each request, retry, Lease renewal and agent to stderr; show tracebacks of errors."
        option = click.Option(
            ["--debug"], is_flag=True, is_eager=True, expose_value=False, callback=_read_debug, help=told
        )
        command.params.append(option)
    return command


def _read_debug(context: click.Context, _option: click.Parameter, debug: bool) -> None:
    if debug:
        context.find_root().params["debug"] = True
        say_what_we_do(debug=True)


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": "AUDIT",
    },
)
@click.option("--debug", is_flag=True, envvar="AUDIT_DEBUG", help="Show tracebacks of errors.")
@click.version_option(__version__, prog_name="audit")
def audit(*, debug: bool) -> None:
    """Find out who can reach whom in a cluster, and whether its NetworkPolicies say so.

    Exit codes: 0 all as expected; 1 findings; 2 wrong usage or input; 3 inconclusive, or coverage too low; 4 cluster,
    permission or environment error; 130 interrupted, after cleaning up. @FILE stands for the options in that file.
    """
    if debug:
        say_what_we_do(debug=True)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with ``arguments`` (those of the process by default). Returns the exit code;
    raises nothing.
    """
    context: click.Context | None = None
    try:
        _fill_closed_streams()
        if (instruction := os.environ.get("_AUDIT_COMPLETE")) and arguments is None:
            return _complete(instruction)
        say_what_libraries_say()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        given = with_options_of_files(sys.argv[1:] if arguments is None else arguments)
        with brief_collections(), audit.make_context("audit", given) as context:
            result = audit.invoke(context)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the outermost frame
        if isinstance(error, KeyboardInterrupt):
            _end_in_peace()
        return exit_code_of(error, debug=context is not None and bool(context.params.get("debug")))
    finally:
        _discard_unwritten_output()
    return result if isinstance(result, int) else AS_EXPECTED


def _complete(instruction: str) -> int:
    from auditor.cli.completion import complete

    return complete(audit, instruction)


def _fill_closed_streams() -> None:
    """Put something in the place of standard streams that are closed, else the next sockets would take their
    descriptors.

    Writing to the one for standard output fails, as it does for any closed descriptor: a report that reaches nobody is
    no success.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 1:
        pass
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - a descriptor, open as long as we are
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 - see above
    if sys.stderr is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 - see above


def _interrupt(_signal_number: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end us as Ctrl-C does: by way of every clean-up."""
    raise KeyboardInterrupt


def _end_in_peace() -> None:
    """We are ending already: a second Ctrl-C changes nothing, not even while the interpreter ends, when it would decide
    our exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _discard_unwritten_output() -> None:
    """Keep the interpreter from failing once more, at its exit and with a code of its own, on output that can't be
    written.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
