"""What a plan notices that was not chosen for it: probe pods for all that policies tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from auditor.choice.area import Area, survey
from auditor.choice.choose import also_of, connection, families_of, ledger_for
from auditor.choice.noticing import Ledger
from auditor.choice.pairs import Pairs, Pod
from auditor.choice.world import World
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.bits import mask_of
from auditor.probe_pods.choice import ProbeRequest
from auditor.probing.plan import Connection


def ledger_of_plan(
    snapshot: Snapshot,
    outside: Sequence[Endpoint],
    request: ProbeRequest,
    probes: Sequence[Endpoint],
    tried: Iterable[PortRequest] = (),
) -> Ledger:
    """What any connections between ``probes``, made for ``request``, and the hosts ``outside`` notice of what is wrong
    at the pods of ``snapshot``, on the ports that can tell anything apart and those that are ``tried``. Probe pods
    count by the labels that they have.
    """
    world = World(snapshot, outside, request.namespaces or None, probes)
    ends, groups = world.snapshot.endpoints, world.groups.of_endpoint
    real = mask_of(groups[: len(ends)])
    audited = mask_of({group for group, end in zip(groups, ends, strict=False) if request.audits(end)})
    of_probes = groups[len(ends) :]
    audited_in = request.namespaces or snapshot.namespaces
    with_policies = {policy.namespace for policy in snapshot.policies}.intersection(audited_in)
    families, here, also = families_of(snapshot), audited | mask_of(of_probes), sorted(set(tried))
    areas = [_as_pods_show(survey(world, name, here, families, also), audited, real) for name in sorted(with_policies)]
    names: dict[int, list[str]] = {}
    for group, end in zip(groups[len(ends) - len(outside) :], (*outside, *probes), strict=True):
        names.setdefault(group, []).append(end.name)
    return ledger_for(world, areas, _shown(areas, names))


def _as_pods_show(area: Area, audited: int, real: int) -> Area:
    """``area`` without what changes at no kind of audited pods, and what shows at no ``real`` other end: probe pods may
    have fewer labels.
    """
    there = [any(subject.groups & audited for subject in kind) for kind in area.kinds]
    counting = [bundle for bundle in area.bundles if there[bundle.kind]]
    shown = [bundle for bundle in counting if any(mask & real for each in bundle.changed for mask in each)]
    unseen = sum(len(bundle.ways) for bundle in counting) - sum(len(bundle.ways) for bundle in shown)
    return replace(area, bundles=tuple(shown), unseen=area.unseen + unseen)


def _shown(areas: Iterable[Area], names: dict[int, list[str]]) -> dict[Connection, int]:
    """What each connection between the pods with ``names``, by their groups, shows."""
    of_pod = {
        Pod(group, bool(number)): name for group, several in names.items() for number, name in enumerate(several[:2])
    }
    found: dict[Connection, int] = {}
    place = 0
    for area in areas:
        pairs = Pairs(area, tuple(len(bundle.ways) for bundle in area.bundles), {}, 0)
        for link, mask in pairs.between(of_pod):
            made = connection(pairs, link, of_pod)
            found[made] = found.get(made, 0) | mask << place
        place += len(area.bundles)
    return also_of(found, {several[0]: several[1:] for several in names.values()})
