"""Scenarios on pods of others: what happens in which order, and what is judged again on new pods."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from auditor.model.dialect import Dialect
from auditor.model.scorecard import ChangeKind, Score
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.probing.options import NoProgress
from auditor.run.conformance import reuse
from auditor.run.conformance.cluster_testbed import ClusterTestbed
from auditor.run.conformance.reuse import PodsReused, follows_changes
from auditor.run.conformance.scenario_run import LOST_MEANING
from auditor.run.conformance.scoring import score
from auditor.run.conformance.waves import divided, make_waves
from tests.unit.conformance.shipped import outcome, prepared_scenarios
from tests.unit.probing.world import SWIFT

OWN, LATER = divided([each for each in prepared_scenarios() if not each.snapshot.admin_policies])


class Scratch:
    """Namespaces of which it is only noted what is done to them."""

    def __init__(self):
        self.log = []
        self.failed = {}
        self.reached = {}

    async def create_namespaces(self, namespaces):
        list(namespaces)

    async def start_pods(self, pods, _policies, _seconds, _advance):
        return {pod.name: replace(pod, ports=()) for pod in pods}

    async def put_policies(self, before, after):
        self.log += [("gone", policy.full_name) for policy in before if policy not in after]
        self.log += [("put", policy.full_name) for policy in after]

    async def relabel_pod(self, pod, _before, after):
        self.log.append(("pod", pod, dict(after)))

    async def relabel_namespace(self, name, _before, _after):
        self.log.append(("namespace", name))

    def let_stand_for(self, pod, endpoint):
        self.log.append(("stands for", pod, endpoint))


@pytest.fixture
def scratch():
    return Scratch()


@pytest.fixture
def closed(monkeypatch, scratch):
    """What never opens before policies come."""
    cells = set()

    async def still_closed(_testbed, prepared_scenarios, _options):
        scratch.log.append(("opening", len(prepared_scenarios)))
        return {cell for each in prepared_scenarios for cell in each.truth if cell in cells}

    monkeypatch.setattr(reuse, "still_closed", still_closed)
    monkeypatch.setattr(reuse, "HANDLED_SECONDS", 0.0)
    return cells


@pytest.fixture
def seen(monkeypatch, scratch, closed):
    """What comes of some cells, where that is not what it ought to be."""
    otherwise = {}

    async def run_scenarios(_testbed, chosen, _options, _progress):
        scratch.log.append(("probing", len(chosen)))
        found = outcome(Dialect.SPEC, *chosen)
        return replace(found, results=tuple(otherwise.get(each.cell, each) for each in found.results))

    monkeypatch.setattr(reuse, "run_scenarios", run_scenarios)
    return otherwise


async def judged(scratch):
    (wave,) = make_waves(OWN, {"a": 200, "b": 200})
    testbed = ClusterTestbed(scratch, OWN, wave.nodes, LATER)
    await testbed.set_up(1.0, lambda _: None)
    scratch.log.clear()
    reused = PodsReused(testbed, 0.0, SWIFT, NoProgress(), lambda _: nullcontext())
    outcomes, again = await reused.judge(LATER)
    return outcomes, again, reused.facts


async def test_all_that_was_in_force_goes_before_labels_change_and_all_is_seen_open_before_policies_come(scratch, seen):
    outcomes, again, (fact,) = await judged(scratch)
    assert again == []
    assert fact == f"{len(LATER)} scenarios got pods and namespaces of others, 0 of them new ones after that"
    kinds = list(
        dict.fromkeys(
            (entry[0], sum(past[0] == "probing" for past in scratch.log[:at])) for at, entry in enumerate(scratch.log)
        )
    )
    assert [kind for kind, _ in kinds if kind not in {"namespace", "pod"}] == [
        "gone",
        "stands for",
        "opening",
        "put",
        "probing",
    ] * 2
    order = [kind for kind, number in kinds if number == 0]
    assert order.index("gone") < min(order.index("pod"), order.index("namespace"))
    assert max(order.index("pod"), order.index("namespace")) < order.index("opening")
    wanted = {cell for prepared in LATER for cell in prepared.truth}
    assert {each.cell for found in outcomes for each in found.results} == wanted
    assert {cell for found in outcomes for cell in found.reused} == wanted


async def test_policies_are_put_into_the_namespaces_that_stand_for_those_of_the_scenario(scratch, seen):
    await judged(scratch)
    own = {name for prepared in OWN for name in prepared.snapshot.namespaces}
    put = [entry[1].partition("/")[0] for entry in scratch.log if entry[0] in {"put", "gone"}]
    assert put
    assert set(put) <= own


async def test_what_does_not_open_without_policies_is_not_judged_there(scratch, closed, seen):
    chosen = next(each for each in LATER if Verdict.DENIED in each.truth.values())
    closed.add(next(cell for cell, verdict in chosen.truth.items() if verdict is Verdict.DENIED))
    outcomes, again, (fact,) = await judged(scratch)
    assert again == [chosen]
    assert fact.endswith("1 of them new ones after that")
    assert not {each.cell for found in outcomes for each in found.results} & chosen.truth.keys()
    assert not {cell for found in outcomes for cell in found.reused} & chosen.truth.keys()


def result_of(prepared, result, observed=Observed.ALLOWED, reason=""):
    cell = next(cell for cell, verdict in prepared.truth.items() if verdict is Verdict.DENIED)
    (usual,) = [each for each in outcome(Dialect.SPEC, prepared).results if each.cell == cell]
    return replace(usual, observation=Observation(observed, reason), result=result)


DENYING = [each for each in LATER if Verdict.DENIED in each.truth.values()]


@pytest.mark.parametrize(
    ("result", "observed", "reason"),
    [
        (Result.LEAK, Observed.ALLOWED, ""),
        (Result.INCONCLUSIVE, Observed.INCONCLUSIVE, "its agent ended"),
        (Result.SKIPPED, Observed.SKIPPED, LOST_MEANING.format("x", "denied")),
    ],
)
async def test_what_departs_or_has_no_verdict_is_judged_again_and_nothing_is_said_of_it_yet(
    scratch, seen, result, observed, reason
):
    chosen = DENYING[3]
    one = result_of(chosen, result, observed, reason)
    seen[one.cell] = one
    outcomes, again, _ = await judged(scratch)
    assert again == [chosen]
    for found in outcomes:
        assert not {each.cell for each in found.results} & chosen.truth.keys()
        assert not set(found.snapshot.namespaces) & set(chosen.snapshot.namespaces)
        assert not {each.namespace for each in found.snapshot.endpoints} & set(chosen.snapshot.namespaces)
    assert {cell: each for found in outcomes for cell, each in found.reused.items()}[one.cell] == one


async def test_what_is_skipped_on_every_ground_is_not_judged_again(scratch, seen):
    one = result_of(DENYING[0], Result.SKIPPED, Observed.SKIPPED, "x/a has no IPv6 address")
    seen[one.cell] = one
    _, again, _ = await judged(scratch)
    assert again == []


async def test_an_enforcer_that_departs_on_pods_of_others_alone_departs_in_just_that(scratch, seen):
    one = result_of(DENYING[3], Result.LEAK)
    seen[one.cell] = one
    reused, again, _ = await judged(scratch)
    every = [*OWN, *LATER]
    first, last = outcome(Dialect.SPEC, *OWN), outcome(Dialect.SPEC, *again)
    card = score(every, [first, *reused, last], [each.scenario for each in every], subject="x")
    assert card.score is Score.DEPARTS
    assert [each.feature for each in card.features if each.score is not Score.CONFORMS] == ["reused-pods"]
    assert card.summary.faults == 0
    assert card.behaviour == (
        "this CNI behaves like: spec; 1 connection departed on pods that had been under other policies, "
        "and not on new ones"
    )


async def test_a_fault_that_new_pods_have_too_has_nothing_to_do_with_the_old_ones(scratch, seen):
    broken = outcome(Dialect.IGNORES_EGRESS, *LATER)
    seen |= {each.cell: each for each in broken.results if each.result is Result.LEAK}
    reused, again, _ = await judged(scratch)
    every = [*OWN, *LATER]
    first, last = outcome(Dialect.IGNORES_EGRESS, *OWN), outcome(Dialect.IGNORES_EGRESS, *again)
    card = score(every, [first, *reused, last], [each.scenario for each in every], subject="x")
    assert card.behaviour == "this CNI behaves like: spec except ignores-egress"
    assert next(each for each in card.features if each.feature == "reused-pods").score is Score.CONFORMS


def test_pods_are_used_again_only_where_every_kind_of_change_was_seen_to_be_followed():
    taken = {each.scenario.name: 0.3 for each in OWN if each.step is not None}
    assert follows_changes(OWN, taken)
    assert not follows_changes(OWN, {})
    for kind in reuse.NEEDED:
        names = [each.scenario.name for each in OWN if each.step is not None and each.step.change is kind]
        assert not follows_changes(OWN, taken | {names[0]: None})
        assert not follows_changes(OWN, {name: each for name, each in taken.items() if name not in names})
    (other, *_) = [each for each in OWN if each.step is not None and each.step.change is ChangeKind.POD_CREATED]
    assert follows_changes(OWN, taken | {other.scenario.name: None})
