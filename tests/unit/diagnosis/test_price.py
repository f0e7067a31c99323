"""The price of a hypothesis: what is common is cheap, what is narrow is dear, and what is likelier comes first."""

from __future__ import annotations

from random import Random

import pytest

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.price import NOISE, Prices, rarity, rarity_of_place
from auditor.diagnosis.search import diagnose, search
from auditor.diagnosis.witnesses import places
from auditor.model.diagnosis import Fault, Scope, ScopeKind
from auditor.model.dialect import Dialect, Enforcement
from tests.lab import scenarios
from tests.lab.confusion import observe
from tests.lab.naming import World


@pytest.fixture(scope="module")
def demo():
    return World.of(scenarios.read("demo"))


def under(world, *enforcers):
    return observe(world, Enforcement.parse(enforcers), Random(1))


def test_shares_of_reports_add_up_to_one():
    assert sum(2 ** -rarity(dialect) for dialect in Dialect) == pytest.approx(1)
    assert sum(2 ** -rarity_of_place(kind) for kind in ScopeKind) == pytest.approx(1)


def test_a_place_costs_more_where_there_are_more_of_its_kind_to_choose_from():
    few, many = (Prices({ScopeKind.NODE: number}) for number in (2, 16))
    on_node = (Fault(Dialect.ENFORCES_NOTHING, Scope(ScopeKind.NODE, "n")),)
    assert many.of(on_node) == pytest.approx(few.of(on_node) + 3)
    assert few.of((Fault(Dialect.ENFORCES_NOTHING),)) < few.of(on_node)
    assert few.of(on_node * 2) == pytest.approx(2 * few.of(on_node))


def test_what_fits_alike_stands_in_the_order_of_its_price(demo):
    for enforcer in ("ignores-named-ports", "knows-no-pods@prod/api", "enforces-nothing"):
        fits = search(Evidence(demo.snapshot, under(demo, enforcer)))
        assert len(fits) > 1
        assert [fit.price for fit in fits] == sorted(fit.price for fit in fits)


def test_a_connection_against_it_costs_more_than_any_other_fault_would(demo):
    evidence = Evidence(demo.snapshot, under(demo, "ignores-egress"))
    right, wrong = (evidence.fit((Fault(dialect),)) for dialect in (Dialect.IGNORES_EGRESS, Dialect.ENFORCES_NOTHING))
    assert wrong.price > right.price + NOISE * wrong.errors - 8 > right.price


@pytest.mark.parametrize(
    ("enforcer", "sure"),
    [
        ("ignores-egress@node-2", True),
        ("enforces-nothing@node-1", True),
        ("ignores-ports", True),
        ("shares-directions", False),
        ("shuts-pods@prod/db", False),
        ("ignores-named-ports", False),
    ],
)
def test_a_cause_needs_places_for_what_it_costs_to_suppose(demo, enforcer, sure):
    results = under(demo, enforcer)
    assert diagnose(demo.snapshot, results).certain is sure


def test_places_outside_a_fault_count_no_more_than_those_inside(demo):
    results = under(demo, "ignores-egress@node-2")
    evidence = Evidence(demo.snapshot, results)
    [best, *_] = search(evidence)
    assert best.faults == (Fault(Dialect.IGNORES_EGRESS, Scope(ScopeKind.NODE, "node-2")),)
    everywhere = Evidence(demo.snapshot, under(demo, "ignores-egress"))
    assert 0 < places(evidence, best) <= 2 * places(everywhere, everywhere.fit((Fault(Dialect.IGNORES_EGRESS),)))
