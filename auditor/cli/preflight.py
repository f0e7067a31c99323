"""``audit preflight``: what ``audit run`` would create in a live cluster and what would stop it, without creating anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, ENVIRONMENT
from auditor.cli.help import SectionedCommand
from auditor.cli.live import live_options, read_live_run
from auditor.model.words import counted

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.preflight import Preflight
    from auditor.model.probe_pod import ProbePod
    from auditor.run.live_plan import LiveOptions


@click.command("preflight", cls=SectionedCommand)
@live_options
@connection_options
def command(**given: Any) -> int:
    """See what an audit of a live cluster would meet: permissions, quotas, admission, and what its probe pods could harm.

    Takes the options of 'audit run' that choose what is audited. Nothing is created: admission is asked by server-side dry runs. Exits
    with 0 when a run could start, with 4 when it could not.
    """
    options, _ = read_live_run(given)
    return preflight(options)


def preflight(options: LiveOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import run_interruptibly
    from auditor.report.lines import say

    probes, found = run_interruptibly(_ask(options))
    for line in describe(probes, found):
        say(line)
    return AS_EXPECTED if found.can_start(probes) else ENVIRONMENT


async def _ask(options: LiveOptions) -> tuple[Sequence[ProbePod], Preflight]:
    from auditor.cluster.kubernetes.api import ApiServer
    from auditor.cluster.kubernetes.config import connect
    from auditor.cluster.kubernetes.preflight import PreflightOptions
    from auditor.cluster.kubernetes.preflight import preflight as look
    from auditor.run.live import read_live
    from auditor.run.live_plan import plan_live

    intended = plan_live(await read_live(options), options)
    bounds = PreflightOptions(options.namespaces, options.pods, options.accept, intended.scope)
    async with ApiServer(await connect(options.connection)) as api:
        found = await look(api, intended.live, intended.probes, bounds)
    return intended.probes, found


def describe(probes: Sequence[ProbePod], found: Preflight) -> Iterator[str]:
    """What was found, a line for each thing, and a last one with what it comes to."""
    refused: dict[str, list[str]] = {}
    for probe in probes:
        if reason := found.refused.get(probe.name):
            refused.setdefault(reason, []).append(probe.name)
        else:
            yield f"ok        {probe.name}" + (f" on {probe.node}" if probe.node else "")
    yield from (f"refused   {', '.join(names)}: {reason}" for reason, names in refused.items())
    yield from (f"remark    {remark}" for remark in found.remarks)
    yield from (f"obstacle  {obstacle}" for obstacle in found.obstacles)
    possible = sum(probe.name not in found.refused for probe in probes)
    namespaces = counted(len({probe.namespace for probe in probes}), "namespace")
    end = "a run can start" if found.can_start(probes) else "a run can't start"
    yield f"{possible} of {counted(len(probes), 'probe pod')} in {namespaces} can be created: {end}"
