"""Which pairs of probe pods would show what: the audited pods of one namespace with few others, which stand for all.

Other ends that take part in the same connections are alike; one of them is enough. It is one that is audited itself, or
in a namespace that is entered anyway, where there is such a one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import and_
from typing import NamedTuple, TypeVar

from auditor.choice.area import Area
from auditor.choice.world import World, lowest, refined
from auditor.model.policy import Direction
from auditor.policy.bits import bits, mask_of, union
from auditor.probing.plan import ALWAYS_PROBED

Item = TypeVar("Item")


class Pod(NamedTuple):
    """A probe pod for the pods of ``group``: the first one, or a ``second`` for traffic between them."""

    group: int
    second: bool = False


class Pair(NamedTuple):
    """An audited pod, and the pod or host at the other end."""

    subject: Pod
    other: Pod


class Link(NamedTuple):
    """Connections of an area from ``source`` to ``destination`` on the port of one of its columns."""

    source: Pod
    destination: Pod
    column: int


@dataclass
class Preference:
    """The groups that can have probe pods, and which of them are preferred where one is as good as another: those in
    namespaces that are entered anyway. ``seed`` is the number of the draw (None: always the first).
    """

    usable: int
    late: int
    entered: int = 0
    first: int = 0
    seed: int | None = None

    def of(self, mask: int, world: World) -> int | None:
        """One of ``mask``; None where there is none."""
        among = mask & self.usable
        best = among & self.first or among & self.entered or among & ~self.late or among
        if not best:
            return None
        group = self._drawn(best)
        end = world.groups.representatives[group]
        self.entered |= world.groups.in_namespace(end.namespace) if end.selectable else 0
        self.first |= 1 << group
        return group

    def _drawn(self, mask: int) -> int:
        """The one of ``mask`` whose turn it is."""
        turn = (self.seed or 0) % mask.bit_count()
        return lowest(mask) if turn == 0 else next(islice(bits(mask), turn, None))


@dataclass(frozen=True)
class Pairs:
    """What each pair of an ``area`` would show, as sets of the area's bundles by their places; ``weights`` says how
    many ways of misreading each bundle has.
    """

    area: Area
    weights: tuple[int, ...]
    shown: dict[Pair, int]
    others: int

    def links(self, pods: Collection[Pod]) -> Iterator[tuple[Link, int]]:
        """The connections between ``pods`` that would show anything, each with the bundles that it would show."""
        groups = mask_of({pod.group for pod in pods}) & self.others
        return self._links(pods, lambda subject: (subject,), lambda _: groups)

    def between(self, pods: Collection[Pod], tried: Callable[[Link], Item | None]) -> Iterator[tuple[int, Item]]:
        """For each bundle, by its place, the first of the connections between ``pods`` that shows it and is ``tried``,
        as that gives it; with all that subjects and other ends stand for.
        """
        groups = mask_of({pod.group for pod in pods})
        done = -1
        for number, direction, subject, changed in _each(self.area):
            if number != done:
                alike = map(Pod, bits(groups & self._groups_of[subject.group]))
                links = (link for pod in alike for link in _ends(pods, pod, direction, changed, groups))
                for found in filter(None, map(tried, links)):
                    yield number, found
                    done = number
                    break

    @cached_property
    def _groups_of(self) -> dict[int, int]:
        return {subject.group: subject.groups for subject in self.area.subjects}

    def besides(self, pods: Collection[Pod], met: Mapping[Pod, int]) -> Iterator[tuple[Link, int]]:
        """As ``links``, with other ends that stand for none of this area, and with all pods that a subject stands for:
        connections that are tried for what they show elsewhere may be among them. ``met`` has for each pod the groups
        at the other ends of those.
        """
        alike = {
            subject.group: [Pod(group) for group in bits(subject.groups) if Pod(group) in met]
            for subject in self.area.subjects
        }
        return self._links(pods, lambda subject: alike[subject.group], lambda pod: met[pod] & ~(1 << pod.group))

    def _links(
        self, pods: Collection[Pod], alike: Callable[[Pod], Iterable[Pod]], others: Callable[[Pod], int]
    ) -> Iterator[tuple[Link, int]]:
        """The connections of those of ``pods`` that are ``alike`` to subjects with each of the groups ``others``."""
        found: dict[Link, int] = {}
        for number, direction, subject, changed in _each(self.area):
            for pod in alike(subject):
                for link in _ends(pods, pod, direction, changed, others(pod) if pod in pods else 0):
                    found[link] = found.get(link, 0) | 1 << number
        yield from found.items()


def _ends(pods: Collection[Pod], pod: Pod, direction: Direction, changed: Sequence[int], among: int) -> Iterator[Link]:
    """The connections of ``pod`` with those of ``pods`` that are in ``changed`` and in the groups ``among``."""
    for column, mask in enumerate(changed if among else ()):
        for group in bits(mask & among):
            other = Pod(group, group == pod.group)
            if other in pods:
                yield Link(*((other, pod) if direction is Direction.INGRESS else (pod, other)), column)


def _each(area: Area) -> Iterator[tuple[int, Direction, Pod, tuple[int, ...]]]:
    """For each bundle, by its place, and each of its subjects what is changed there, as far as it can be tried."""
    tried = [-1 if column.port.protocol in ALWAYS_PROBED else 0 for column in area.columns]  # nobody tries SCTP
    for number, bundle in enumerate(area.bundles):
        for subject, changed in zip(area.kinds[bundle.kind], bundle.changed, strict=True):
            yield number, bundle.direction, Pod(subject.group), tuple(map(and_, changed, tried))


def pairs_of(world: World, area: Area, preference: Preference) -> Pairs:
    """The pairs of ``area``, with other ends by ``preference``."""
    masks = dict.fromkeys(mask for *_, changed in _each(area) for mask in changed if mask)
    everybody = union(masks)
    parts = refined([everybody] if everybody else [], masks)
    chosen = (preference.of(part, world) for part in sorted(parts, key=int.bit_count))
    others = mask_of(group for group in chosen if group is not None)
    shown: dict[Pair, int] = {}
    for number, _, subject, changed in _each(area):
        if preference.usable >> subject.group & 1:
            for group in bits(union(changed) & others):
                pair = Pair(subject, Pod(group, group == subject.group))
                shown[pair] = shown.get(pair, 0) | 1 << number
    return Pairs(area, tuple(len(bundle.ways) for bundle in area.bundles), shown, others)
