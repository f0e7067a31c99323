"""The choice: of all pods of a cluster the few, and of all connections between them those, by which an audit notices
most.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from auditor.choice.area import Area, survey
from auditor.choice.cover import Cover, most_telling
from auditor.choice.noticing import Ledger
from auditor.choice.pairs import Link, Pairs, Pod, Preference, pairs_of
from auditor.choice.world import World
from auditor.model.draw import Draw
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.workloads import workload_name
from auditor.policy.bits import bits, mask_of
from auditor.probe_pods.choice import Choice, Mode, ProbeRequest
from auditor.probe_pods.copies import Alike, copies
from auditor.probe_pods.models import SYSTEM_NAMESPACES
from auditor.probing.plan import Connection

TIMES = 3
"""So many connections are tried for each way of misreading where there are as many: one alone may have no verdict in
the end, and shows little of the cause.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most so many ``probe_pods`` and ``connections`` (None: as many as show anything); no more than are needed for
    the share ``coverage``, 0 to 1, of what there is to notice.
    """

    probe_pods: int
    connections: int | None = None
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ``probe_pods`` to create, what they leave out (``uncovered``, a sentence each), and the connections to try.

    ``without`` are pods, each for all of its kind, that are audited and get no probe pod within the bounds, though
    there is something to notice at them. ``ledger`` says what connections notice, ``draw`` which of equivalent pods
    were taken, where these take turns.
    """

    probe_pods: tuple[ProbePod, ...]
    uncovered: tuple[str, ...]
    connections: frozenset[Connection]
    without: tuple[Endpoint, ...]
    ledger: Ledger
    draw: Draw | None = None


def choose(snapshot: Snapshot, outside: Sequence[Endpoint], request: ProbeRequest, bounds: Bounds) -> Chosen:
    """What to create and to try for ``request``; ``outside`` are the hosts that may be tried, too."""
    audited_in = set(request.namespaces or snapshot.namespaces)
    world = World(snapshot, outside, request.namespaces or None, seed=request.seed)
    ends = zip(world.groups.of_endpoint, world.snapshot.endpoints, strict=True)
    audited = mask_of({group for group, end in ends if request.audits(end)})
    families = families_of(snapshot)
    areas = [survey(world, name, audited, families) for name in world.namespaces_with_policies(audited_in, audited)]
    several = _pairs(world, areas, request)
    cover = Cover(several, world.namespace_of, bounds.probe_pods)
    cover.take(math.ceil(bounds.coverage * sum(sum(pairs.weights) for pairs in several)))
    choice, names, further = _copies(world, areas, request, cover.pods)
    weights = [weight for pairs in several for weight in pairs.weights]
    enough = _several_times(_shown(several, cover.pods, names), weights)
    shown = _most_telling(_also_of(enough, further), weights, bounds.connections)
    ledger = ledger_for(world, areas, shown)
    without = _without(world, areas, cover.pods, set(names.values()))
    return Chosen(choice.probe_pods, choice.uncovered, frozenset(shown), without, ledger, choice.draw)


def families_of(snapshot: Snapshot) -> list[Family]:
    """Those that all pods have: which of the others a probe pod gets is not known before."""
    known = [set(end.families) for end in snapshot.endpoints if end.selectable and end.addresses]
    return sorted(set[Family].intersection(*known)) if known else [Family.IPV4]


def _pairs(world: World, areas: Sequence[Area], request: ProbeRequest) -> list[Pairs]:
    """Those of each area. Wherever there is a choice, audited pods come first, and what is in closed namespaces is
    left out.
    """
    groups = world.groups
    closed = mask_of(n for n in bits(groups.selectable) if groups.representatives[n].namespace in request.closed)
    late = mask_of(
        n for n in bits(groups.selectable) if groups.representatives[n].namespace.startswith(SYSTEM_NAMESPACES)
    )
    preference = Preference(
        (groups.selectable | groups.hosts) & ~closed,
        late,
        entered=mask_of(n for area in areas for n in bits(groups.in_namespace(area.namespace))),
        first=mask_of(subject.group for area in areas for subject in area.subjects),
        seed=request.seed,
    )
    return [pairs_of(world, area, preference) for area in areas]


def _copies(
    world: World, areas: Sequence[Area], request: ProbeRequest, pods: Collection[Pod]
) -> tuple[Choice, dict[Pod, str], dict[str, list[str]]]:
    """The probe pods for ``pods``, and what each is called; hosts by their own names. Those on further nodes by the
    first one's.
    """
    subjects = {subject.group: subject for area in areas for subject in area.subjects}
    first = sorted({pod.group for pod in pods if world.groups.representatives[pod.group].selectable})
    alike = [
        Alike(
            _members(world, 1 << group),
            Pod(group, True) in pods,
            _members(world, subjects[group].groups & ~(1 << group)) if group in subjects else (),
            subjects[group].turns if group in subjects else 1,
        )
        for group in first
    ]
    misread = world.selectors_everywhere.union(*(area.selectors for area in areas))
    choice, names = copies(world.snapshot, request, alike, misread)
    of_pod = {pod: world.groups.representatives[pod.group].name for pod in pods}
    for group, several in zip(first, names, strict=True):
        of_pod |= {Pod(group, bool(number)): name for number, name in enumerate(several[:2])}
    return choice, of_pod, {several[0]: several[1:] for several in names if request.mode is Mode.PER_NODE}


def _members(world: World, groups: int) -> tuple[Endpoint, ...]:
    members = (end for group in bits(groups) for end in world.members[group])
    return tuple(sorted(members, key=lambda end: end.name))


def _shown(several: Sequence[Pairs], pods: set[Pod], names: Mapping[Pod, str]) -> dict[Connection, int]:
    """The connections that show anything, each with what it shows, as the ledger counts it. What is tried for one area
    may show something in another.
    """
    found: dict[Connection, int] = {}
    met: dict[Pod, int] = {}
    places: list[int] = []
    weights: list[int] = []

    def connection(pairs: Pairs, link: Link) -> Connection:
        return Connection(names[link.source], names[link.destination], pairs.area.columns[link.column].port)

    for pairs in several:
        for link, mask in pairs.links(pods):
            made = connection(pairs, link)
            found[made] = found.get(made, 0) | mask << len(weights)
            for one, other in ((link.source, link.destination), (link.destination, link.source)):
                met[one] = met.get(one, 0) | 1 << other.group
        places.append(len(weights))
        weights += pairs.weights
    for place, pairs in zip(places, several, strict=True):
        for link, mask in pairs.besides(pods, met):
            made = connection(pairs, link)
            if made in found:
                found[made] |= mask << place
    return found


def _also_of(shown: Mapping[Connection, int], further: Mapping[str, Sequence[str]]) -> dict[Connection, int]:
    """``shown``, and the same of the pods on ``further`` nodes."""
    added = dict(shown)
    for each, mask in shown.items():
        for name in further.get(each.source, ()):
            if each.destination != name:
                added.setdefault(each._replace(source=name), mask)
        for name in further.get(each.destination, ()):
            if each.source != name:
                added.setdefault(each._replace(destination=name), mask)
    return added


def _several_times(found: Mapping[Connection, int], weights: Sequence[int]) -> dict[Connection, int]:
    """Of the connections ``found`` so many that each way of misreading is noticed by ``TIMES``, or by all that notice
    it; and one of each pod.
    """
    left = sorted(found)
    taken: list[Connection] = []
    for _ in range(TIMES):
        order, useless = most_telling([found[each] for each in left], weights)
        taken += (left[place] for place in order)
        left = [left[place] for place in useless]
    met = {end for each in taken for end in (each.source, each.destination)}
    for each in left:
        if not met.issuperset((each.source, each.destination)):
            met |= {each.source, each.destination}
            taken.append(each)
    return {each: found[each] for each in taken}


def _most_telling(found: dict[Connection, int], weights: Sequence[int], most: int | None) -> dict[Connection, int]:
    """``most`` of the connections ``found``, those first that show most besides."""
    if most is None or len(found) <= most:
        return found
    connections = sorted(found)
    order = chain(*most_telling([found[each] for each in connections], weights))
    return {connections[place]: found[connections[place]] for place in islice(order, most)}


def _without(world: World, areas: Sequence[Area], pods: Collection[Pod], taken: set[str]) -> tuple[Endpoint, ...]:
    """One pod for each kind at which there is something to notice, and that has no probe pod; none has one of the names
    ``taken``.
    """
    kinds = {area.kinds[bundle.kind] for area in areas for bundle in area.bundles}
    there = {pod.group for pod in pods}
    left = sorted(kind[0].group for kind in kinds if there.isdisjoint(subject.group for subject in kind))
    ends = [world.groups.representatives[group] for group in left]
    return tuple(replace(end, name=f"{end.name}~" if end.name in taken else end.name) for end in ends)


def ledger_for(world: World, areas: Sequence[Area], shown: Mapping[Connection, int]) -> Ledger:
    """What each connection has ``shown`` in ``areas``, with names for their kinds of pods."""
    kinds = tuple(
        tuple(workload_name(world.groups.representatives[kind[0].group]) for kind in area.kinds) for area in areas
    )
    policies = {area.whats[way].policy for area in areas for bundle in area.bundles for way in bundle.ways} - {""}
    return Ledger(tuple(areas), kinds, len(policies), shown)
