"""What depends on labels that are not in the input is in doubt, and nothing else: held against every labelling."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, NetworkPolicy, Peer, Rule
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.model.verdict import Cell, Note
from auditor.policy.doubt import extremes
from auditor.policy.evaluator import evaluate
from auditor.policy.unknown_labels import label_extremes
from tests.marking import slow
from tests.unit.parsing.reading import read

VALUES = ("x", "z", None)
NAMES = ("known", "dim", "dark")


def selector(rng: random.Random) -> LabelSelector:
    key = rng.choice(["a", "b", "kubernetes.io/metadata.name"])
    values = tuple(sorted(rng.sample([*NAMES, "x", "z"], rng.randint(1, 2))))
    operator = rng.choice(list(Operator))
    has_values = operator in (Operator.IN, Operator.NOT_IN)
    condition = Requirement(key, operator, values if has_values else ())
    return rng.choice([LabelSelector(), LabelSelector((("a", "x"),)), LabelSelector((), (condition,))])


def peer(rng: random.Random) -> Peer:
    pods, namespaces = selector(rng), selector(rng)
    return rng.choice([Peer(pods), Peer(None, namespaces), Peer(pods, namespaces)])


def policy(rng: random.Random, number: int) -> NetworkPolicy:
    def rules() -> tuple[Rule, ...]:
        return tuple(Rule(tuple(peer(rng) for _ in range(rng.randint(0, 2)))) for _ in range(rng.randint(0, 2)))

    directions = frozenset(rng.sample(list(Direction), rng.randint(1, 2)))
    return NetworkPolicy(rng.choice(NAMES), f"p{number}", selector(rng), directions, rules(), rules())


def cluster(seed: int) -> Snapshot:
    rng = random.Random(seed)
    namespaces = {
        "known": Namespace.of("known", {"a": "x"}),
        "dim": Namespace.of("dim", known=False),
        "dark": Namespace.of("dark"),
    }
    pods = [
        Endpoint("known/p", EndpointKind.POD, "known", {"a": "x"}),
        Endpoint("known/q", EndpointKind.POD, "known", {"b": "z"}, unknown_labels=frozenset({"a"})),
        Endpoint("dim/p", EndpointKind.POD, "dim", {"a": "z"}),
        Endpoint("dark/p", EndpointKind.POD, "dark"),
    ]
    return Snapshot(namespaces, tuple(pods), tuple(policy(rng, number) for number in range(rng.randint(1, 4))))


def labellings(snapshot: Snapshot) -> list[Snapshot]:
    """The snapshot with every choice of what is not known."""
    found = []
    for of_a, of_b, of_pod in product(VALUES, VALUES, VALUES):
        labels = {key: value for key, value in (("a", of_a), ("b", of_b)) if value}
        pods = tuple(
            replace(pod, labels={**pod.labels, **({"a": of_pod} if of_pod else {})}, unknown_labels=frozenset())
            if pod.unknown_labels
            else pod
            for pod in snapshot.endpoints
        )
        namespaces = {**snapshot.namespaces, "dim": Namespace.of("dim", labels)}
        found.append(replace(snapshot, namespaces=namespaces, endpoints=pods))
    return found


def cells(snapshot: Snapshot) -> list[Cell]:
    names = [endpoint.name for endpoint in snapshot.endpoints]
    return [Cell(source, destination, Protocol.TCP, 80, 4) for source, destination in product(names, names)]  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [*range(0, 100, 50), *map(slow, range(100, 400, 50))])
def test_whatever_differs_between_two_labellings_is_in_doubt(first: int) -> None:
    doubtful = 0
    for seed in range(first, first + 50):
        snapshot = cluster(seed)
        matrix = evaluate(snapshot)
        matrices = [evaluate(each) for each in labellings(snapshot)]
        least, most = (evaluate(each.snapshot) for each in extremes(snapshot, ()))
        for cell in cells(snapshot):
            verdicts = {each.verdict(*cell) for each in matrices}
            noted = Note.LABELS_UNKNOWN in matrix.notes(*cell)
            doubtful += noted
            assert noted or verdicts == {matrix.verdict(*cell)}, (seed, cell)
            alone = all(len(matrix.classes[matrix.class_of(end)].members) == 1 for end in cell[:2])
            if alone:
                assert noted == (least.verdict(*cell) is not most.verdict(*cell)), (seed, cell)
    assert doubtful


def test_where_all_is_known_nothing_is_in_doubt() -> None:
    assert all(label_extremes(each) is None for seed in range(20) for each in labellings(cluster(seed)))


PODS = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: prod}
---
apiVersion: v1
kind: Pod
metadata: {name: q, namespace: other}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: prod}
spec:
  podSelector: {}
  ingress:
  - from: [{namespaceSelector: {%s}}]
"""


@pytest.mark.parametrize(
    ("asked", "doubt"),
    [
        ("matchLabels: {team: a}", True),
        ("matchExpressions: [{key: team, operator: NotIn, values: [a]}]", True),
        ("matchExpressions: [{key: team, operator: DoesNotExist}]", True),
        ("matchLabels: {kubernetes.io/metadata.name: other}", False),
        ("matchLabels: {kubernetes.io/metadata.name: third, team: a}", False),
        ("matchLabels: {kubernetes.io/metadata.name: other, team: a}", True),
        ("", False),
    ],
)
def test_labels_of_a_namespace_without_its_object(asked: str, doubt: bool) -> None:
    cell = Cell("other/q", "prod/p", Protocol.TCP, 80, 4)  # type: ignore[arg-type]
    assert (Note.LABELS_UNKNOWN in evaluate(read(PODS % asked)).notes(*cell)) is doubt
    namespaces = "".join(
        f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n" for name in ("prod", "other")
    )
    assert evaluate(read(PODS % asked + namespaces)).notes(*cell) == ()
