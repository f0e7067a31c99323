"""Which pods an audit in place joins where it samples: other ones from night to night, until each had its turn.

Probe pods are always new. What an enforcer has lost about one pod long ago shows at that pod alone, and to join all of
a cluster's pods is much to ask of one night.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from auditor.model.snapshot import Endpoint


def drawn(pods: Mapping[str, Endpoint], class_of: Callable[[str], int], number: int, night: int) -> frozenset[str]:
    """The names of ``number`` of ``pods``, those of the night with that number.

    Each class of pods that policies don't tell apart has its turn before any has a second one. In consecutive nights,
    as long as the pods stay the same, every class comes up, and of each class every pod, those of other nodes first.
    """
    groups: dict[int, list[str]] = defaultdict(list)
    for name in sorted(pods):
        groups[class_of(name)].append(name)
    classes = [_by_turns(groups[one], pods) for one in sorted(groups)]
    chosen: set[str] = set()
    place = night * number
    # All classes take turns for ever, and in each its pods: a night is a piece of that row, as long as it must be.
    while len(chosen) < min(number, len(pods)):
        turn, one = divmod(place, len(classes))
        chosen.add(classes[one][turn % len(classes[one])])
        place += 1
    return frozenset(chosen)


def _by_turns(names: Iterable[str], pods: Mapping[str, Endpoint]) -> list[str]:
    """``names`` so that those of different nodes take turns."""
    places: dict[str, int] = defaultdict(int)
    ranked = []
    for name in names:
        node = pods[name].node
        ranked.append((places[node], node, name))
        places[node] += 1
    return [name for *_, name in sorted(ranked)]
