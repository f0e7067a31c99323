"""What an audit is asked for, and which connections that comes to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from auditor.model.errors import UsageError
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.selection import choose
from auditor.probing.options import ProbingOptions
from auditor.probing.own_nodes import own_node_cells
from auditor.probing.plan import (
    Connection,
    ProbePlan,
    choose_ports,
    plan_cells,
    plan_chosen,
    plan_narrowly,
    with_other_protocols,
)
from auditor.probing.sites import ProbeSite

MOST_CELLS = 50_000
"""Beyond this many cells, pairs are probed only on the ports that matter to them, unless the user has named ports."""
MOST_FURTHER_CELLS = 20_000
"""Beyond this many cells, none is looked for that would tell hypotheses apart."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit of a cluster. Empty ``ports``: chosen by the auditor. Empty selections: every endpoint.

    ``sources`` and ``destinations`` are selections in the notation of ``auditor.policy.selection``; an endpoint takes
    part when any of them matches. ``scope`` names endpoints, of which one at least takes part in each cell.
    ``declared_only``: no port that its destination doesn't declare. ``min_coverage`` is a share, 0 to 1.
    ``accept_untested`` are full names of policies that may stay untested. ``connections``: try no others, unless
    ``ports`` are given (None: all); ``not_chosen`` are the policies of administrators, by full name and direction, of
    which these show nothing though others would. ``also`` are ports to try besides those that the auditor chooses.
    ``at_nodes``: whether agents sit at nodes, too. ``services``: try all of it through Services, too. ``dns``: have
    the sources look a name up. ``reach``: Services of the cluster's own, ``NAMESPACE/NAME``, to connect to.
    ``former``: the policies as they were before the last change (None: nobody knows).
    """

    ports: tuple[PortRequest, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    scope: frozenset[str] = frozenset()
    declared_only: bool = False
    min_coverage: float = 0.0
    accept_untested: frozenset[str] = frozenset()
    connections: frozenset[Connection] | None = None
    not_chosen: frozenset[tuple[str, Direction]] = frozenset()
    at_nodes: bool = True
    services: bool = False
    dns: bool = False
    reach: tuple[str, ...] = ()
    probing: ProbingOptions = field(default_factory=ProbingOptions)
    also: tuple[PortRequest, ...] = ()
    former: tuple[NetworkPolicy, ...] | None = None


def check_accepted(snapshot: Snapshot, accepted: Collection[str]) -> None:
    """Raise UsageError for a name among ``accepted`` that no policy of ``snapshot`` has."""
    known = {policy.full_name for policy in snapshot.policies} | {policy.full_name for policy in snapshot.unknown}
    known |= {policy.full_name for policy in snapshot.admin_policies}
    for name in sorted(accepted):
        if name not in known:
            form = "KIND/NAME" if " " in name else "NAMESPACE/NAME, as reports do"
            written = name.replace(" ", "/")
            raise UsageError(f"--accept-untested {written}: no policy has this name; write {form}")


def asked_about(snapshot: Snapshot, options: AuditOptions) -> dict[Direction, frozenset[str]]:
    """The endpoints whose filters an audit with ``options`` tries: for egress the sources, for ingress the
    destinations.
    """
    chosen = {
        Direction.INGRESS: choose(snapshot.endpoints, options.destinations, snapshot.services),
        Direction.EGRESS: choose(snapshot.endpoints, options.sources, snapshot.services),
    }
    return {
        direction: frozenset(end.name for end in ends if not options.scope or end.name in options.scope)
        for direction, ends in chosen.items()
    }


def plan(snapshot: Snapshot, options: AuditOptions) -> tuple[ExpectedMatrix, ProbePlan]:
    """The expected matrix of ``snapshot`` and the cells that an audit with ``options`` would probe.

    Raises UsageError when nothing is left to probe, and for a policy to accept that isn't there.
    """
    check_accepted(snapshot, options.accept_untested)
    matrix = evaluate(snapshot, named_ports=(*options.ports, *options.also))
    ports = options.ports or tuple(dict.fromkeys((*choose_ports(snapshot), *options.also)))
    sources, destinations = chosen_ends(snapshot, options)
    if options.connections is not None and not options.ports:
        cells = plan_chosen(sources, destinations, options.connections)
    else:
        cells = plan_cells(sources, destinations, ports, options.scope, declared_only=options.declared_only)
    if not cells:
        raise UsageError("nothing to probe: no pair of the chosen endpoints and ports is one that a policy can govern")
    if options.ports or options.declared_only or options.connections is not None:
        return matrix, ProbePlan(tuple(ports), cells)
    if len(cells) <= MOST_CELLS:
        cells = with_other_protocols(cells, matrix)
    if len(cells) <= MOST_CELLS:
        return matrix, ProbePlan(tuple(ports), cells)
    narrow = with_other_protocols(plan_narrowly(snapshot, sources, destinations, options.scope), matrix)
    remark = (
        f"{len(cells):,} connections would be too many to try: each pair is probed on the ports that its own policies "
        "and pods name"
    )
    return matrix, ProbePlan(tuple(ports), narrow, remark)


def chosen_ends(snapshot: Snapshot, options: AuditOptions) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
    """The sources and the destinations that an audit with ``options`` tries with agents of its own."""
    ends = [end for end in snapshot.endpoints if options.at_nodes or end.kind is not EndpointKind.NODE]
    return choose(ends, options.sources, snapshot.services), choose(ends, options.destinations, snapshot.services)


def by_kubelets(snapshot: Snapshot, sites: Sequence[ProbeSite], options: AuditOptions) -> tuple[Cell, ...]:
    """The connections that kubelets make, of those that an audit with ``options`` is about."""
    if options.ports:
        return ()
    asked = asked_about(snapshot, options)
    sources = {end.name for end in choose(snapshot.endpoints, options.sources, snapshot.services)}
    return tuple(
        cell
        for cell in own_node_cells(snapshot, sites)
        if cell.destination in asked[Direction.INGRESS] and cell.source in sources
    )


def further_cells(matrix: ExpectedMatrix, options: AuditOptions) -> tuple[Cell, ...]:
    """Cells between the chosen endpoints that a plan leaves out: at ports inside the ranges whose edges it probes. None
    beyond --ports.
    """
    if options.ports or options.declared_only:
        return ()
    ports = [
        PortRequest(atom.protocol, number=number)
        for atom in matrix.atoms
        for number in {atom.first, (atom.first + atom.last) // 2}
    ]
    sources, destinations = chosen_ends(matrix.snapshot, options)
    if len(sources) * len(destinations) * len(ports) > MOST_FURTHER_CELLS:
        return ()
    return plan_cells(sources, destinations, ports, options.scope)
