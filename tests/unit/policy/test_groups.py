"""Groups keep apart what selectors can tell apart, and no more."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.policy.bits import bits
from auditor.policy.groups import Groups
from auditor.policy.traits import Traits

ORDINALS = [{"app": "db", "ordinal": str(number)} for number in range(50)]
PODS = [*ORDINALS, {"app": "db"}, {"app": "web"}, {"app": "cache", "ordinal": "3"}]
SNAPSHOT = Snapshot(
    {"prod": Namespace.of("prod", {})},
    tuple(
        Endpoint(f"prod/{number}", EndpointKind.POD, "prod", labels, (ip_address(f"10.0.0.{number + 1}"),))
        for number, labels in enumerate(PODS)
    ),
)


def asking(operator: Operator, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=(Requirement("ordinal", operator, values),))


SELECTORS = (
    LabelSelector((("ordinal", "3"),)),
    LabelSelector((("app", "db"),)),
    asking(Operator.IN, "4", "5", "nobody's"),
    asking(Operator.NOT_IN, "4"),
    asking(Operator.EXISTS),
    asking(Operator.DOES_NOT_EXIST),
)


@pytest.mark.parametrize(("every_value", "number"), [(True, 53), (False, 7)])
def test_values_that_no_selector_names_may_be_as_one(every_value: bool, number: int) -> None:
    groups = Groups(SNAPSHOT, set(), [Traits(frozenset(SELECTORS), frozenset(), ())], every_value=every_value)
    assert len(groups.representatives) == number
    for selector in SELECTORS:
        matching = {*bits(groups.with_labels(selector))}
        found = [end for end, group in zip(SNAPSHOT.endpoints, groups.of_endpoint, strict=True) if group in matching]
        assert found == [end for end in SNAPSHOT.endpoints if selector.matches(end.labels)]
