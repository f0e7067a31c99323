"""What ``hold()`` finds, and the changes that it shows, on random clusters and intents, judged cell by cell by the
oracle.

Set ``AUDIT_PROPERTY_FACTOR`` to a whole number to try that many times as many.
"""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from auditor.intent import check_intent
from auditor.model.errors import InputError
from auditor.model.intent import IntentKind
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.policy.evaluator import evaluate
from tests.marking import slow
from tests.oracle.evaluator import verdict
from tests.strategies import Shape, random_snapshot
from tests.unit.intent.meaning import Meaning, after_change_of, random_intent, sparse_intent
from tests.unit.intent.outside import with_outsiders
from tests.unit.policy.test_properties import FACTOR, families

SHAPES = (
    Shape(pods=4, policies=3),
    Shape(pods=5, policies=2, namespaces=2, hosts=0, node_endpoints=False),
    Shape(pods=4, policies=5, hosts=2, nodes=1),
    Shape(pods=5, policies=0, hosts=1, node_endpoints=False),
    Shape(pods=4, policies=3, addressless=0.4),
)
KINDS = {"allowed": IntentKind.CLOSED, "denied": IntentKind.OPEN}


def worlds(count, start, intents=random_intent):
    """Clusters with intents: seed, cluster, intent, its meaning, and the findings, None where the intent contradicts
    itself.
    """
    for seed in range(start, start + count * FACTOR):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPES[seed % len(SHAPES)])
        intent = intents(random)
        try:
            findings = check_intent(evaluate(snapshot), intent)
        except InputError:
            findings = None
        yield seed, snapshot, intent, findings


def told(findings, meaning):
    """The cells of ``findings`` at the edges, with rule and kind."""
    cells = {}
    families_of = {
        (source.name, destination.name): families(source, destination) for source, destination in meaning.pairs()
    }
    for finding in findings:
        for group in finding.groups:
            ports = [
                edge
                for edge in meaning.edges
                if any(each.protocol is edge[0] and edge[1] in each for each in group.ports)
            ]
            for pair in product(group.sources, group.destinations):
                for family in families_of.get(pair, ()):
                    for edge in ports if family in (group.families or families_of[pair]) else ():
                        cells.setdefault((*pair, *edge, family), set()).add((finding.rule, finding.kind))
    return cells


def test_every_cell_that_is_not_as_meant_is_told_with_its_rule_and_no_other():
    seen = 0
    for seed, snapshot, intent, findings in worlds(60, 1_000):
        meaning = Meaning(snapshot, intent)
        assert (findings is None) is meaning.contradicts, f"seed {seed}"
        if findings is None:
            continue
        violation = {cell: {(rule, KINDS[rule.verdict])} for cell, rule in meaning.violation(snapshot).items()}
        assert told(findings, meaning) == violation, f"seed {seed}"
        seen += len(violation)
    assert seen > 1_000 * FACTOR


def test_pairs_are_counted_and_examples_are_wrong():
    for seed, snapshot, intent, findings in worlds(30, 2_000):
        meaning = Meaning(snapshot, intent) if findings else None
        for finding in findings or ():
            if finding.example is None:
                continue
            assert finding.pairs == len({cell[:2] for cell in told([finding], meaning)}), f"seed {seed}"
            example = finding.example
            ends = (snapshot.endpoint(example.source), snapshot.endpoint(example.destination))
            assert (
                verdict(snapshot, *ends, example.protocol, example.port, example.family) is not finding.rule.verdict
            ), f"seed {seed}"
            assert finding.because, f"seed {seed}"


def test_the_yaml_of_new_policies_is_read_as_what_was_evaluated():
    seen = 0
    for seed, _, _, findings in worlds(60, 3_000):
        for change in (finding.change for finding in findings or () if finding.change is not None):
            if all(edit.before is None for edit in change.edits):
                read = read_snapshot([Source("change.yaml", change.yaml.encode())]).policies
                assert set(read) == {edit.after for edit in change.edits}, f"seed {seed}: {change.yaml}"
                seen += len(read) > 1
    assert seen > 0


@pytest.mark.parametrize("start", [3_000, *map(slow, (3_015, 4_000, 4_015))])
def test_every_change_that_is_shown_mends_its_finding_and_harms_no_cell(start):
    shown = dict.fromkeys(IntentKind, 0)
    for seed, snapshot, intent, findings in worlds(15, start):
        changed = [finding for finding in findings or () if finding.change is not None]
        if not changed:
            continue
        meaning = Meaning(snapshot, intent)
        before = meaning.violation(snapshot)
        for finding in changed:
            after_change = after_change_of(finding.change, snapshot)
            after = meaning.violation(after_change)
            assert after.keys() <= before.keys(), f"seed {seed}: {finding.change.title}"
            assert not after.keys() & told([finding], meaning).keys(), f"seed {seed}: {finding.change.title}"
            assert finding.change.unspecified == len(meaning.changed(snapshot, after_change)), (
                f"seed {seed}: {finding.change.title}"
            )
            shown[finding.kind] += 1
    assert min(shown[IntentKind.OPEN], shown[IntentKind.CLOSED]) > 2 * FACTOR


@pytest.mark.parametrize(
    ("intents", "start"),
    [
        (random_intent, 5_000),
        (sparse_intent, 5_000),
        *(slow(random_intent, start) for start in (5_010, 6_000, 6_010)),
        slow(sparse_intent, 5_010),
    ],
)
def test_no_change_closes_what_the_intent_does_not_speak_of(intents, start):
    """Those outside the cluster, DNS and pods of other namespaces included, though the input has none of them."""
    shown = kept = 0
    for seed, snapshot, intent, findings in worlds(10, start, intents):
        changes = [finding.change for finding in findings or () if finding.change is not None]
        if not changes:
            continue
        wide = with_outsiders(Random(seed), snapshot)
        meaning = Meaning(wide, intent)
        kept += meaning.is_silent_of_something_open(wide)
        for change in changes:
            closed = meaning.closed(wide, after_change_of(change, wide))
            assert not closed, f"seed {seed}: {change.title} closes {sorted(closed)[:3]}"
            shown += 1
    assert shown > 2 * FACTOR
    assert kept > 0


def test_most_findings_get_a_change():
    findings = [finding for *_, found in worlds(50, 3_000) for finding in found or ()]
    for kind in (IntentKind.OPEN, IntentKind.CLOSED):
        with_a_change = [finding.change is not None for finding in findings if finding.kind is kind]
        assert sum(with_a_change) > 0.8 * len(with_a_change), kind
