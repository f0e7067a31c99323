"""``audit baseline``: what a run found, for later runs to take as known."""

from __future__ import annotations

import click

from auditor.cli.help import SectionedCommand


@click.command(
    "baseline",
    cls=SectionedCommand,
    examples=("audit baseline report.json --output-file known.json", "audit run -A --baseline known.json"),
)
@click.argument("run")
@click.option(
    "--output-file", metavar="FILE", help="Write to this file, whole or not at all. [default: standard output]"
)
def command(*, run: str, output_file: str | None) -> int:
    """Write what the run RUN found, so that 'audit run --baseline' takes it as known.

    RUN is a JSON report ('audit run -o json'), a record of a history, or a history, of which the latest run counts.
    """
    from auditor.cli.nightly import read_run
    from auditor.cli.output import check_output, open_output
    from auditor.cli.outputs import refuse_to_replace_input
    from auditor.history.codec import encode
    from auditor.report.documents import write_json

    refuse_to_replace_input(output_file, f"--output-file {output_file}")
    check_output(output_file)
    known = encode(read_run(run)).decode()
    with open_output(output_file) as stream:
        write_json([known + "\n"], stream)
    return 0
