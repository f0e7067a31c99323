"""Every fault that is worth a thought in a given cluster: each dialect in each scope in which it makes sense."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import combinations, permutations

from auditor.diagnosis.dialects import SPECS, DialectSpec, Timing
from auditor.diagnosis.predictors import Predictor
from auditor.model.diagnosis import Fault, Hypothesis, Scope, ScopeKind
from auditor.model.dialect import OF_ONE_POD, OF_TIERS, Dialect
from auditor.model.ports import Protocol

MOST_NODES_IN_PAIRS = 12
ON_NODE = (ScopeKind.NODE, ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE)


def faults(
    predictor: Predictor,
    *,
    stale: bool,
    differing: int,
    without: AbstractSet[ScopeKind] = frozenset(),
    loses_datagrams: bool = False,
) -> Iterator[Fault]:
    """All of them, but for scopes of the kinds ``without``. ``stale``: the policies before the last change are known.

    ``loses_datagrams``: what changes its answer is over UDP alone, as where a network loses packets; what an enforcer
    drops now and then, on the other hand, often has to do with the few pods that policies select.

    Of faults of one pod only those of the pods that are at an end of most of the ``differing`` cells.
    """
    every = [*_nodes(predictor), *_namespaces(predictor), *_traffic(predictor)]
    shared = [scope for scope in every if scope.kind not in without]
    pods = _pods(predictor, differing)
    has_tiers = bool(predictor.filters.admin.policies)
    for dialect in Dialect:
        spec = SPECS[dialect]
        if spec.unseen or (spec.previous_policies and not stale) or (dialect in OF_TIERS and not has_tiers):
            continue
        yield Fault(dialect)
        for scope in shared:
            if _makes_sense(spec, scope):
                yield Fault(dialect, scope)
        if spec.rewrite is not None and spec.timing is None and ScopeKind.POLICY not in without:
            yield from _in_policies(predictor, dialect)
        if spec.previous_policies and ScopeKind.POLICY not in without:
            yield from (Fault(dialect, Scope(ScopeKind.POLICY, name)) for name in predictor.filters.gone)
        if dialect in OF_ONE_POD:
            kind = ScopeKind.PEER if ScopeKind.PEER in spec.said_of else ScopeKind.POD
            yield from (Fault(dialect, Scope(kind, pod)) for pod in pods if kind not in without)
        if spec.timing is Timing.NOW_AND_THEN and loses_datagrams:
            yield from (Fault(dialect, scope) for scope in _ways(predictor, pods) if scope.kind not in without)


class Concerned:
    """Which faults may have anything to do with the cells ``differing``: a filter belongs to a node, and a policy to a
    namespace, and where none of these cells has a pod at either end, everything is as it would be without the fault.
    """

    def __init__(self, predictor: Predictor, differing: int) -> None:
        cells = predictor.cells
        sides = (cells.sources, cells.destinations)
        names = {name for side in sides for name, mask in side.items() if mask & differing}
        ends = [cells.endpoints[name] for name in names]
        self._nodes = {end.node for end in ends if end.selectable}
        self._namespaces = {end.namespace for end in ends if end.selectable}
        self._policies = {
            policy.full_name for policy in predictor.filters.policies if policy.namespace not in self._namespaces
        }

    def __call__(self, fault: Fault) -> bool:
        scope = fault.scope
        if scope.kind in ON_NODE:
            return scope.name in self._nodes
        if scope.kind is ScopeKind.NAMESPACE:
            return scope.name in self._namespaces
        return scope.kind is not ScopeKind.POLICY or scope.name not in self._policies


def _pods(predictor: Predictor, differing: int) -> list[str]:
    cells = predictor.cells
    most = 2 * differing.bit_count() / 3
    return [
        name
        for name, end in cells.endpoints.items()
        if end.selectable
        and (differing & (cells.sources.get(name, 0) | cells.destinations.get(name, 0))).bit_count() >= most
    ]


def _nodes(predictor: Predictor) -> Iterator[Scope]:
    nodes = sorted({end.node for end in predictor.cells.endpoints.values() if end.selectable and end.node})
    for kind in ON_NODE:
        yield from (Scope(kind, node) for node in nodes)


def _ways(predictor: Predictor, pods: Iterable[str]) -> Iterator[Scope]:
    """Where packets may get lost beside a node: at one of ``pods``, or between two nodes."""
    yield from (Scope(ScopeKind.POD, pod) for pod in pods)
    nodes = sorted({end.node for end in predictor.cells.endpoints.values() if end.selectable and end.node})
    if len(nodes) <= MOST_NODES_IN_PAIRS:
        yield from (Scope(ScopeKind.PATH, f"{one} and {other}") for one, other in combinations(nodes, 2))


def _namespaces(predictor: Predictor) -> Iterator[Scope]:
    names = sorted({policy.namespace for policy in predictor.filters.policies})
    yield from (Scope(ScopeKind.NAMESPACE, name) for name in names)


def _traffic(predictor: Predictor) -> Iterator[Scope]:
    cells = predictor.cells
    yield from (Scope(ScopeKind.FAMILY, str(family)) for family in sorted(cells.families))
    yield from (Scope(ScopeKind.PROTOCOL, str(protocol)) for protocol in Protocol if protocol in cells.protocols)


def _makes_sense(spec: DialectSpec, scope: Scope) -> bool:
    """Whether the dialect in this scope is something else than a simpler dialect or scope would say."""
    if spec.timing is not None:
        return scope.kind is ScopeKind.NODE
    if scope.kind in (ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE):
        return spec.by_direction and spec.about is None
    return scope.name not in spec.not_for or scope.kind not in (ScopeKind.FAMILY, ScopeKind.PROTOCOL)


def _in_policies(predictor: Predictor, dialect: Dialect) -> Iterator[Fault]:
    for policy in predictor.filters.policies:
        if SPECS[dialect].about is None or len(policy.directions) > 1:
            yield Fault(dialect, Scope(ScopeKind.POLICY, policy.full_name))
    for name in (each.full_name for each in predictor.filters.admin.policies if dialect is Dialect.ENFORCES_NOTHING):
        yield Fault(dialect, Scope(ScopeKind.POLICY, name))


CONTAINED = {
    (ScopeKind.NODE, ScopeKind.SOURCE_NODE),
    (ScopeKind.NODE, ScopeKind.DESTINATION_NODE),
}


def is_part_of(narrow: Hypothesis, wide: Hypothesis) -> bool:
    """Whether ``narrow`` has the same dialects as ``wide`` in any order, each in the same scope or in a part of it."""
    return len(narrow) == len(wide) and any(
        all(
            one.dialect is other.dialect and _within(one.scope, other.scope)
            for one, other in zip(order, wide, strict=True)
        )
        for order in permutations(narrow)
    )


def _within(narrow: Scope, wide: Scope) -> bool:
    if narrow == wide or wide.kind is ScopeKind.CLUSTER:
        return True
    if wide.kind is ScopeKind.NAMESPACE and narrow.kind is ScopeKind.POLICY:
        return narrow.name.startswith(f"{wide.name}/")
    return (wide.kind, narrow.kind) in CONTAINED and narrow.name == wide.name
