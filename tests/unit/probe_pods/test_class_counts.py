from __future__ import annotations

from random import Random

import pytest

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.snapshot import Snapshot
from auditor.policy.evaluator import evaluate
from auditor.probe_pods.class_counts import ClassCounts, Culprit, Tally
from tests.oracle.clusters import ALL, EVERYTHING, cluster, pod, pods, policy, rule
from tests.strategies import Shape, random_snapshot

INDEX = "apps.kubernetes.io/pod-index"
MOST = 10_000


def computed(snapshot: Snapshot) -> int:
    """The number of classes of pods on the pod network, from the whole matrix."""
    matrix = evaluate(snapshot)
    return len({matrix.class_of(endpoint.name) for endpoint in snapshot.endpoints if endpoint.selectable})


def count(snapshot: Snapshot, most: int = MOST) -> ClassCounts:
    return ClassCounts(snapshot, snapshot.endpoints, most)


@pytest.mark.parametrize("seed", range(60))
def test_the_number_is_that_of_the_matrix(seed: int) -> None:
    snapshot = random_snapshot(Random(seed), Shape(pods=14, policies=seed % 12, namespaces=3, addressless=0.2))
    assert count(snapshot).tally == Tally(computed(snapshot))


def by_index(*subsets: int) -> list[object]:
    """A rule for each of ``subsets``: those of the numbers below 10 whose bit is set, in any namespace."""
    chosen = [tuple(str(number) for number in range(10) if subset >> number & 1) for subset in subsets]
    return [rule(pods(LabelSelector((), (Requirement(INDEX, Operator.IN, values),)), ALL)) for values in chosen]


def busy(*policies: object) -> Snapshot:
    """Ten replicas of each of six apps in six namespaces, one of which is a tenant's."""
    names = ("evil", "one", "two", "three", "four", "five")
    replicas = [
        pod(f"{name}/app-{number}", {"app": name, INDEX: str(number)}, f"10.{place}.0.{number + 1}")
        for place, name in enumerate(names)
        for number in range(10)
    ]
    own = [policy(f"{name}/app", {"app": name}, ingress=[EVERYTHING]) for name in names[1:]]
    return cluster(*replicas, policies=[*own, *policies])


def test_a_policy_that_tells_the_pods_of_everybody_apart_is_named() -> None:
    split = policy(
        "evil/split", {"app": "evil"}, ingress=by_index(0b0101010101, 0b0011001100, 0b1111110000, 0b0000001111)
    )
    counts = count(busy(split))
    assert counts.tally.number == computed(busy(split)) > 30
    assert counts.namespaces == 6
    assert counts.culprit() == Culprit("evil", "split", (INDEX, "app"), Tally(computed(busy())))


def test_many_policies_that_do_so_together_are_named_by_their_namespace() -> None:
    many = [policy(f"evil/split-{number}", {"app": "evil"}, ingress=by_index(1 << number)) for number in range(10)]
    counts = count(busy(*many))
    assert counts.tally.number == computed(busy(*many))
    found = counts.culprit()
    assert found is not None
    assert (found.namespace, found.policy, found.without) == ("evil", "", Tally(computed(busy())))


def test_two_policies_that_say_the_same_do_not_hide_each_other() -> None:
    rules = by_index(0b0101010101, 0b0011001100, 0b1111110000)
    twins = [policy(f"evil/{name}", {"app": "evil"}, ingress=rules) for name in ("split", "again")]
    found = count(busy(*twins)).culprit()
    assert found is not None
    assert (found.namespace, found.policy, found.without) == ("evil", "", Tally(computed(busy())))


def test_where_every_namespace_makes_its_own_share_nobody_is_blamed() -> None:
    names = [f"n{number}" for number in range(40)]
    snapshot = cluster(
        *(pod(f"{name}/{app}", {"app": app}) for name in names for app in ("web", "db")),
        policies=[
            policy(f"{name}/{app}", {"app": app}, ingress=[EVERYTHING]) for name in names for app in ("web", "db")
        ],
    )
    counts = count(snapshot)
    assert (counts.tally, counts.namespaces) == (Tally(80), 40)
    assert counts.culprit() is None


def test_it_is_not_counted_further_than_anybody_wants_to_know() -> None:
    split = policy("evil/split", {"app": "evil"}, ingress=by_index(*(1 << number for number in range(10))))
    counts = count(busy(split), most=20)
    assert counts.tally == Tally(20, more=True)
    assert str(counts.tally) == "more than 20"
    found = counts.culprit()
    assert found is not None
    assert (found.policy, found.without) == ("split", Tally(computed(busy())))


def test_only_what_is_asked_for_is_counted() -> None:
    split = policy("evil/split", {"app": "evil"}, ingress=by_index(*(1 << number for number in range(10))))
    snapshot = busy(split)
    one = [endpoint for endpoint in snapshot.endpoints if endpoint.namespace == "one"]
    assert ClassCounts(snapshot, one, MOST).tally == Tally(10)
    assert ClassCounts(snapshot, one, MOST).namespaces == 1
