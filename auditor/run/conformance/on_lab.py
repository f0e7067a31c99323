"""Conformance on the embedded lab: one lab for each scenario, several at a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.cluster.lab.lab import Lab
from auditor.loop.apart import apart
from auditor.model.dialect import Enforcement
from auditor.model.errors import UsageError
from auditor.model.scenario import Scenario
from auditor.model.scorecard import Change, Scorecard
from auditor.probing.options import NoProgress, ProbingOptions, Progress
from auditor.probing.sites import AgentChannel, Seat, Witnesses
from auditor.run.conformance.course import Outcome, run_course
from auditor.run.conformance.prepared_scenarios import Trial, make_trials
from auditor.run.conformance.scoring import score
from auditor.run.conformance.testbed import Footing

LABS_PER_PROCESSOR = 3
"""A lab mostly waits for silence to last."""
PREFIX = "{name}."


@dataclass(frozen=True, slots=True)
class LabConformanceOptions:
    """Which enforcers, what they are in words, and how patient probing is."""

    enforcement: Enforcement = field(default_factory=Enforcement)
    subject: str = "spec"
    probing: ProbingOptions = field(default_factory=ProbingOptions)


class LabGround:
    """One trial on a lab of its own."""

    def __init__(self, lab: Lab, enforcement: Enforcement) -> None:
        self._lab = lab
        self._enforcement = enforcement

    @property
    def seats(self) -> Sequence[Seat]:
        return self._lab.seats

    @property
    def absent(self) -> Mapping[str, str]:
        return self._lab.absent

    @property
    def failed(self) -> Mapping[str, str]:
        return self._lab.failed

    @property
    def facts(self) -> Sequence[str]:
        return self._lab.facts

    @property
    def witnesses(self) -> Witnesses:
        return self._lab.witnesses

    async def open(self, seat: Seat) -> AgentChannel:
        return await self._lab.open(seat)

    async def change(self, trial: Trial) -> None:
        policies = trial.snapshot.policies if trial.previous_policies is not None else None
        await self._lab.program(self._enforcement, policies, labels_of=trial.snapshot)

    @staticmethod
    def footing(trial: Trial) -> Footing:
        return Footing(trial.snapshot, None if trial.step is None else trial.step.before)


async def conform_on_lab(scenarios: Sequence[Scenario], options: LabConformanceOptions, progress: Progress) -> Scorecard:
    """Run ``scenarios`` on the lab and score the enforcers. Raises UsageError for an enforcer on a node that no scenario has."""
    began = time.monotonic()
    trials = await apart(make_trials, scenarios, PREFIX)
    _check_nodes(trials, options.enforcement)
    progress.phase("scenarios", len(trials))
    gate = asyncio.Semaphore(LABS_PER_PROCESSOR * (os.cpu_count() or 1))

    async def run(trial: Trial) -> Outcome:
        async with gate:
            outcome = await _run(trial, options)
        progress.advance(1)
        return outcome

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(trial)) for trial in trials]
    probed = time.monotonic()
    outcomes = [task.result() for task in running]
    scored = await apart(score, trials, outcomes, scenarios, subject=f"{options.subject} on the lab")
    return replace(scored, seconds={"scenarios": probed - began, "scoring": time.monotonic() - probed})


async def _run(trial: Trial, options: LabConformanceOptions) -> Outcome:
    enforcement = _there(options.enforcement, trial)
    lab = Lab(replace(trial.snapshot, policies=trial.start.policies), nodes=trial.scenario.nodes, enforcement=enforcement)
    async with lab:
        if trial.step is not None and trial.step.change is not Change.POLICIES_CHANGED:
            await lab.program(enforcement, labels_of=trial.start)
        return await run_course(LabGround(lab, enforcement), [trial], options.probing, NoProgress())


def _there(enforcement: Enforcement, trial: Trial) -> Enforcement:
    """``enforcement`` on those nodes that the trial has."""
    return replace(enforcement, on_node={node: each for node, each in enforcement.on_node.items() if node in trial.scenario.nodes})


def _check_nodes(trials: Sequence[Trial], enforcement: Enforcement) -> None:
    known = sorted({node for trial in trials for node in trial.scenario.nodes})
    for node in enforcement.on_node:
        if node not in known:
            raise UsageError(f"--enforcer: no scenario has a node {node!r}: one of {', '.join(known)}")
