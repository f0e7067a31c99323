"""``audit history``: what came of the last runs."""

from __future__ import annotations

import click

from auditor.cli.help import SectionedCommand
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.model.errors import UsageError
from auditor.report.registry import CONFORMANCE_HISTORY, HISTORY


@click.command(
    "history",
    cls=SectionedCommand,
    examples=(
        "audit history /var/lib/audit",
        "audit history /var/lib/audit --last 90",
        "audit history /var/lib/audit --conformance",
    ),
)
@click.argument("directory")
@click.option(
    "--last", type=click.IntRange(1, 1000), default=14, show_default=True, metavar="N", help="How many runs to show."
)
@click.option("--conformance", is_flag=True, help="Show the runs of 'audit conformance --history' instead.")
@output_options(HISTORY)
def command(
    *, directory: str, last: int, conformance: bool, output: tuple[Output, ...], output_file: str | None
) -> int:
    """Show the results of the last runs whose records are in DIRECTORY, or in configmap://NAMESPACE/NAME ('audit run
    --history'): what was new, gone or incomparable each time, how long each finding has stood, and which come and go.
    """
    from auditor.cli.nightly import read_history
    from auditor.history.trend import LOOKED_BACK, trend_of

    if conformance:
        return _conformance(directory, last, read_outputs(output, output_file, CONFORMANCE_HISTORY))
    outputs = read_outputs(output, output_file, HISTORY)
    outputs.check()
    nights = read_history(directory, last + LOOKED_BACK)
    if not nights:
        raise UsageError(f"{directory}: no record of a run is there: 'audit run --history {directory}' keeps them")
    outputs.deliver(HISTORY, trend_of(nights, last))
    return 0


def _conformance(directory: str, last: int, outputs: Outputs) -> int:
    from auditor.cli.nightly import read_records
    from auditor.history.conformance import conformance_trend_of
    from auditor.history.store import CONFORMANCE
    from auditor.history.trend import LOOKED_BACK

    outputs.check()
    records = read_records(directory, last + LOOKED_BACK, None, CONFORMANCE)
    if not records:
        raise UsageError(
            f"{directory}: no record of conformance is there: 'audit conformance --history {directory}' keeps them"
        )
    outputs.deliver(CONFORMANCE_HISTORY, conformance_trend_of(records, last))
    return 0
