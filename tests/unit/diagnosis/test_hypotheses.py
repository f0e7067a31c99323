from __future__ import annotations

import pytest

from auditor.diagnosis.hypotheses import is_part_of
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect

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
