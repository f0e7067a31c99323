"""What a plan notices that was not chosen for it: probe pods for all that policies tell apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from auditor.choice.area import Area, survey
from auditor.choice.choose import families_of, ledger_for
from auditor.choice.columns import Column
from auditor.choice.noticing import Ledger
from auditor.choice.pairs import Link, Pairs, Pod
from auditor.choice.world import World
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.bits import mask_of
from auditor.probe_pods.choice import ProbeRequest
from auditor.probing.plan import Connection


def ledger_of_plan(
    snapshot: Snapshot,
    outside: Sequence[Endpoint],
    request: ProbeRequest,
    probes: Sequence[Endpoint],
    tried: Collection[Connection] | None = None,
) -> Ledger:
    """What connections between ``probes``, made for ``request``, and the hosts ``outside`` notice of what is wrong at
    the pods of ``snapshot``: those that are ``tried``; None: any. Probe pods count by the labels that they have.

    The ledger has one connection for each way that is noticed, and not all that notice it.
    """
    world = World(snapshot, outside, request.namespaces or None, probes)
    ends, groups = world.snapshot.endpoints, world.groups.of_endpoint
    real = mask_of(groups[: len(ends)])
    audited = mask_of({group for group, end in zip(groups, ends, strict=False) if request.audits(end)})
    of_probes = groups[len(ends) :]
    with_policies = world.namespaces_with_policies(request.namespaces or list(snapshot.namespaces), audited)
    families, also = families_of(snapshot), sorted({each.port for each in tried or ()})
    surveys = (survey(world, name, audited | mask_of(of_probes), families, also) for name in with_policies)
    areas = [_as_pods_show(area, audited, real) for area in surveys]
    names: dict[int, list[str]] = {}
    for group, end in zip(groups[len(ends) - len(outside) :], (*outside, *probes), strict=True):
        names.setdefault(group, []).append(end.name)
    return ledger_for(world, areas, _shown(areas, names, tried))


def _as_pods_show(area: Area, audited: int, real: int) -> Area:
    """``area`` without what changes at no kind of audited pods, and what shows at no ``real`` other end: probe pods may
    have fewer labels.
    """
    there = [any(subject.groups & audited for subject in kind) for kind in area.kinds]
    counting = [bundle for bundle in area.bundles if there[bundle.kind]]
    shown = [bundle for bundle in counting if any(mask & real for each in bundle.changed for mask in each)]
    unseen = sum(len(bundle.ways) for bundle in counting) - sum(len(bundle.ways) for bundle in shown)
    return replace(area, bundles=tuple(shown), unseen=area.unseen + unseen)


def _shown(
    areas: Iterable[Area], names: Mapping[int, Sequence[str]], tried: Collection[Connection] | None
) -> dict[Connection, int]:
    """For each bundle one of the connections ``tried`` that shows it, between pods with ``names`` by their groups."""
    pods = {Pod(group, bool(number)) for group, several in names.items() for number in range(min(2, len(several)))}
    found: dict[Connection, int] = {}
    place = 0

    def first(columns: Sequence[Column], link: Link) -> Connection | None:
        port = columns[link.column].port
        ends = product(names[link.source.group], names[link.destination.group])
        several = (Connection(one, other, port) for one, other in ends if one != other)
        return next((each for each in several if tried is None or each in tried), None)

    for area in areas:
        pairs = Pairs(area, tuple(len(bundle.ways) for bundle in area.bundles), {}, 0)
        for number, made in pairs.between(pods, partial(first, area.columns)):
            found[made] = found.get(made, 0) | 1 << place + number
        place += len(area.bundles)
    return found
