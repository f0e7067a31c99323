"""``audit compare``: one run held against another."""

from __future__ import annotations

import click

from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, output_options, read_outputs
from auditor.model.standing import FailOn
from auditor.report.registry import COMPARE


@click.command(
    "compare",
    cls=SectionedCommand,
    examples=("audit compare monday.json tuesday.json", "audit compare /var/lib/audit tuesday.json --fail-on any"),
)
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in FailOn]),
    default=FailOn.NEW.value,
    show_default=True,
    help="Which findings of NEW make exit code 1: those that are not known, any, or leaks.",
)
@click.option("--suppressions", metavar="FILE", help="Findings that are accepted, each with owner, reason and expiry.")
@output_options(COMPARE)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    old: str,
    new: str,
    fail_on: str,
    suppressions: str | None,
    output: tuple[Output, ...],
    output_file: str | None,
) -> int:
    """Show what is new, known, gone or incomparable in the run NEW, compared with the run OLD.

    Each is a JSON report ('audit run -o json'), a record of a history, or a history, of which the latest run counts.
    What wasn't looked at in both is never new or gone. Exit codes: 0 no findings that fail; 1 findings; 3 NEW is
    inconclusive.
    """
    from auditor.cli.exit_codes import of_conclusion
    from auditor.cli.nightly import name_of, read_accepted, read_run
    from auditor.history.comparing import compare
    from auditor.model.standing import ComparedRuns

    outputs = read_outputs(output, output_file, COMPARE)
    outputs.check()
    accepted = read_accepted(suppressions)
    earlier, later = read_run(old), read_run(new)
    comparison = compare(later, (earlier,), f"{old}{name_of(earlier)}", FailOn(fail_on), accepted)
    runs = ComparedRuns(earlier, later, comparison)
    outputs.deliver(COMPARE, runs)
    return of_conclusion(runs.conclusion)
