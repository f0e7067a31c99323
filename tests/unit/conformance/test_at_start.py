"""What a new pod has seen from its first moment on, on a testbed that can tell."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from auditor.model.ports import Protocol
from auditor.model.probe_pod import AfterStart
from auditor.model.scorecard import ChangeKind, Score
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.sites import ProbeSite
from auditor.run.conformance import following
from auditor.run.conformance.following import follow_changes
from auditor.run.conformance.prepared_scenarios import prepare_scenarios
from auditor.run.conformance.scenario_run import run_scenarios
from auditor.run.conformance.scoring import score
from auditor.run.conformance.testbed import ActualState
from tests.lab import scenarios
from tests.unit.probing.world import TIMEOUT, TOKEN, World

OPTIONS = ProbingOptions(timeout=0.2, retests=0, settle=0.4, late_isolation=1.0)


class NewPods:
    """A scenario whose enforcer does as it should whenever an agent asks. What its new pod has seen first is
    ``said``, one answer after the other.
    """

    facts = ()
    followed_addresses = ()

    def __init__(self, prepared, said, created):
        self.absent = {end.name: "not here" for end in prepared.snapshot.endpoints if not end.selectable}
        self.failed = {}
        self.prepared, self.said, self.created = prepared, said, created
        self.world, self.targets, self.changed = World(0, self.answer), {}, False
        self.world.arrived = lambda nonce: nonce is None
        self.witnesses, self.open = self.world.witnesses, self.world.open
        self.matrix = evaluate(prepared.snapshot)
        self.asked = 0

    def answer(self, source, destination, protocol, port, _number):
        allowed = any(
            self.matrix.verdict(source, destination, protocol, port, family) is Verdict.ALLOWED
            for family in self.prepared.scenario.families
        )
        return TOKEN if allowed else TIMEOUT

    @property
    def sites(self):
        state = self.prepared.snapshot if self.changed else self.prepared.start
        self.world.sites = [
            ProbeSite(end.name, end.addresses, (end.name,), created=self.created)
            for end in state.endpoints
            if end.selectable
        ]
        return self.world.sites

    def try_from_start(self, targets):
        assert not self.changed
        self.targets = targets

    async def change(self, _prepared):
        self.changed = True

    async def open_after_start(self):
        self.asked += 1
        age, until = self.said[min(self.asked, len(self.said)) - 1]
        cells = [cell for of_pod in self.targets.values() for cell in of_pod]
        return {cell: AfterStart(age, 0.03, until if cell == cells[0] else None) for cell in cells}

    def actual(self, prepared):
        return ActualState(prepared.snapshot, prepared.step.before)


def prepared_with(change):
    every = [scenarios.read(name) for name in scenarios.with_truth()]
    prepared = prepare_scenarios([each for each in every if not each.snapshot.admin_policies], "{name}-")
    return next(
        each
        for each in prepared
        if each.step is not None
        and each.step.change is change
        and each.scenario.name != "demo"  # which is large
        and any(is_denied_at_start(each, cell) for cell in each.changed)
    )


def is_denied_at_start(prepared, cell):
    """Whether a pod that was not there before sends what should be denied, to one that was."""
    stay = {end.name for end in prepared.start.endpoints if end.selectable and end in prepared.snapshot.endpoints}
    denied = cell.protocol is Protocol.TCP and prepared.truth[cell] is Verdict.DENIED
    return denied and cell.destination in stay and cell.source not in stay


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    monkeypatch.setattr(following, "ASKING_PAUSE", 0.0)


@pytest.mark.parametrize("change", [ChangeKind.POD_CREATED, ChangeKind.POD_REPLACED])
async def test_what_a_new_pod_could_reach_at_first_departs_though_nobody_else_was_there_to_see_it(change):
    prepared = prepared_with(change)
    testbed = NewPods(prepared, [(0.5, 0.4), (1.8, 1.7), (4.0, 2.9)], created=time.monotonic())
    outcome = await run_scenarios(testbed, [prepared], OPTIONS, NoProgress())
    ((pod, cells),) = testbed.targets.items()
    old = {end.name: end for end in prepared.start.endpoints}
    assert {cell.source for cell in cells} == {pod}
    assert list(cells) == [cell for cell in prepared.changed if is_denied_at_start(prepared, cell)]
    assert all(address in old[cell.destination].addresses for cell, (address, _) in cells.items())
    assert testbed.asked == 3
    assert outcome.open_seconds == {next(iter(cells)): 2.9}
    card = score([prepared], [outcome], [prepared.scenario], subject="x")
    assert [each.feature for each in card.features if each.score is Score.DEPARTS] == ["isolated-start"]
    assert card.behaviour.endswith("; new pods are open for up to 2.9 s")


@pytest.mark.parametrize("said", [[(3.0, None)], [(3.0, 0.9)]])
async def test_what_was_closed_in_time_conforms(said):
    prepared = prepared_with(ChangeKind.POD_CREATED)
    testbed = NewPods(prepared, said, created=time.monotonic())
    outcome = await run_scenarios(testbed, [prepared], OPTIONS, NoProgress())
    assert outcome.open_seconds == {}
    assert score([prepared], [outcome], [prepared.scenario], subject="x").score is Score.CONFORMS


async def test_what_is_open_until_policies_follow_the_address_of_a_new_pod_is_not_open_too_long():
    prepared = prepared_with(ChangeKind.POD_CREATED)
    testbed = NewPods(prepared, [(4.0, 2.9)], created=time.monotonic())
    testbed.followed_addresses = {prepared.scenario.name}
    outcome = await run_scenarios(testbed, [prepared], OPTIONS, NoProgress())
    assert outcome.open_seconds == {}


async def test_what_policies_allow_at_the_addresses_that_pods_got_is_not_open_too_long():
    prepared = prepared_with(ChangeKind.POD_CREATED)
    testbed = NewPods(prepared, [(4.0, 2.9)], created=time.monotonic())
    allowing = replace(prepared.snapshot, policies=())
    testbed.matrix = evaluate(allowing)
    testbed.actual = lambda _: ActualState(allowing, replace(prepared.step.before, policies=()))
    outcome = await run_scenarios(testbed, [prepared], OPTIONS, NoProgress())
    assert outcome.open_seconds == {}
    assert "new pods are open" not in score([prepared], [outcome], [prepared.scenario], subject="x").behaviour


async def test_where_pods_are_not_new_nothing_is_asked_of_them():
    prepared = prepared_with(ChangeKind.POD_CREATED)
    testbed = NewPods(prepared, [(3.0, 2.9)], created=None)
    await run_scenarios(testbed, [prepared], OPTIONS, NoProgress())
    assert (testbed.targets, testbed.asked, testbed.changed) == ({}, 0, True)


async def test_pods_are_replaced_before_others_come_whose_clock_would_run_meanwhile():
    every = [prepared_with(change) for change in (ChangeKind.POD_CREATED, ChangeKind.POD_REPLACED)]
    made = []

    class Recording(NewPods):
        sites = ()

        async def change(self, prepared):
            await asyncio.sleep(0.05 if prepared.step.change is ChangeKind.POD_REPLACED else 0)
            made.append(prepared.step.change)

    await follow_changes(Recording(every[0], [(1.0, None)], None), every, OPTIONS, NoProgress())
    assert made == [ChangeKind.POD_REPLACED, ChangeKind.POD_CREATED]
