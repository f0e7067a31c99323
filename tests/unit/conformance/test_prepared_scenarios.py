"""Which changes are made in which scenarios."""

from collections import Counter

import pytest

from auditor.model.errors import UsageError
from auditor.model.ports import Protocol
from auditor.model.scorecard import ChangeKind
from auditor.model.snapshot import Family
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.prepared_scenarios import (
    MOST_PREPARED,
    apart_by_tiers,
    prepare_scenarios,
    refuse_nothing,
    skipped,
)
from tests.lab import scenarios
from tests.unit.conformance.shipped import prepared_scenarios


def stepped():
    return [prepared for prepared in prepared_scenarios() if prepared.step is not None]


def test_every_scenario_with_a_truth_table_is_tried():
    tried = [name for name in scenarios.with_truth() if not scenarios.read(name).snapshot.admin_policies]
    assert [prepared.scenario.name for prepared in prepared_scenarios()] == tried


def test_scenarios_of_administrators_policies_are_skipped_loudly():
    """They would concern the namespaces of all other scenarios, and of people."""
    kept, left = apart_by_tiers([scenarios.read(name) for name in scenarios.names()])
    assert len(left) == 4
    (said,) = skipped(left, "why")
    assert said.startswith("SKIPPED 4 scenarios")
    assert all(each.name in said for each in left)
    assert apart_by_tiers(kept) == (kept, [])
    assert skipped([], "why") == ()
    with pytest.raises(UsageError, match="nothing to run: SKIPPED 4 scenarios"):
        refuse_nothing([], [said])


def test_every_kind_of_change_is_made_a_few_times():
    counts = Counter(prepared.step.change for prepared in stepped())
    assert counts == {**dict.fromkeys(ChangeKind, MOST_PREPARED), ChangeKind.LAST_PEER_DELETED: 1}


def test_every_change_leads_to_the_scenario_as_written():
    for prepared in stepped():
        assert prepared.step.after == prepared.snapshot
        assert prepared.start == prepared.step.before != prepared.snapshot


def test_every_change_changes_verdicts_or_brings_some():
    for prepared in stepped():
        before = evaluate(prepared.step.before)
        there = {endpoint.name for endpoint in prepared.step.before.endpoints}
        assert len(prepared.changed) >= 2
        for cell in prepared.changed:
            if prepared.step.change is ChangeKind.LAST_PEER_DELETED:
                assert before.verdict(*cell) is prepared.truth[cell] is Verdict.DENIED
            elif {cell.source, cell.destination} <= there:
                assert before.verdict(*cell) is not prepared.truth[cell]
            else:
                assert prepared.step.change is ChangeKind.POD_CREATED


def test_the_last_peer_of_a_rule_is_there_at_first_and_all_that_the_rule_would_open_to_everybody_is_watched():
    (deleted,) = [each for each in stepped() if each.step.change is ChangeKind.LAST_PEER_DELETED]
    before, after = deleted.step.before, deleted.step.after
    (gone,) = [end for end in before.endpoints if end.name not in {other.name for other in after.endpoints}]
    assert gone.labels == {"app": "three"}
    assert not {*gone.addresses} & {address for end in after.endpoints for address in end.addresses}
    server = gone.name.replace("last-peer", "server")
    assert evaluate(before).verdict(gone.name, server, Protocol.TCP, 82, Family.IPV4) is Verdict.ALLOWED
    assert {(cell.destination, cell.port) for cell in deleted.changed} == {(server, 82)}


def test_a_pod_that_takes_anothers_place_has_its_name_and_address_and_other_labels():
    for prepared in stepped():
        if prepared.step.change is ChangeKind.POD_REPLACED:
            pairs = zip(prepared.step.before.endpoints, prepared.step.after.endpoints, strict=True)
            ((old, new),) = [(old, new) for old, new in pairs if old != new]
            assert (old.name, old.addresses, old.node) == (new.name, new.addresses, new.node)
            assert old.labels != new.labels
            assert prepared.step.is_at_new_pod


def test_scenarios_that_tell_of_a_change_get_that_one():
    (prepared,) = prepare_scenarios([scenarios.read("rule-15-policy-removed")], "x-")
    assert prepared.step.change is ChangeKind.POLICIES_CHANGED
    assert [policy.full_name for policy in prepared.previous_policies] == ["x-x/default-deny"]


def test_the_number_and_the_name_can_be_in_the_names():
    _, second = prepare_scenarios([scenarios.read("demo"), scenarios.read("rule-06-end-port")], "c-{number}-{name}-")
    assert set(second.snapshot.namespaces) == {"c-1-rule-06-end-port-x"}
