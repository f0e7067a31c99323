"""From a check, as people write it, to the connections that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from auditor.model.checks import Check
from auditor.model.errors import UsageError
from auditor.model.intent import Intent
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.plan import is_named_destination
from auditor.run.addresses import endpoint_at
from auditor.run.explanation import service_name
from auditor.run.naming import endpoints_called
from auditor.run.service_connections import ServiceQuestion, connections


@dataclass(frozen=True, slots=True)
class Question:
    """The connections that a check stands for, in ``snapshot``: the cluster with whatever the check itself names.
    ``doubts`` are those about which the way through a Service leaves nothing certain.
    """

    snapshot: Snapshot
    cells: tuple[Cell, ...]
    doubts: Mapping[Cell, str]


def with_hosts(snapshot: Snapshot, checks: Sequence[Check]) -> Snapshot:
    """``snapshot`` with the hosts that ``checks`` bring along and it lacks."""
    hosts = {name: addresses for check in checks for name, addresses in check.hosts.items()}
    return Intent((), hosts).with_hosts(snapshot)


def with_addresses_named(check: Check) -> Check:
    """``check`` with plain addresses as hosts of that name, so that something can be there."""
    hosts = dict(check.hosts)
    names = []
    for name in (check.source, check.destination):
        try:
            hosts[name] = (ip_address(name),)
        except ValueError:
            names.append(name)
        else:
            names.append(f"host/{name}")
    return replace(check, source=names[0], destination=names[1], hosts=hosts)


def resolve(snapshot: Snapshot, check: Check) -> Question:
    """The connections of ``check``: from each endpoint that its source means to each that its destination means, or to
    each backend of a Service. A pod and itself are left out.

    Raises UsageError where a name means nothing, and where no connection is left.
    """
    cells: list[Cell] = []
    doubts: dict[Cell, str] = {}
    sources = ends_called(snapshot, check.source)
    service = service_name(check.destination)
    ends = () if service else ends_called(snapshot, check.destination)
    around = _knowing(snapshot, [*sources, *ends])
    for source in sources:
        if service:
            question = ServiceQuestion.by_name(around, source, service, check.port)
            around = question.snapshot
            cells += [cell for cell in question.cells if cell.source != cell.destination]
            doubts |= question.doubts
        else:
            cells += _between(source, ends, check)
    if not cells:
        raise UsageError(f"{check}: nothing to try: a pod always reaches itself")
    return Question(around, tuple(dict.fromkeys(cells)), doubts)


def ends_called(snapshot: Snapshot, name: str) -> Sequence[Endpoint]:
    """What ``name`` means: endpoints, or one address outside. Raises UsageError where it means nothing."""
    at = endpoint_at(snapshot, name)
    return (at,) if at is not None else endpoints_called(snapshot, name)


def possible_sources(snapshot: Snapshot, destination: str) -> Iterator[Endpoint]:
    """Whoever could reach the endpoints that ``destination`` means: every other pod, and what is known outside."""
    service = service_name(destination)
    own = () if service else {end.name for end in ends_called(snapshot, destination)}
    for endpoint in snapshot.endpoints:
        from_outside = endpoint.kind is EndpointKind.HOST and not is_named_destination(endpoint)
        if endpoint.name not in own and (endpoint.selectable or from_outside):
            yield endpoint


def _between(source: Endpoint, destinations: Sequence[Endpoint], check: Check) -> Iterator[Cell]:
    for destination in destinations:
        if destination.name != source.name:
            yield from connections(source, destination, check.port)


def _knowing(snapshot: Snapshot, ends: Sequence[Endpoint]) -> Snapshot:
    known = {endpoint.name for endpoint in snapshot.endpoints}
    new = {end.name: end for end in ends if end.name not in known}
    return replace(snapshot, endpoints=(*snapshot.endpoints, *new.values())) if new else snapshot
