"""``audit preflight``: what ``audit run`` would create in a live cluster and what would stop it, without creating
anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.beside import beside_options, refuse_in_place
from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, ENVIRONMENT
from auditor.cli.help import SectionedCommand
from auditor.cli.live import live_options, read_live_run
from auditor.cli.outputs import Output, Outputs, output_options, read_outputs
from auditor.report.registry import PREFLIGHT

if TYPE_CHECKING:
    from auditor.run.live_plan import LiveOptions


@click.command("preflight", cls=SectionedCommand)
@live_options
@beside_options
@output_options(PREFLIGHT)
@connection_options
def command(
    *,
    services: bool,
    dns: bool,
    reach: tuple[str, ...],
    output: tuple[Output, ...],
    output_file: str | None,
    **given: Any,
) -> int:
    """Check whether an audit of a live cluster could run: permissions, quotas, admission, and what its probe pods could
    harm.

    Takes the options of 'audit run' that choose what is audited and what is tried besides. Nothing is created:
    admission is checked by server-side dry runs. Exits with 0 if a run could start, with 4 if it could not.
    """
    refuse_in_place({**given, "services": services, "dns": dns, "reach": reach})
    options, _ = read_live_run(given)
    options = replace(options, services=services, dns=dns, reach=reach)
    return preflight(options, read_outputs(output, output_file, PREFLIGHT))


def preflight(options: LiveOptions, outputs: Outputs) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import run_interruptibly
    from auditor.run.live import look_ahead

    outputs.check()
    outlook = run_interruptibly(look_ahead(options))
    outputs.deliver(PREFLIGHT, outlook)
    return AS_EXPECTED if outlook.can_start else ENVIRONMENT
