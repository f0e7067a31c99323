"""What is computed once for many, held against the plain way."""

from random import Random

import pytest

from auditor.choice import around
from auditor.choice.choose import Bounds, choose
from auditor.choice.cover import Weights, most_telling
from auditor.policy.bits import bits
from auditor.probe_pods.choice import ProbeRequest
from tests.bench.clusters import administered, cluster


def plainly(shown, weights):
    """As ``most_telling``, each mask anew each time."""
    left, order = -1, []
    places = list(range(len(shown)))
    while True:
        worth = {place: sum(weights[bit] for bit in bits(shown[place] & left)) for place in places}
        best = min(places, key=lambda place: (-worth[place], place), default=None)
        if best is None or not worth[best]:
            return order, sorted(places)
        order.append(best)
        places.remove(best)
        left &= ~shown[best]


@pytest.mark.parametrize("seed", range(8))
def test_what_tells_most_comes_first_though_many_tell_the_same(seed):
    dice = Random(seed)
    weights = [dice.choice((1, 2, 3, 7, 40)) for _ in range(9)]
    masks = [dice.randrange(1 << 9) & dice.randrange(1 << 9) for _ in range(12)]
    shown = [dice.choice(masks) for _ in range(40)]
    assert most_telling(shown, weights) == plainly(shown, weights)


def test_weights_are_summed():
    weights = [5, 0, 9, 64]
    for mask in range(16):
        assert Weights(weights).of(mask) == sum(weights[bit] for bit in bits(mask))
    assert Weights(()).of(0) == 0


def test_answers_that_are_not_kept_are_the_same(monkeypatch):
    snapshot = administered(cluster(12, 3, 3), 5)
    kept = choose(snapshot, (), ProbeRequest(()), Bounds(100))
    monkeypatch.setattr(around, "MOST_KEPT", 0)
    monkeypatch.setattr(around, "MOST_KEPT_MISREAD", 0)
    fresh = choose(snapshot, (), ProbeRequest(()), Bounds(100))
    assert kept.connections == fresh.connections
    assert kept.ledger == fresh.ledger
    assert kept.ledger.of(kept.connections).ways > 50
