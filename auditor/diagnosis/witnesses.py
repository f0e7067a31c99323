"""Places that speak for a hypothesis: where a fault that nobody knows would hardly look like it.

A way to misread policies shows in one place for each policy and direction that it changes. What doesn't depend on how
policies are read, and what is said of one policy or pod alone, shows between pairs of endpoints instead, of which
``PAIRS`` count as one place; of what comes and goes, which is seen as such, ``PAIRS_AT_TIMES``. A fault that is
limited to a part of the cluster has places outside it as well: where the same fault would show and doesn't. Of these
no more count than of the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.diagnosis.dialects import SPECS
from auditor.diagnosis.evidence import Evidence, Fit
from auditor.diagnosis.predictors import chain_of
from auditor.model.diagnosis import Fault, ScopeKind
from auditor.model.policy import Direction

PAIRS, PAIRS_AT_TIMES = 6, 2
OF_ONE = (ScopeKind.POLICY, ScopeKind.POD, ScopeKind.PEER)


def places(evidence: Evidence, fit: Fit) -> int:
    """How many places speak for all faults of ``fit`` together."""
    return sum(_places(evidence, fit, fault) for fault in fit.faults)


def _places(evidence: Evidence, fit: Fit, fault: Fault) -> int:
    shown = fit.explained
    everywhere = evidence.predictor.predict((Fault(fault.dialect),), timed=False)
    silent = (everywhere.allowed ^ evidence.predictor.specification) & ~evidence.differing
    inside, outside = _count(evidence, fault, shown, inside=True), 0
    if fault.scope.kind is not ScopeKind.CLUSTER:
        outside = _count(evidence, fault, silent, inside=False)
    return inside + min(inside, outside)


def _count(evidence: Evidence, fault: Fault, among: int, *, inside: bool) -> int:
    """The places among the cells ``among``, in the fault's part of the cluster or outside it."""
    regions = {direction: _region(evidence, fault, direction, inside=inside) for direction in Direction}
    spec = SPECS[fault.dialect]
    if not spec.reads_otherwise or fault.scope.kind in OF_ONE:
        own = among & (regions[Direction.EGRESS] | regions[Direction.INGRESS])
        pairs = {(cell.source, cell.destination) for cell in evidence.cells.listed(own)}
        return len(pairs) // (PAIRS_AT_TIMES if spec.timing and evidence.changing else PAIRS)
    shown = [
        number
        for direction in Direction
        for number, changed in enumerate(_changed(evidence, fault, direction))
        if changed & among & regions[direction] & _decided(evidence, fault, direction)
    ]
    return len(shown) if len({*shown}) > 1 else min(1, len(shown))  # with one policy it may be just this one


def _region(evidence: Evidence, fault: Fault, direction: Direction, *, inside: bool) -> int:
    region = evidence.predictor.region(fault.scope, direction)
    return region if inside else evidence.cells.everything & ~region


def _decided(evidence: Evidence, fault: Fault, direction: Direction) -> int:
    """The cells of which the filters of ``direction`` say something else, all read as the dialect reads them: where a
    policy is changed and another one decides, nothing shows of it.
    """
    filters = evidence.predictor.filters
    return filters.passing(direction) ^ filters.passing(direction, chain_of((Fault(fault.dialect),)))


def _changed(evidence: Evidence, fault: Fault, direction: Direction) -> Iterator[int]:
    """For each policy the cells of which it says something else, read as the dialect reads it."""
    filters = evidence.predictor.filters
    before, after = filters.parts(direction), filters.parts(direction, chain_of((Fault(fault.dialect),)))
    for old, new in zip(before, after, strict=False):
        isolated = (old.isolated if old else 0) ^ (new.isolated if new else 0)
        yield isolated | (old.allowed if old else 0) ^ (new.allowed if new else 0)
