"""Fewer ports for each pair, for clusters where every chosen port at every pair would be too many cells.

What a rule demands shows at the pods that its policy selects. So a pair needs the ports that the policies isolating its
two ends name, those that the destination declares, and one port of each protocol that nobody names; what only other
policies name tells nothing about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell
from auditor.probing.plan import choose_ports, plan_cells, port_order


def plan_narrowly(
    snapshot: Snapshot, sources: Sequence[Endpoint], destinations: Sequence[Endpoint], scope: frozenset[str]
) -> tuple[Cell, ...]:
    """The cells of ``plan_cells``, each pair on its own ports only; sources in order."""
    egress = {source.name: _ports(snapshot, source, Direction.EGRESS) for source in sources}
    ingress = {destination.name: _ports(snapshot, destination, Direction.INGRESS) for destination in destinations}

    @cache
    def together(one: frozenset[PortRequest], other: frozenset[PortRequest]) -> tuple[PortRequest, ...]:
        return tuple(sorted(one | other, key=port_order))

    return tuple(
        cell
        for source in sources
        for destination in destinations
        for cell in plan_cells(
            (source,), (destination,), together(egress[source.name], ingress[destination.name]), scope
        )
    )


def _ports(snapshot: Snapshot, endpoint: Endpoint, direction: Direction) -> frozenset[PortRequest]:
    """What the policies that isolate ``endpoint`` in ``direction`` name, what it declares as a destination, and ports
    that nobody names.
    """
    policies = tuple(
        replace(policy, directions=frozenset({direction}))
        for policy in snapshot.policies
        if direction in policy.directions and _selects(policy, endpoint)
    )
    declaring = (endpoint,) if direction is Direction.INGRESS else ()
    return frozenset(choose_ports(replace(snapshot, policies=policies, endpoints=declaring)))


def _selects(policy: NetworkPolicy, endpoint: Endpoint) -> bool:
    return (
        endpoint.selectable and endpoint.namespace == policy.namespace and policy.pod_selector.matches(endpoint.labels)
    )
