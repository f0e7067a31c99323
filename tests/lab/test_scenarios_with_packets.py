"""Every scenario on the lab: what the packets say is what its truth table and the evaluator say."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from auditor.cli.exit_codes import of_report
from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect, Enforcement, Enforcer
from auditor.model.verdict import Conclusion, Observed, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.report.conclusion import conclude
from auditor.report.headline import headline
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab import scenarios
from tests.lab.auditing import HASTY, NEVER, PATIENCE, PATIENT, SLOW_START, audit_under, was_disturbed
from tests.marking import slow, some

pytestmark = pytest.mark.lab

SHOWN_BY = {
    Dialect.IGNORES_EXCEPT: "rule-09-ip-block-and-pods",
    Dialect.IP_BLOCK_SKIPS_PODS: "rule-09-ip-block-and-pods",
    Dialect.IGNORES_IPV6: "seed-self-and-own-node",
    Dialect.BLOCKS_OWN_NODE: "rule-10-other-node",
    Dialect.STALE: "rule-15-policy-removed",
    Dialect.PEERS_OR_INSTEAD_OF_AND: "seed-namespace-and-pod-selector",
    Dialect.NOT_IN_NEEDS_KEY: "rule-05-not-in-missing-key",
    Dialect.IGNORES_END_PORT: "rule-06-end-port",
    Dialect.NAMES_OF_ANY_POD: "rule-07-named-port-egress",
    Dialect.IGNORES_ADMIN: "rule-16-first-match",
    Dialect.IGNORES_BASELINE: "rule-16-tiers-in-order",
    Dialect.PASS_IS_ACCEPT: "rule-16-tiers-in-order",
    Dialect.PASS_IS_DENY: "rule-16-first-match",
    Dialect.IGNORES_DENY: "rule-16-first-match",
    Dialect.PRIORITIES_REVERSED: "rule-16-first-match",
    Dialect.FIRST_RULE_ONLY: "rule-16-first-match",
    Dialect.NETWORK_POLICY_FIRST: "rule-16-tiers-in-order",
    Dialect.BASELINE_ALWAYS: "rule-16-tiers-in-order",
    Dialect.IGNORES_NETWORKS: "rule-16-networks-and-nodes",
    Dialect.RANGE_FIRST_PORT: "rule-16-first-match",
}
"""A scenario in which each dialect changes some cell; the demo shows the others."""
SHOWN_SOONER_BY = {
    Dialect.ENFORCES_NOTHING: "seed-default-deny-then-allow",
    Dialect.IGNORES_EGRESS: "seed-three-tier",
    Dialect.IGNORES_INGRESS: "seed-default-deny-then-allow",
    Dialect.IGNORES_UDP: "seed-default-deny-then-allow",
    Dialect.IGNORES_PORTS: "rule-07-named-port-ingress",
    Dialect.IGNORES_PROTOCOL: "rule-06-end-port",
    Dialect.IGNORES_NAMED_PORTS: "rule-07-named-port-ingress",
    Dialect.IGNORES_NAMESPACE_SELECTOR: "rule-04-and-or",
    Dialect.OWN_NAMESPACE_ONLY: "rule-04-and-or",
    Dialect.POD_SELECTOR_ANY_NAMESPACE: "seed-pod-selector-own-namespace",
    Dialect.LABEL_KEY_ONLY: "rule-03-empty-sections-and-rules",
    Dialect.FIRST_POLICY_ONLY: "seed-default-deny-then-allow",
    Dialect.ISOLATES_BOTH_DIRECTIONS: "rule-13-dual-stack",
    Dialect.BLOCKS_SELF: "seed-default-deny-then-allow",
    Dialect.STATELESS: "rule-06-end-port",
    Dialect.SHUTS_PODS: "seed-extra-dash-any-namespace",
    Dialect.KNOWS_NO_PODS: "rule-05-in-and-exists",
}
"""A scenario with fewer cells than the demo, for dialects that the demo shows as well."""


# ``make lab-matrix`` tries all of them, on the ports that an audit chooses.
@pytest.mark.parametrize("name", some(scenarios.with_truth(), 6))
async def test_packets_agree_with_the_truth_table(name):
    scenario = scenarios.read(name)
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        for patience in PATIENCE:
            probing = replace(HASTY, timeout=HASTY.timeout * patience)
            table = await audit(lab, name, AuditOptions(ports=scenario.ports, probing=probing), NoProgress())
            if not was_disturbed(table):
                break
    observed = {result.cell: result.observation.verdict for result in table.cells}
    assert set(observed) == set(scenario.truth)
    wrong = {
        str(cell): (truth, observed[cell])
        for cell, truth in scenario.truth.items()
        if (observed[cell] is Observed.ALLOWED) != (truth is Verdict.ALLOWED)
    }
    assert wrong == {}
    assert conclude(table) is Conclusion.PASS


async def test_a_scenario_is_inconclusive_where_the_only_pod_of_a_policy_takes_no_part():
    scenario = scenarios.read("seed-namespace-and-pod-selector")
    [policy] = scenario.snapshot.policies
    left_out = {end.name: "left out" for end in scenario.snapshot.endpoints if _is_selected(policy, end)}
    accepting = AuditOptions(probing=HASTY, accept_untested=frozenset({policy.full_name}))
    async with WithoutSome(scenario.snapshot, nodes=scenario.nodes) as lab:
        whole = await audit(lab, "whole", AuditOptions(probing=HASTY), NoProgress())
        lab.absent = left_out
        lacking = await audit(lab, "lacking", AuditOptions(probing=HASTY), NoProgress())
        accepted = await audit(lab, "accepted", accepting, NoProgress())
    assert [of_report(report) for report in (whole, lacking, accepted)] == [0, 3, 0]
    told = (
        f"nothing shows whether 1 of 1 policy is enforced: {policy.full_name} (ingress): none of its pods was probed: "
    )
    assert headline(lacking).startswith(told)
    assert headline(accepted).endswith(f"1 policy accepted as untested: {policy.full_name}")


class WithoutSome(Lab):
    """A lab in which the endpoints in ``absent`` take no part."""

    absent: ClassVar[dict[str, str]] = {}

    @property
    def sites(self):
        return [site for site in super().sites if self.absent.keys().isdisjoint(site.endpoints)]


def _is_selected(policy, end):
    return end.selectable and end.namespace == policy.namespace and policy.pod_selector.matches(end.labels)


SOME_OF_TIERS = {Dialect.IGNORES_ADMIN, Dialect.PASS_IS_DENY}


def dialects_with_scenarios():
    """Every dialect with a scenario that shows it; those about tiers mostly in ``make test-slow``, and most of the
    others.
    """
    for number, dialect in enumerate(Dialect):
        if dialect in SHOWN_SOONER_BY:
            yield (slow if number % 4 else pytest.param)(dialect, SHOWN_SOONER_BY[dialect])
        elif dialect in OF_TIERS - SOME_OF_TIERS:
            yield slow(dialect, SHOWN_BY[dialect])
        elif dialect is not Dialect.SLOW:
            yield (slow if number % 3 else pytest.param)(dialect, SHOWN_BY.get(dialect, "demo"))


@pytest.mark.parametrize(("dialect", "name"), list(dialects_with_scenarios()))
async def test_every_dialect_is_found_exactly_where_its_definition_says(dialect, name):
    scenario = scenarios.read(name)
    enforcer = Enforcer(dialect, 0.4 if dialect is Dialect.FLAKY else 0.0)
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        judgement = await audit_under(lab, Enforcement(enforcer), scenario.previous_policies)
    assert judgement.wrong == ()
    assert bool(judgement.found) == (dialect not in FAULTLESS - {Dialect.IP_BLOCK_SKIPS_PODS})
    faults = judgement.report.summary.faults
    assert bool(faults) == (dialect not in FAULTLESS)


@pytest.mark.parametrize(
    "dialect",
    [
        *map(slow, (Dialect.ENFORCES_NOTHING, Dialect.STATELESS, Dialect.ISOLATES_BOTH_DIRECTIONS)),
        Dialect.IGNORES_EGRESS,
    ],
)
async def test_a_dialect_on_one_node_is_found_there_and_nowhere_else(dialect):
    scenario = scenarios.read("demo")
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        judgement = await audit_under(lab, Enforcement(on_node={"node-2": Enforcer(dialect)}))
    assert judgement.wrong == ()
    assert judgement.found
    nodes = {
        scenario.snapshot.endpoint(name).node
        for finding in judgement.report.findings
        for cell in finding.cells
        for name in cell.cell[:2]
    }
    assert "node-2" in nodes


async def test_a_slow_enforcer_is_waited_for():
    scenario = scenarios.read("demo")
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        for late in (SLOW_START, 5 * SLOW_START, 25 * SLOW_START):
            patient = replace(PATIENT, settle=late + PATIENT.settle)
            judgement = await audit_under(lab, Enforcement(Enforcer(Dialect.SLOW, late)), options=patient)
            assert judgement.wrong == ()
            assert judgement.found == 0
            facts = judgement.report.facts
            if told := any("converge" in fact or "late" in fact or "took" in fact for fact in facts):
                break  # else the machine was too busy to try anything before the enforcer was there
    assert told, facts


@pytest.mark.slow
async def test_an_enforcer_slower_than_the_settle_time_is_found():
    scenario = scenarios.read("demo")
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        judgement = await audit_under(lab, Enforcement(Enforcer(Dialect.SLOW, NEVER)))
    assert judgement.wrong == ()
    assert judgement.found


@pytest.mark.slow
async def test_without_retests_flaky_drops_would_be_called_outages():
    """The check on the check: what the retests are for."""
    scenario = scenarios.read("demo")
    async with Lab(scenario.snapshot, nodes=scenario.nodes) as lab:
        for timeout in (0.3, 1.0, 3.0):  # agents that have no turn for that long say nothing
            once = ProbingOptions(timeout=timeout, retests=0, settle=0.0)
            judgement = await audit_under(lab, Enforcement(Enforcer(Dialect.FLAKY, 0.4)), options=once)
            if judgement.found:
                break
    assert judgement.found
