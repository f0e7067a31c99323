from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.diagnosis import hypotheses
from auditor.diagnosis.cells import Cells
from auditor.diagnosis.hypotheses import is_part_of
from auditor.diagnosis.predictors import Predictor
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from tests.unit.diagnosis.worlds import DB_POLICY, with_policies

CLUSTER = Scope(ScopeKind.CLUSTER)
NODE, OTHER_NODE = Scope(ScopeKind.NODE, "n1"), Scope(ScopeKind.NODE, "n2")
SENDING, OTHER_SENDING = Scope(ScopeKind.SOURCE_NODE, "n1"), Scope(ScopeKind.SOURCE_NODE, "n2")
RECEIVING = Scope(ScopeKind.DESTINATION_NODE, "n1")
NAMESPACE, POLICY = Scope(ScopeKind.NAMESPACE, "prod"), Scope(ScopeKind.POLICY, "prod/web")
ALIKE, ELSEWHERE = Scope(ScopeKind.POLICY, "production/web"), Scope(ScopeKind.POLICY, "dev/prod")
NAMED_LIKE_A_NODE = Scope(ScopeKind.NAMESPACE, "n1")


def faults(*scopes, dialects=(Dialect.IGNORES_PORTS, Dialect.STATELESS)):
    return tuple(Fault(dialect, scope) for dialect, scope in zip(dialects, scopes, strict=False))


@pytest.mark.parametrize(
    ("narrow", "wide", "part"),
    [
        (NODE, NODE, True),
        (NODE, CLUSTER, True),
        (CLUSTER, NODE, False),
        (SENDING, NODE, True),
        (RECEIVING, NODE, True),
        (NODE, SENDING, False),
        (SENDING, RECEIVING, False),
        (OTHER_SENDING, NODE, False),
        (OTHER_NODE, NODE, False),
        (NAMED_LIKE_A_NODE, NODE, False),
        (NODE, NAMED_LIKE_A_NODE, False),
        (POLICY, NAMESPACE, True),
        (NAMESPACE, POLICY, False),
        (ALIKE, NAMESPACE, False),
        (ELSEWHERE, NAMESPACE, False),
    ],
)
def test_a_scope_is_part_of_those_that_contain_it_and_of_no_other(narrow, wide, part):
    assert is_part_of(faults(narrow), faults(wide)) is part


def test_each_of_several_faults_has_to_be_part_of_one():
    assert is_part_of(faults(SENDING, POLICY), faults(NODE, NAMESPACE))
    assert is_part_of(faults(SENDING, POLICY), faults(NODE, NAMESPACE)[::-1])
    assert not is_part_of(faults(SENDING, ALIKE), faults(NODE, NAMESPACE))
    assert not is_part_of(faults(SENDING), faults(NODE, NAMESPACE))


def test_another_dialect_is_no_part():
    assert not is_part_of(faults(NODE), faults(NODE, dialects=(Dialect.STATELESS,)))


BOTH_WAYS = replace(DB_POLICY, name="both", directions=frozenset(Direction))


def scopes_of(dialect):
    snapshot = with_policies(DB_POLICY, BOTH_WAYS)
    cells = Cells(snapshot, [Cell("prod/web", "prod/db", Protocol.TCP, 3306, Family.IPV4)])
    return {
        fault.scope
        for fault in hypotheses.faults(Predictor(cells), stale=False, differing=cells.everything)
        if fault.dialect is dialect
    }


def in_policies(scopes):
    return {scope.name for scope in scopes if scope.kind is ScopeKind.POLICY}


@pytest.mark.parametrize(
    ("dialect", "is_thought_of"),
    [(Dialect.IGNORES_PORTS, True), (Dialect.IGNORES_EGRESS, False), (Dialect.ENFORCES_NOTHING, False)],
)
def test_one_direction_on_a_node_is_thought_of_where_no_simpler_fault_says_it(dialect, is_thought_of):
    at_an_end = {
        scope for scope in scopes_of(dialect) if scope.kind in (ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE)
    }
    assert bool(at_an_end) is is_thought_of


def test_a_direction_is_ignored_in_one_policy_only_if_that_has_the_other_one_too():
    assert in_policies(scopes_of(Dialect.IGNORES_INGRESS)) == {"prod/both"}
    assert in_policies(scopes_of(Dialect.IGNORES_PORTS)) == {"prod/both", "prod/db"}
