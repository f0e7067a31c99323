"""Conformance on the embedded lab: one lab for each scenario, several at a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.cluster.lab.lab import Lab
from auditor.loop.apart import apart
from auditor.model.addresses import IPAddress
from auditor.model.dialect import Enforcement
from auditor.model.errors import UsageError
from auditor.model.probe_pod import AfterStart
from auditor.model.scenario import Scenario
from auditor.model.scorecard import ChangeKind, Scorecard
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Service
from auditor.model.verdict import Cell
from auditor.probing.options import NoProgress, ProbingOptions, ProbingProgress
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses
from auditor.run.conformance.confining import prepare_confined
from auditor.run.conformance.prepared_scenarios import (
    PreparedScenario,
    apart_by_tiers,
    prepare_scenarios,
)
from auditor.run.conformance.scenario_run import ScenarioOutcome, run_scenarios
from auditor.run.conformance.scoring import score
from auditor.run.conformance.services_tried import NOTHING_TO_TRY, SKIPPED, tells_of_services, tried_through_services
from auditor.run.conformance.testbed import ActualState
from auditor.run.service_plan import node_endpoints

LABS_PER_PROCESSOR = 3
"""A lab mostly waits for silence to last."""
PREFIX = "{name}."
RUN = "lab"
"""What stands for a run's id in labels, which keep policies of administrators apart when all are scored together."""


@dataclass(frozen=True, slots=True)
class LabConformanceOptions:
    """Which enforcers, what they are in words, and how patient probing is."""

    enforcement: Enforcement = field(default_factory=Enforcement)
    subject: str = "spec"
    probing: ProbingOptions = field(default_factory=ProbingOptions)


class LabTestbed:
    """One scenario on a lab of its own."""

    def __init__(self, lab: Lab, enforcement: Enforcement) -> None:
        self._lab = lab
        self._enforcement = enforcement

    @property
    def sites(self) -> Sequence[ProbeSite]:
        return self._lab.sites

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

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        return self._lab.inner_addresses

    @property
    def refused(self) -> Sequence[str]:
        """Nothing is."""
        return ()

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]:
        return await self._lab.expose(wanted)

    async def open(self, site: ProbeSite) -> AgentChannel:
        return await self._lab.open(site)

    async def change(self, prepared: PreparedScenario) -> None:
        policies = prepared.snapshot.policies if prepared.previous_policies is not None else None
        await self._lab.program(self._enforcement, policies, labels_of=prepared.snapshot)

    def try_from_start(self, targets: Mapping[str, Mapping[Cell, tuple[IPAddress, int]]]) -> None:
        """Nothing: a pod of the lab is there all the time, and only its rules come later."""

    async def open_after_start(self) -> Mapping[Cell, AfterStart]:
        return {}

    @property
    def followed_addresses(self) -> Collection[str]:
        return ()

    @staticmethod
    def actual(prepared: PreparedScenario) -> ActualState:
        return ActualState(prepared.snapshot, None if prepared.step is None else prepared.step.before)


async def conform_on_lab(
    scenarios: Sequence[Scenario], options: LabConformanceOptions, progress: ProbingProgress
) -> Scorecard:
    """Run ``scenarios`` on the lab and score the enforcers. Raises UsageError for an enforcer on a node that no
    scenario has.
    """
    began = time.monotonic()
    plain, tiered = apart_by_tiers(scenarios)
    prepared_scenarios = await apart(prepare_scenarios, plain, PREFIX)
    through = tells_of_services(prepared_scenarios)
    prepared_scenarios += prepare_confined(tiered, PREFIX, RUN, len(prepared_scenarios))
    _check_nodes(prepared_scenarios, options.enforcement)
    progress.phase("scenarios", len(prepared_scenarios))
    gate = asyncio.Semaphore(LABS_PER_PROCESSOR * (os.cpu_count() or 1))

    async def run(prepared: PreparedScenario) -> ScenarioOutcome:
        async with gate:
            outcome = await _run(prepared, options, through_services=prepared.scenario.name in through)
        progress.advance(1)
        return outcome

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(prepared)) for prepared in prepared_scenarios]
    probed = time.monotonic()
    without = () if through else (SKIPPED.format(NOTHING_TO_TRY),)
    outcomes = [task.result() for task in running]
    scored = await apart(score, prepared_scenarios, outcomes, scenarios, subject=f"{options.subject} on the lab")
    seconds = {"scenarios": probed - began, "scoring": time.monotonic() - probed}
    return replace(scored, seconds=seconds, facts=tuple(dict.fromkeys((*without, *scored.facts))))


async def _run(
    prepared: PreparedScenario, options: LabConformanceOptions, *, through_services: bool
) -> ScenarioOutcome:
    enforcement = _there(options.enforcement, prepared)
    lab = Lab(
        replace(prepared.snapshot, policies=prepared.start.policies),
        nodes=prepared.scenario.nodes,
        enforcement=enforcement,
    )
    async with lab:
        if prepared.step is not None and prepared.step.change is not ChangeKind.POLICIES_CHANGED:
            await lab.program(enforcement, labels_of=prepared.start)
        testbed = LabTestbed(lab, enforcement)
        outcome = await run_scenarios(testbed, [prepared], options.probing, NoProgress())
        if not through_services:
            return outcome
        nodes = node_endpoints(lab.snapshot.endpoints, (*lab.sites, *lab.witnesses.sites))
        return await tried_through_services(testbed, nodes, outcome, options.probing, NoProgress())


def _there(enforcement: Enforcement, prepared: PreparedScenario) -> Enforcement:
    """``enforcement`` on those nodes that the scenario has."""
    return replace(
        enforcement,
        on_node={node: each for node, each in enforcement.on_node.items() if node in prepared.scenario.nodes},
        on_path={node: each for node, each in enforcement.on_path.items() if node in ("", *prepared.scenario.nodes)},
    )


def _check_nodes(prepared_scenarios: Sequence[PreparedScenario], enforcement: Enforcement) -> None:
    known = sorted({node for prepared in prepared_scenarios for node in prepared.scenario.nodes})
    for node in sorted(enforcement.nodes):
        if node not in known:
            raise UsageError(f"--enforcer: no scenario has a node {node!r}: one of {', '.join(known)}")
