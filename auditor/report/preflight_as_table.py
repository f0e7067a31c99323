"""What an audit of a live cluster would meet, for a person: a line for each thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TextIO

from auditor.cluster.kubernetes.preflight.checks import Preflight
from auditor.model.words import pluralize
from auditor.report.lines import write_line
from auditor.run.live import Outlook
from auditor.run.service_plan import services_at_most


def render(outlook: Outlook, stream: TextIO) -> None:
    """Write a line for each thing that was found to ``stream``, and a last one with what it comes to."""
    for line in describe(outlook):
        write_line(line, stream)


def describe(outlook: Outlook) -> Iterator[str]:
    """The lines."""
    return _joining(outlook) if outlook.in_place else _creating(outlook)


def _creating(outlook: Outlook) -> Iterator[str]:
    probes, found = outlook.put, outlook.found
    places = {probe.name: probe.name + (f" on {probe.node}" if probe.node else "") for probe in probes}
    yield from _each(places, found)
    possible = sum(probe.name not in found.refused for probe in probes)
    if outlook.services:
        yield f"services  {services_at_most(possible)}"
    namespaces = pluralize(len({probe.namespace for probe in probes}), "namespace")
    yield f"{possible} of {pluralize(len(probes), 'probe pod')} in {namespaces} can be created: {_end(outlook)}"


def _joining(outlook: Outlook) -> Iterator[str]:
    """An audit in place creates no pod, and puts something into others that stays there."""
    intended, found, joined = outlook.intended, outlook.found, outlook.put
    pods = {
        name: f"pod {'/'.join(place)} would list an ephemeral container until recreated"
        for name, place in intended.members.items()
    }
    yield from _each(pods, found)
    yield from (f"left out  {name}: {reason}" for name, reason in intended.absent.items())
    possible = sum(probe.name not in found.refused for probe in joined)
    namespaces = pluralize(len({namespace for namespace, _ in intended.members.values()}), "namespace")
    yield f"{possible} of {pluralize(len(joined), 'pod')} in {namespaces} can be joined: {_end(outlook)}"


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


def _end(outlook: Outlook) -> str:
    return "a run can start" if outlook.can_start else "a run can't start"
