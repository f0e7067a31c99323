"""Scenarios on pods of others, with real packets: the pods of a lab get other labels, and other policies."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from auditor.cluster.kubernetes.session.kept_agents import KeptAgents
from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.verdict import Result
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.conformance import reuse
from auditor.run.conformance.cluster_testbed import ClusterTestbed
from auditor.run.conformance.prepared_scenarios import prepare_scenarios
from auditor.run.conformance.reuse import PodsReused
from auditor.run.conformance.scenario_run import merged
from tests.lab import scenarios

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FIRST = ("rule-02-directions-apart", "rule-04-and-or", "rule-05-in-and-exists", "rule-03-empty-sections-and-rules")
LATER = ("rule-06-tcp-and-udp", "seed-policies-add-up", "seed-prod-and-staging", "seed-db-from-api-only")
NODES = ("node-1", "node-2")
HASTY = ProbingOptions(timeout=0.5, settle=1.0)


class LabScratch:
    """What ScratchNamespaces does, in a lab. ``started`` counts agents; ``sticky``: policies that are deleted stay."""

    def __init__(self, lab, snapshot, enforcement, *, sticky=False):
        self._lab, self._now, self._enforcement, self._sticky = lab, snapshot, enforcement, sticky
        self._sites = {site.name: site for site in lab.sites}
        self._agents = KeptAgents()
        self._stands_for = {}
        self._policies = {}
        self.failed, self.started = {}, 0
        self.reached = {
            name: SimpleNamespace(node_addresses=site.neighbour_addresses, watched=frozenset())
            for name, site in self._sites.items()
        }

    async def create_namespaces(self, namespaces):
        list(namespaces)

    async def start_pods(self, pods, _policies, _seconds, _advance):
        return {pod.name: self._now.endpoint(pod.name) for pod in pods}

    async def heard(self, _names):
        return {}

    def let_stand_for(self, pod, endpoint):
        self._stands_for[endpoint], self.reached[endpoint] = pod, self.reached[pod]

    async def open(self, name):
        pod = self._stands_for.get(name, name)
        if (kept := self._agents.lend(pod)) is not None:
            return kept
        self.started += 1
        return self._agents.lent(pod, await self._lab.open(self._sites[pod]))

    async def put_policies(self, before, after):
        gone = {} if self._sticky else {policy.full_name for policy in before}
        kept = {name: policy for name, policy in self._policies.items() if name not in gone}
        self._policies = kept | {policy.full_name: policy for policy in after}
        await self._program()

    async def relabel_pod(self, name, _before, labels):
        ends = tuple(replace(end, labels=labels) if end.name == name else end for end in self._now.endpoints)
        self._now = replace(self._now, endpoints=ends)

    async def relabel_namespace(self, name, _before, labels):
        namespace = self._now.namespaces[name]
        self._now = replace(self._now, namespaces={**self._now.namespaces, name: type(namespace).of(name, labels)})

    async def _program(self):
        await self._lab.program(self._enforcement, tuple(self._policies.values()), labels_of=self._now)

    async def end(self):
        await self._agents.end()


def prepared(names, prefix):
    found = prepare_scenarios([scenarios.read(name) for name in names], prefix)
    return [replace(each, step=None) for each in found]


async def judged(enforcer, *, sticky=False):
    """What is seen of ``LATER`` on the pods of ``FIRST``, what is to be judged anew, and how many agents it took."""
    first, later = prepared(FIRST, "f{number}-"), prepared(LATER, "l{number}-")
    whole = merged([each.snapshot for each in first])
    ends = tuple(
        replace(end, addresses=(ip_address(f"10.9.0.{number}"),), ports=())
        for number, end in enumerate(whole.endpoints, 1)
    )
    snapshot = replace(whole, endpoints=ends, policies=())
    enforcement = Enforcement.parse((enforcer,))
    async with Lab(snapshot, nodes=NODES, enforcement=enforcement) as lab:
        scratch = LabScratch(lab, snapshot, enforcement, sticky=sticky)
        nodes = {each.scenario.name: {node: node for node in each.scenario.nodes} for each in first}
        testbed = ClusterTestbed(scratch, first, nodes, later)
        await testbed.set_up(1.0, lambda _: None)
        reused = PodsReused(testbed, 0.0, HASTY, NoProgress(), lambda _: nullcontext())
        outcomes, again = await reused.judge(later)
        await scratch.end()
    return later, outcomes, again, scratch.started, len(ends)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(reuse, "HANDLED_SECONDS", 0.0)


async def test_scenarios_that_take_over_pods_conform_under_the_specification_with_the_agents_that_are_there():
    later, outcomes, again, started, pods = await judged("spec")
    assert again == []
    results = {each.cell: each.result for outcome in outcomes for each in outcome.results}
    assert results.keys() == {cell for each in later for cell in each.truth}
    assert set(results.values()) <= {Result.MATCH, Result.SKIPPED}
    assert Result.MATCH in results.values()
    assert started <= pods


async def test_a_departure_is_seen_there_and_judged_anew():
    _, outcomes, again, *_ = await judged("ignores-udp")
    assert {each.scenario.name for each in again} >= {"rule-06-tcp-and-udp"}
    leaks = {cell for outcome in outcomes for cell, each in outcome.reused.items() if each.result is Result.LEAK}
    assert leaks
    assert not leaks & {each.cell for outcome in outcomes for each in outcome.results}


async def test_where_policies_that_are_gone_stay_in_force_nobody_is_judged_by_them():
    _, outcomes, again, *_ = await judged("spec", sticky=True)
    assert again
    assert {each.result for outcome in outcomes for each in outcome.results} <= {Result.MATCH, Result.SKIPPED}
