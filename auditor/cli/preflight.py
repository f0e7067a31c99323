"""``audit preflight``: what ``audit run`` would create in a live cluster and what would stop it, without
creating anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.connection import connection_options
from auditor.cli.exit_codes import AS_EXPECTED, ENVIRONMENT
from auditor.cli.help import SectionedCommand
from auditor.cli.live import live_options, read_live_run
from auditor.model.words import pluralize

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.preflight.checks import Preflight
    from auditor.model.probe_pod import ProbePod
    from auditor.run.live_plan import LiveOptions, LivePlan


@click.command("preflight", cls=SectionedCommand)
@live_options
@connection_options
def command(**given: Any) -> int:
    """See what an audit of a live cluster would meet: permissions, quotas, admission, and what its probe pods could
    harm.

    Takes the options of 'audit run' that choose what is audited. Nothing is created: admission is asked by server-side
    dry runs. Exits with 0 when a run could start, with 4 when it could not.
    """
    options, _ = read_live_run(given)
    return preflight(options)


def preflight(options: LiveOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import run_interruptibly
    from auditor.report.lines import say

    intended, found = run_interruptibly(_ask(options))
    for line in describe_joining(intended, found) if options.in_place else describe(intended.probes, found):
        say(line)
    put = [probe for probe in intended.probes if probe.name in intended.members or not options.in_place]
    return AS_EXPECTED if found.can_start(put) else ENVIRONMENT


async def _ask(options: LiveOptions) -> tuple[LivePlan, Preflight]:
    from auditor.cluster.kubernetes.client.config import connect
    from auditor.cluster.kubernetes.client.server import ApiServer
    from auditor.loop.apart import apart
    from auditor.run.live import read_live
    from auditor.run.live_plan import plan_live
    from auditor.run.live_settling import settle

    live = await read_live(options)
    intended = await apart(plan_live, live, options)
    async with ApiServer(await connect(options.connection)) as api:
        return await settle(api, live, intended, options)


def describe(probes: Sequence[ProbePod], found: Preflight) -> Iterator[str]:
    """What was found, a line for each thing, and a last one with what it comes to."""
    places = {probe.name: probe.name + (f" on {probe.node}" if probe.node else "") for probe in probes}
    yield from _each(places, found)
    possible = sum(probe.name not in found.refused for probe in probes)
    namespaces = pluralize(len({probe.namespace for probe in probes}), "namespace")
    yield f"{possible} of {pluralize(len(probes), 'probe pod')} in {namespaces} can be created: {_end(found, probes)}"


def describe_joining(intended: LivePlan, found: Preflight) -> Iterator[str]:
    """The same for an audit in place, which creates no pod and puts something into others that stays there."""
    pods = {
        name: f"pod {'/'.join(place)} would list an ephemeral container until recreated"
        for name, place in intended.members.items()
    }
    yield from _each(pods, found)
    yield from (f"left out  {name}: {reason}" for name, reason in intended.absent.items())
    joined = [probe for probe in intended.probes if probe.name in pods]
    possible = sum(probe.name not in found.refused for probe in joined)
    namespaces = pluralize(len({namespace for namespace, _ in intended.members.values()}), "namespace")
    yield f"{possible} of {pluralize(len(joined), 'pod')} in {namespaces} can be joined: {_end(found, joined)}"


def _each(planned: Mapping[str, str], found: Preflight) -> Iterator[str]:
    refused: dict[str, list[str]] = {}
    yield from (line.replace("left out: ", "left out  ", 1) for line in found.left_out)
    for name, told in planned.items():
        if reason := found.refused.get(name):
            refused.setdefault(reason, []).append(name)
        else:
            yield f"ok        {told}"
    yield from (f"refused   {', '.join(names)}: {reason}" for reason, names in refused.items())
    yield from (f"remark    {remark}" for remark in found.remarks)
    yield from (f"obstacle  {obstacle}" for obstacle in found.obstacles)


def _end(found: Preflight, put: Sequence[ProbePod]) -> str:
    return "a run can start" if found.can_start(put) else "a run can't start"
