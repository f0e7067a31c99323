"""From observations to the sentence: the hypothesis that is chosen, its numbers, ties, and what is left unexplained."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice, permutations
from random import Random

import pytest

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.hypotheses import Concerned, faults
from auditor.diagnosis.leftovers import unwritten_isolation
from auditor.diagnosis.search import _best_split, diagnose, discriminating_cells
from auditor.diagnosis.sentences import advice_for, in_words, nothing_known
from auditor.model.diagnosis import Fault, ScopeKind
from auditor.model.dialect import FAULTLESS, OF_ONE_POD, Dialect, Enforcement
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.policy.evaluator import evaluate
from tests.lab import scenarios
from tests.lab.confusion import observe, run
from tests.lab.naming import FOUND, World, injected, is_named, seen
from tests.marking import some

ROUNDS = 20


@pytest.fixture(scope="module")
def demo():
    return World.of(scenarios.read("demo"))


def told(world, *enforcers, change=lambda result: result):
    results = [change(result) for result in observe(world, Enforcement.parse(enforcers), Random(1))]
    return diagnose(world.snapshot, results, world.previous), results


def flipped(result):
    """A cell that is seen to be what it isn't."""
    allowed = result.observation.verdict is Observed.ALLOWED
    seen = Observation(Observed.DROPPED if allowed else Observed.ALLOWED, "")
    kind = (
        Result.MATCH if allowed != (result.expected is Verdict.ALLOWED) else Result.OUTAGE if allowed else Result.LEAK
    )
    return replace(result, observation=seen, result=kind)


def test_an_enforcer_that_keeps_the_specification_gets_no_diagnosis(demo):
    assert told(demo, "spec")[0] is None
    assert told(demo, "rejects")[0] is None


def test_a_cluster_that_enforces_nothing_is_one_sentence(demo):
    diagnosis, results = told(demo, "enforces-nothing")
    leaks = sum(result.result is Result.LEAK for result in results)
    assert (
        diagnosis.title
        == f"NetworkPolicies are not enforced at all: explains {leaks} of {leaks} leaks, and nothing contradicts it"
    )
    assert "Install a CNI" in diagnosis.advice
    assert diagnosis.unexplained == diagnosis.contradictions == ()


def test_what_a_fault_is_and_what_to_do_about_it_are_two_things():
    faults = [Fault(dialect) for dialect in Dialect if dialect not in FAULTLESS]
    phrases = [in_words((fault,)) for fault in faults]
    assert len(set(phrases)) == len(phrases)
    assert not [phrase for phrase in phrases if ":" in phrase or phrase.endswith(".")]
    assert all(advice_for(fault).endswith(".") for fault in faults)


def test_one_node_is_named_where_the_others_contradict(demo):
    diagnosis, results = told(demo, "ignores-egress@node-2")
    leaks = sum(result.result is Result.LEAK for result in results)
    assert (
        diagnosis.title
        == f"egress is not enforced on node node-2: explains {leaks} of {leaks} leaks, and nothing contradicts it"
    )
    assert diagnosis.advice.startswith("Compare the CNI's agent on node node-2 with that of the other nodes")


def test_leaks_and_outages_are_counted_apart(demo):
    diagnosis, results = told(
        demo, "blocks-self", change=lambda result: flipped(result) if result.cell == LEAK else result
    )
    outages = sum(result.result is Result.OUTAGE for result in results)
    assert diagnosis.title == (
        "in part (1 connection is left unexplained): traffic of a pod to itself is filtered: explains 0 of 1 leak and "
        f"{outages} of {outages} outages, and nothing contradicts it"
    )
    assert diagnosis.unexplained == (LEAK,)


LEAK = next(
    result.cell
    for result in observe(World.of(scenarios.read("demo")), Enforcement(), Random(1))
    if result.expected is Verdict.DENIED and result.cell.source.startswith("host/")
)


def test_what_is_seen_against_a_hypothesis_is_a_contradiction(demo):
    _, results = told(demo, "enforces-nothing")
    leak = next(result for result in results if result.result is Result.LEAK)
    diagnosis = diagnose(demo.snapshot, [flipped(result) if result is leak else result for result in results])
    assert diagnosis.faults[0].dialect is Dialect.ENFORCES_NOTHING
    assert diagnosis.contradictions == (leak.cell,)


def test_faults_at_random_are_left_unexplained(demo):
    dice = Random(7)
    diagnosis, results = told(demo, "spec", change=lambda result: flipped(result) if dice.random() < 0.15 else result)
    differing = sum(result.result is not Result.MATCH for result in results)
    assert differing > 20
    assert len(diagnosis.explained) < differing / 2
    assert len(diagnosis.explained) + len(diagnosis.unexplained) == differing


def leaving_nothing_through(name, direction, but=lambda _: False):
    """What is seen where a policy that is gone keeps all away that the pod sends, or that is sent to it."""

    def change(result):
        cell = result.cell
        own = cell.source if direction is Direction.EGRESS else cell.destination
        inside = cell.source == cell.destination or "node/" in cell.source + cell.destination
        shut = own == name and not inside and not but(cell) and result.expected is Verdict.ALLOWED
        return flipped(result) if shut and result.result is Result.MATCH else result

    return change


@pytest.mark.parametrize(
    ("scenario", "name", "direction", "said"),
    [
        (
            "demo",
            "dev/web",
            Direction.EGRESS,
            "Nothing that dev/web sends gets through, though no policy isolates egress",
        ),
        ("demo", "prod/web-1", Direction.EGRESS, ""),
        (
            "seed-default-allow",
            "",
            Direction.INGRESS,
            "Nothing that is sent to {} gets through, though no policy isolates ingress",
        ),
    ],
)
def test_isolation_that_nobody_has_written_is_told_where_no_policy_isolates_and_nothing_gets_through(
    scenario, name, direction, said
):
    world = World.of(scenarios.read(scenario))
    name = name or world.snapshot.endpoints[0].name
    seen = list(observe(world, Enforcement(), Random(1)))
    results = list(map(leaving_nothing_through(name, direction), seen))
    evidence = Evidence(world.snapshot, results)
    assert evidence.differing
    sentence = unwritten_isolation(evidence)
    assert sentence.startswith(said.format(name))
    assert bool(sentence) is bool(said)
    assert nothing_known(evidence).advice.startswith(sentence)
    one = next(result.cell for result in results if result.result is Result.OUTAGE)
    all_but_one = list(map(leaving_nothing_through(name, direction, lambda cell: cell == one), seen))
    assert not unwritten_isolation(Evidence(world.snapshot, all_but_one))


def test_an_answer_by_a_stranger_is_explained_by_nothing(demo):
    first = demo.cells[0]
    change = lambda result: replace(result, result=Result.MISDELIVERED) if result.cell == first else result  # noqa: E731
    diagnosis, _ = told(demo, "spec", change=change)
    assert diagnosis.title == "no known fault explains 1 connection answered by someone else"
    assert diagnosis.unexplained == (first,)


@pytest.mark.parametrize("result", [Result.INCONCLUSIVE, Result.SKIPPED, Result.UNDEFINED])
def test_what_was_not_observed_takes_no_part(demo, result):
    diagnosis, _ = told(demo, "enforces-nothing", change=lambda cell: replace(cell, result=result))
    assert diagnosis is None


def test_an_enforcer_that_drops_at_random_is_told_from_one_that_denies(demo):
    diagnosis, results = told(demo, "flaky")
    assert any(result.result is Result.UNSTABLE for result in results)
    assert diagnosis.faults[0].dialect is Dialect.FLAKY
    assert diagnosis.unexplained == ()


def test_two_faults_are_found_together(demo):
    diagnosis, _ = told(demo, "ignores-egress@node-1", "ignores-ports@node-2")
    assert {str(fault) for fault in diagnosis.faults} == {"ignores-egress@node node-1", "ignores-ports@node node-2"}
    assert ", and " in diagnosis.title
    assert diagnosis.unexplained == diagnosis.contradictions == ()


def test_policies_as_they_were_are_recognised_where_they_are_known():
    world = World.of(scenarios.read("rule-15-policy-removed"))
    diagnosis, results = told(world, "stale")
    assert Dialect.STALE in {faults[0].dialect for faults in diagnosis.hypotheses}
    unknowing = diagnose(world.snapshot, results)
    assert Dialect.STALE not in {fault.dialect for faults in unknowing.hypotheses for fault in faults}


def still_enforced(world, in_force, enforced):
    """What is said where policies are ``in_force``, others are ``enforced``, and those of ``world`` were before."""
    snapshot = replace(world.snapshot, policies=tuple(in_force))
    matrix, real = evaluate(snapshot), evaluate(replace(snapshot, policies=tuple(enforced)))
    results = [seen(matrix, cell, passed=real.verdict(*cell) is Verdict.ALLOWED) for cell in world.cells]
    return diagnose(snapshot, results, world.snapshot.policies), diagnose(snapshot, results)


def test_a_policy_that_was_deleted_and_is_still_enforced_is_named_where_it_is_known(demo):
    named = 0
    for policy in demo.snapshot.policies:
        others = [each for each in demo.snapshot.policies if each is not policy]
        diagnosis, unknowing = still_enforced(demo, others, demo.snapshot.policies)
        if diagnosis is None:
            continue
        named += 1
        assert diagnosis.faults[0].dialect is Dialect.STALE
        assert diagnosis.contradictions == diagnosis.unexplained == ()
        assert diagnosis.advice.startswith(f"Deleted since: {policy.full_name}. ")
        assert unknowing.faults == () or all(fault.dialect is not Dialect.STALE for fault in unknowing.faults)
    assert named >= 4


def test_of_several_that_were_deleted_the_one_that_is_still_enforced_is_named(demo):
    titles = []
    for kept, other in islice(permutations(demo.snapshot.policies, 2), 0, None, 3):
        others = [each for each in demo.snapshot.policies if each not in (kept, other)]
        diagnosis, _ = still_enforced(demo, others, [*others, kept])
        if diagnosis is not None:
            titles.append(diagnosis.title)
            # Where the other would make no difference, that all of before is enforced says as much.
            found = {str(fault) for faults in diagnosis.hypotheses for fault in faults}
            assert found & {"stale@cluster", f"stale@policy {kept.full_name}"}
            assert diagnosis.contradictions == diagnosis.unexplained == ()
            assert kept.full_name in diagnosis.advice.partition(". Restart")[0]
    assert len(titles) >= 7
    assert any(
        title.startswith("policy prod/web is still enforced as it was before the last change: ") for title in titles
    )


def test_a_policy_that_is_enforced_as_it_was_before_it_changed_is_named(demo):
    old, other = (next(each for each in demo.snapshot.policies if each.name == name) for name in ("db", "web"))
    kept = [each for each in demo.snapshot.policies if each not in (old, other)]
    closed = replace(old, ingress=())
    diagnosis, _ = still_enforced(demo, [*kept, closed], [*kept, old])
    assert f"stale@policy {old.full_name}" in [str(fault) for found in diagnosis.hypotheses for fault in found]
    still, _ = still_enforced(demo, [*kept, closed], [*kept, other, closed])
    assert str(still.faults[0]) == f"stale@policy {other.full_name}"


def test_an_ip_block_that_skips_pods_is_said_to_be_no_fault():
    world = World.of(scenarios.read("rule-09-ip-block-and-pods"))
    diagnosis, _ = told(world, "ip-block-skips-pods")
    assert diagnosis.faults[0].dialect is Dialect.IP_BLOCK_SKIPS_PODS
    assert not diagnosis.faults[0].is_fault
    assert "left to the CNI" in diagnosis.title


@pytest.mark.parametrize("enforcer", ["ignores-namespace-selector", "label-key-only", "ignores-ports", "ignores-udp"])
@pytest.mark.parametrize("seed", some([7, 8, 9], 3))
def test_probes_on_which_ties_part_lead_from_one_cell_to_the_truth(enforcer, seed):
    world = World.random(seed)
    _, results = told(world, enforcer)
    known = [result for result in results if result.result is not Result.MATCH][:1]
    asked = 0
    for _ in range(ROUNDS):
        diagnosis = diagnose(world.snapshot, known, candidates=world.cells)
        cells = set(diagnosis.discriminating)
        if not cells:
            break
        asked += len(cells)
        assert not cells & {result.cell for result in known}
        known += [result for result in results if result.cell in cells]
    assert not cells
    assert asked < len(results) / 4
    assert is_named(injected(Enforcement.parse((enforcer,))), diagnosis, Evidence(world.snapshot, known))


def test_where_no_cell_can_tell_ties_apart_none_is_named(demo):
    diagnosis, _ = told(demo, "enforces-nothing")
    assert [alternative.title for alternative in diagnosis.alternatives] == [
        "policies take effect later than this audit waited"
    ]
    assert discriminating_cells(demo.snapshot, diagnosis.hypotheses, demo.cells) == ()


@pytest.mark.slow
def test_a_sample_of_the_confusion_matrix():
    """All of it: ``python -m tests.lab.confusion``."""
    names = (
        "seed-three-tier",
        "rule-06-end-port",
        "rule-09-except",
        "rule-05-not-in-missing-key",
        "rule-15-policy-changed",
    )
    worlds = [World.of(scenarios.read(name)) for name in names]
    singles, double, false_alarms = run(worlds, 4)
    assert false_alarms == []
    assert [one.title for one in singles if not one.named] == []
    assert len(singles) > 80
    assert len(double) > 10
    assert sum(one.named for one in double) >= 0.9 * len(double)


def test_the_cell_that_parts_most_pairs_of_hypotheses_is_tried_first():
    # Cell 0 is open by one hypothesis of four, cell 1 by two: three pairs and four.
    assert _best_split([[0b11, 0b10, 0b00, 0b00]]) == 1
    assert _best_split([[0b1, 0b1]]) is None


@pytest.mark.parametrize("dialect", sorted(OF_ONE_POD))
def test_a_fault_of_one_pod_is_named_with_the_pod_and_what_to_do_about_it(demo, dialect):
    diagnosis, results = told(demo, f"{dialect}@prod/api")
    kinds = (ScopeKind.POD, ScopeKind.PEER)
    own = [fault for fault in chain(*diagnosis.hypotheses) if fault.scope.kind in kinds]
    assert (dialect, "prod/api") in {(fault.dialect, fault.scope.name) for fault in own}
    assert all(advice_for(fault).endswith("and recreate the pod.") for fault in own)
    assert all("Install a CNI" not in advice_for(fault) for fault in own)
    differing = {result.cell for result in results if result.result in FOUND}
    assert all("prod/api" in (cell.source, cell.destination) for cell in differing)


def test_what_few_pairs_or_one_policy_show_could_be_and_is_not_called_the_cause(demo):
    diagnosis, results = told(demo, "enforces-nothing")
    assert diagnosis.certain
    leaks = [result for result in results if result.result is Result.LEAK]
    pairs = sorted({(result.cell.source, result.cell.destination) for result in leaks})
    kept = set(pairs[:5])
    few = [result for result in leaks if (result.cell.source, result.cell.destination) in kept]
    assert not diagnose(demo.snapshot, few).certain
    one = replace(demo.snapshot, policies=demo.snapshot.policies[:1])
    world = replace(demo, snapshot=one)
    alone = diagnose(one, observe(world, Enforcement.parse(("enforces-nothing",)), Random(1)))
    assert not alone.certain


def test_a_rule_for_the_internet_has_lost_its_except_rather_than_egress_altogether():
    world = World.of(scenarios.read("rule-09-internet-only"))
    diagnosis, _ = told(world, "ignores-except")
    order = [faults[0].dialect for faults in diagnosis.hypotheses]
    assert order.index(Dialect.IGNORES_EXCEPT) < order.index(Dialect.IGNORES_EGRESS)


@pytest.mark.parametrize("seed", range(4))
def test_a_fault_of_a_place_where_nothing_differs_explains_nothing(seed):
    world = World.random(seed, size=300)
    node, policy = world.nodes[0], world.snapshot.policies[0].full_name
    left_out = 0
    for enforcers in ((f"ignores-egress@{node}",), (f"label-key-only@{node}",), (f"enforces-nothing@policy={policy}",)):
        results = observe(world, Enforcement.parse(enforcers), Random(seed))
        evidence = Evidence(world.snapshot, results, world.previous)
        concerned = Concerned(evidence.predictor, evidence.differing)
        for fault in faults(evidence.predictor, stale=True, differing=evidence.differing):
            if not concerned(fault):
                left_out += 1
                assert not evidence.fit((fault,)).explained, fault
    assert left_out > 50


def test_faults_are_tried_only_where_anything_differs(demo, monkeypatch):
    tried = []
    fit = Evidence.fit
    monkeypatch.setattr(Evidence, "fit", lambda self, faults: tried.append(faults) or fit(self, faults))
    world = replace(demo, cells=tuple(cell for cell in demo.cells if cell.source == demo.pods[0]))
    results = observe(
        world, Enforcement.parse([f"ignores-egress@{world.snapshot.endpoint(demo.pods[0]).node}"]), Random(1)
    )
    last = max(number for number, result in enumerate(results) if result.result is not Result.MATCH)
    diagnose(
        world.snapshot, [each for number, each in enumerate(results) if each.result is Result.MATCH or number == last]
    )
    ends = [world.snapshot.endpoint(name) for name in (results[last].cell.source, results[last].cell.destination)]
    nodes = {fault.scope.name for (fault, *_) in tried if fault.scope.kind is ScopeKind.NODE}
    assert nodes
    assert nodes <= {end.node for end in ends}


def test_a_deleted_policy_that_still_isolates_one_pod_is_not_called_a_fault_of_its_node(demo):
    """One policy alone shows: where others are read otherwise, what they allow and deny stays the same."""
    old = NetworkPolicy("dev", "old", LabelSelector((("app", "web"),)), frozenset({Direction.EGRESS}))
    enforced = evaluate(replace(demo.snapshot, policies=(*demo.snapshot.policies, old)))
    matrix = evaluate(demo.snapshot)
    results = [seen(matrix, cell, passed=enforced.verdict(*cell) is Verdict.ALLOWED) for cell in demo.cells]
    diagnosis = diagnose(demo.snapshot, results)
    assert [str(fault) for fault in diagnosis.faults] == ["isolates-both-directions@node node-1"]
    assert not diagnosis.certain


def losing_udp(world, where):
    """What is said where single datagrams get lost in what ``where`` is true of, source and destination given."""
    ends = {end.name: end for end in world.snapshot.endpoints}
    matrix = evaluate(world.snapshot)
    results = []
    for cell in world.cells:
        passed = matrix.verdict(*cell) is Verdict.ALLOWED
        source, destination = ends[cell.source], ends[cell.destination]
        lost = passed and cell.protocol is Protocol.UDP and source is not destination and where(source, destination)
        results.append(seen(matrix, cell, passed=passed, unstable=lost))
    return diagnose(world.snapshot, results)


def on(node, one, other):
    return node in {end.node for end in (one, other) if end.selectable}


@pytest.mark.parametrize(
    ("where", "place"),
    [
        (lambda one, other: True, "cluster"),
        (lambda one, other: on("node-1", one, other), "node node-1"),
        (lambda one, other: {one.node, other.node} == {"node-1", "node-2"}, "path node-1 and node-2"),
        (lambda one, other: "dev/api" in (one.name, other.name), "pod dev/api"),
    ],
)
def test_loss_of_datagrams_is_said_to_be_where_it_is(demo, where, place):
    diagnosis = losing_udp(demo, where)
    assert [str(fault) for fault in diagnosis.faults] == [f"flaky@{place}"], diagnosis
    assert "unexplained" not in diagnosis.title
