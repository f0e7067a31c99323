"""What findings claim about verdicts is held against the expected matrix, on random clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from auditor.lint import lint
from auditor.model.lint import LintFinding
from auditor.model.policy import Direction, NetworkPolicy, Rule
from auditor.model.snapshot import Snapshot
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import governed
from tests.strategies import Shape, boundaries_in_policies, random_snapshot

SHAPES = (
    Shape(pods=2, policies=5, namespaces=1),
    Shape(pods=3, policies=8, hosts=0, node_endpoints=False),
    Shape(pods=4, policies=6, hosts=2, namespaces=2),
)
SEEDS = 30


def verdicts(snapshot: Snapshot, edges: set[tuple]) -> dict[tuple, object]:
    matrix = evaluate(snapshot)
    return {
        (source.name, destination.name, *edge): matrix.verdict(source.name, destination.name, *edge)
        for source in snapshot.endpoints
        for destination in snapshot.endpoints
        if governed(source, destination)
        for edge in edges
    }


def findings(*checks: str) -> Iterator[tuple[int, Snapshot, list[LintFinding]]]:
    """Random clusters in which one of ``checks`` fires, with these findings."""
    for seed in range(SEEDS):
        snapshot = random_snapshot(Random(seed), SHAPES[seed % len(SHAPES)])
        told = [finding for finding in lint(snapshot) if finding.check in checks]
        if told:
            yield seed, snapshot, told


def position(path: str, number: int = 0) -> tuple[Direction, int, int | None]:
    """The rule that ``spec.ingress[1].from[0]`` stands for, and the peer."""
    parts = path.split(".")
    section, _, rule = parts[1].partition("[")
    peer = int(parts[2].partition("[")[2][:-1]) if len(parts) > 2 else None
    return Direction(section.capitalize()), int(rule[:-1]), peer


def without(snapshot: Snapshot, told: list[LintFinding]) -> Snapshot:
    """``snapshot`` without the rules and peers that ``told`` are about."""
    gone = {(finding.place.subject, *position(finding.place.path)) for finding in told}
    return replace(snapshot, policies=tuple(_stripped(policy, gone) for policy in snapshot.policies))


def _stripped(policy: NetworkPolicy, gone: set[tuple]) -> NetworkPolicy:
    sections = {
        direction: tuple(
            kept
            for number, rule in enumerate(rules)
            if (policy.full_name, direction, number, None) not in gone
            and (
                kept := _without_peers(rule, lambda peer, at=(direction, number): (policy.full_name, *at, peer) in gone)
            )
            is not None
        )
        for direction, rules in ((Direction.INGRESS, policy.ingress), (Direction.EGRESS, policy.egress))
    }
    return replace(policy, ingress=sections[Direction.INGRESS], egress=sections[Direction.EGRESS])


def _without_peers(rule: Rule, is_gone: Callable[[int], bool]) -> Rule | None:
    """``rule`` without some peers; None without any that is left, since a rule without peers means everyone."""
    left = tuple(peer for number, peer in enumerate(rule.peers) if not is_gone(number))
    return None if rule.peers and not left else replace(rule, peers=left)


@pytest.mark.parametrize(
    "check", ["shadowed-rule", "redundant-peer", "namespace-label-missing", "peer-matches-nothing", "half-open-path"]
)
def test_removing_all_that_is_told_changes_no_verdict(check):
    tried = 0
    for seed, snapshot, told in findings(check):
        edges = boundaries_in_policies(snapshot)
        assert verdicts(without(snapshot, told), edges) == verdicts(snapshot, edges), f"seed {seed}"
        tried += 1
    assert tried > 2


def test_policies_that_select_no_pod_change_no_verdict():
    tried = 0
    for seed, snapshot, told in findings("selects-no-pod"):
        edges = boundaries_in_policies(snapshot)
        gone = {finding.place.subject for finding in told}
        left = replace(snapshot, policies=tuple(policy for policy in snapshot.policies if policy.full_name not in gone))
        assert verdicts(left, edges) == verdicts(snapshot, edges), f"seed {seed}"
        tried += 1
    assert tried > 2


def test_rules_that_an_allow_all_undoes_change_no_verdict():
    tried = 0
    for seed, snapshot, told in findings("allow-all-undoes-others"):
        edges = boundaries_in_policies(snapshot)
        kept = {(finding.place.subject, *position(finding.place.path)[:2]) for finding in told}
        undone = [
            replace(
                finding,
                place=replace(finding.place, subject=policy.full_name, path=f"spec.{direction.lower()}[{number}]"),
            )
            for finding in told
            for policy in snapshot.policies
            for direction in policy.directions
            for number in range(len(policy.rules(direction)))
            if f"{policy.full_name} {direction.lower()}[{number}]" in finding.message
            and (policy.full_name, direction, number) not in kept
        ]
        assert undone, f"seed {seed}"
        assert verdicts(without(snapshot, undone), edges) == verdicts(snapshot, edges), f"seed {seed}"
        tried += 1
    assert tried > 2
