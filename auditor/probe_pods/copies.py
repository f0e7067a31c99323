"""Probe pods for pods that somebody has chosen already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from auditor.model.labels import LabelSelector
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.probe_pods.choice import Choice, Isolation, Mode, ProbeRequest, draw_of, put_in_place
from auditor.probe_pods.gaps import endpoints_without_probe_pods, pods_known_by_address, untested_nodes, unusable_nodes
from auditor.probe_pods.labels import PodSelectors
from auditor.probe_pods.models import Models, PodClass


@dataclass(frozen=True, slots=True)
class Alike:
    """Pods, sorted by name, of which one is to be copied, or a ``second`` one as well. The first copy stands for those
    ``besides``, too; these are among so many ``turns`` to be copied instead.
    """

    members: tuple[Endpoint, ...]
    second: bool = False
    besides: tuple[Endpoint, ...] = ()
    turns: int = 1


def copies(
    snapshot: Snapshot, request: ProbeRequest, chosen: Sequence[Alike], misread: Iterable[LabelSelector]
) -> tuple[Choice, list[list[str]]]:
    """Probe pods for each of ``chosen``, and what they leave out; the names of those for each of them, in order: the
    first, those that ``request`` asks for on other nodes, and a second one where none of these is one.

    Their labels meet the same of the selectors ``misread`` as those of the pods.
    """
    isolation = Isolation(snapshot)
    classes = [
        PodClass(
            number,
            one.members,
            tuple(filter(request.audits, one.members)),
            isolation.of(one.members[0]),
            one.second,
            one.turns,
        )
        for number, one in enumerate(chosen)
    ]
    selectors = PodSelectors(snapshot, misread)
    models = Models(classes, request.can_use, selectors.matching, request.closed, request.seed)
    models.add_one_per_class()
    if request.mode is Mode.PER_NODE:
        models.add_per_node()
    models.add_seconds()
    probe_pods, names = put_in_place(snapshot, request, classes, models, selectors)
    besides = {names[number][0]: tuple(end.name for end in one.besides) for number, one in enumerate(chosen)}
    probe_pods = tuple(
        replace(probe, stands_for=(*probe.stands_for, *besides.get(probe.name, ()))) for probe in probe_pods
    )
    audited = [endpoint for one in classes for endpoint in one.audited]
    uncovered = (
        *untested_nodes(models.missing()),
        *unusable_nodes(audited, request.can_use),
        *pods_known_by_address(snapshot, request.audits),
        *endpoints_without_probe_pods(snapshot),
    )
    ruled = (one for one, its in zip(chosen, classes, strict=True) if its.isolated and its.audited)
    others = [end for one in ruled for end in one.besides if request.audits(end) and request.can_use(end.node)]
    return Choice(probe_pods, uncovered, draw_of(models, request, others)), [
        names[number] for number in range(len(classes))
    ]
