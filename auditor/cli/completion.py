"""``audit completion``: what makes a shell complete commands and options."""

from __future__ import annotations

import click

from auditor.cli.exit_codes import AS_EXPECTED
from auditor.cli.help import SectionedCommand

VARIABLE = "_AUDIT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=SectionedCommand,
    examples=(
        'eval "$(audit completion bash)"',
        "audit completion fish > ~/.config/fish/completions/audit.fish",
    ),
)
@click.option(
    "--name",
    default="audit",
    show_default=True,
    type=click.Choice(["audit", "netpol-audit"]),
    help="The name by which the program is called.",
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(*, shell: str, name: str) -> int:
    """Print what makes SHELL complete commands, options and their values."""
    from click.shell_completion import get_completion_class

    from auditor.report.lines import say

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has the shells that we offer
    program = click.get_current_context().find_root().command
    for line in kind(program, {}, name, VARIABLE).source().split("\n"):
        say(line)
    return AS_EXPECTED


def complete(program: click.Command, instruction: str) -> int:
    """Answer the shell that asks, by ``instruction``, for completions of ``program``. Returns the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(program, {}, program.name or "audit", VARIABLE, instruction)
