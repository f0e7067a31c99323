"""Which probe pods to create: as few as stand for everything that is audited, in as few namespaces, spread so that they
tell most.

One member of each identity class is the model of a probe pod, which carries as few of its labels as policies need;
``models`` says which member. The pod is called after the workloads that it stands for. What the chosen pods can't show
is said in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from auditor.model.draw import Draw
from auditor.model.errors import UsageError
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.workloads import workload_name
from auditor.policy.doubt import may_select
from auditor.policy.matrix import ExpectedMatrix
from auditor.policy.traits import admin_selects
from auditor.probe_pods.gaps import (
    endpoints_without_probe_pods,
    pods_known_by_address,
    pods_mistaken_otherwise,
    traffic_within_classes,
    untested_nodes,
    unusable_nodes,
)
from auditor.probe_pods.labels import PodSelectors, fewest_labels
from auditor.probe_pods.models import Models, PodClass, place_of


class Mode(StrEnum):
    """How many probe pods an identity class gets."""

    ONE_PER_CLASS = "one-per-class"
    TWO_PER_CLASS = "two-per-class"
    """One, and a second one where policies have a say in what its pods send each other."""
    PER_NODE = "per-node"
    """Those, and as many more as put one on every node, for each direction in which pods of that node are isolated."""
    ALL_PODS = "all-pods"
    """One for each audited pod; the others still by class."""

    @property
    def is_everywhere(self) -> bool:
        """Whether each node where policies isolate audited pods gets one."""
        return self in {Mode.PER_NODE, Mode.ALL_PODS}


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Which pods are audited, and how closely.

    Audited are the pods in ``namespaces`` (none: all) that match ``selector`` (None: all). ``usable_nodes`` are the
    bare names of the nodes that can take probe pods (None: all), ``closed`` the namespaces that can't. ``avoid`` has,
    by namespace, selectors that had better not match a probe pod. ``seed`` is the number of the draw, where those of
    pods that policies don't tell apart take turns (None: those that tell most).
    """

    namespaces: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    mode: Mode = Mode.TWO_PER_CLASS
    usable_nodes: Collection[str] | None = None
    avoid: Mapping[str, Sequence[LabelSelector]] = field(default_factory=dict, hash=False)
    closed: Collection[str] = ()
    seed: int | None = None

    def audits(self, endpoint: Endpoint) -> bool:
        """Whether ``endpoint`` is one of the audited pods."""
        return (
            endpoint.selectable
            and (not self.namespaces or endpoint.namespace in self.namespaces)
            and (self.selector is None or self.selector.matches(endpoint.labels))
        )

    def can_use(self, node: str) -> bool:
        """Whether a probe pod can run on ``node``; an unknown one leaves the choice to the scheduler."""
        return not node or self.usable_nodes is None or node in self.usable_nodes


@dataclass(frozen=True, slots=True)
class Choice:
    """The probe pods to create, by name, what they leave out, one sentence each, and the draw where pods take turns."""

    probe_pods: tuple[ProbePod, ...]
    uncovered: tuple[str, ...]
    draw: Draw | None = None


def choose_probe_pods(snapshot: Snapshot, matrix: ExpectedMatrix, request: ProbeRequest) -> Choice:
    """The probe pods for an audit of ``request`` against all of the cluster; ``matrix`` is that of ``snapshot``.

    Every identity class of pods on the pod network is stood for: by audited pods where it has any. ``stands_for`` of
    all probe pods together holds each of these pods once. Raises UsageError for an unknown namespace and where no pod
    is audited.
    """
    check_request(snapshot, request)
    classes = _pod_classes(snapshot, matrix, request)
    selectors = PodSelectors(snapshot)
    models = Models(classes, request.can_use, selectors.matching, request.closed, request.seed)
    if request.mode is Mode.ALL_PODS:
        models.add_all_audited()
    models.add_one_per_class()
    if request.mode is Mode.PER_NODE:
        models.add_per_node()
    if request.mode is not Mode.ONE_PER_CLASS:
        models.add_seconds()
    probe_pods, names = put_in_place(snapshot, request, classes, models, selectors)
    audited = [endpoint for one in classes for endpoint in one.audited]
    first = {number: of_class[0] for number, of_class in names.items()}
    uncovered = (
        *traffic_within_classes(models.lacking_second(), first),
        *pods_mistaken_otherwise(classes, models.of_class, selectors.mistakable),
        *untested_nodes(models.missing()),
        *unusable_nodes(audited, request.can_use),
        *pods_known_by_address(snapshot, request.audits),
        *endpoints_without_probe_pods(snapshot),
    )
    return Choice(probe_pods, uncovered, draw_of(models, request))


def draw_of(models: Models, request: ProbeRequest, others: Iterable[Endpoint] = ()) -> Draw | None:
    """The draw that ``models`` are of, and the places at which their probe pods are; ``others`` have a turn, too."""
    if request.seed is None:
        return None
    here = frozenset(place_of(model) for several in models.of_class.values() for model in several)
    places = models.places() | {place_of(end) for end in others if end.node}
    return Draw(request.seed, models.turns, places, here)


def check_request(snapshot: Snapshot, request: ProbeRequest) -> None:
    """Raise UsageError for an unknown namespace and where no pod is audited."""
    for name in request.namespaces:
        if name not in snapshot.namespaces:
            raise UsageError(f"no namespace {name!r}; there are: {', '.join(sorted(snapshot.namespaces))}")
    if not any(request.audits(endpoint) for endpoint in snapshot.endpoints):
        where = f"in {', '.join(request.namespaces)}" if request.namespaces else "in any namespace"
        which = f" that matches {request.selector}" if request.selector is not None else ""
        raise UsageError(f"nothing to audit: there is no running pod on the pod network {where}{which}")


def _pod_classes(snapshot: Snapshot, matrix: ExpectedMatrix, request: ProbeRequest) -> list[PodClass]:
    """The classes of pods on the pod network, by their first member's name; split where policies that nobody can read
    may split them.
    """
    isolated_at = Isolation(snapshot)
    groups: dict[tuple[int, ...], list[Endpoint]] = {}
    for endpoint in sorted((end for end in snapshot.endpoints if end.selectable), key=lambda end: end.name):
        unknown = (number for number, policy in enumerate(snapshot.unknown) if may_select(policy, endpoint))
        groups.setdefault((matrix.class_of(endpoint.name), *unknown), []).append(endpoint)
    classes = []
    for number, members in enumerate(groups.values()):
        isolated = isolated_at.of(members[0])
        audited = tuple(filter(request.audits, members))
        classes.append(PodClass(number, tuple(members), audited, isolated, len(members) > 1 and bool(isolated)))
    return classes


class Isolation:
    """In which directions policies of any tier have a say in what pods of ``snapshot`` do."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._namespaces = snapshot.namespaces
        self._admin = snapshot.admin_policies
        self._policies: dict[str, list[NetworkPolicy]] = {}
        for policy in snapshot.policies:
            self._policies.setdefault(policy.namespace, []).append(policy)

    def of(self, pod: Endpoint) -> frozenset[Direction]:
        """Those of ``pod``."""
        selecting = (each for each in self._policies.get(pod.namespace, ()) if pod.is_selected_by(each))
        found = {direction for policy in selecting for direction in policy.directions}
        for policy in self._admin:
            if admin_selects(policy, self._namespaces, pod):
                found |= {direction for direction in Direction if policy.rules(direction)}
        return frozenset(found)


def put_in_place(
    snapshot: Snapshot, request: ProbeRequest, classes: Sequence[PodClass], models: Models, selectors: PodSelectors
) -> tuple[tuple[ProbePod, ...], dict[int, list[str]]]:
    """The probe pods by name, and for each class the names of its own in the order of its models."""
    avoid = {name: tuple(request.avoid.get(name, ())) for name in models.namespaces}
    for service in snapshot.services:
        if service.selector and service.namespace in avoid:
            avoid[service.namespace] += (LabelSelector(tuple(sorted(service.selector.items()))),)
    chosen = sorted(
        ((one, model) for one in classes for model in models.of_class[one.number]), key=lambda pair: pair[1].name
    )
    placed = [model if request.can_use(model.node) else replace(model, node="") for _, model in chosen]
    names = unique_names(placed, by_node=request.mode.is_everywhere)
    probe_pods = []
    given: dict[tuple[int, str], str] = {}
    for (pod_class, model), place, name in zip(chosen, placed, names, strict=True):
        of_class = models.of_class[pod_class.number]
        labels = fewest_labels(selectors.in_any_reading(model.namespace), model.labels, avoid[model.namespace])
        probe_pods.append(
            ProbePod(name, model.namespace, labels, model.ports, place.node, _stood_for(pod_class, of_class, model))
        )
        given[pod_class.number, model.name] = name
    in_order = {one.number: [given[one.number, model.name] for model in models.of_class[one.number]] for one in classes}
    return tuple(sorted(probe_pods, key=lambda probe_pod: probe_pod.name)), in_order


def _stood_for(pod_class: PodClass, models: Sequence[Endpoint], model: Endpoint) -> tuple[str, ...]:
    """The members for which ``model`` stands: itself, those for which it is the first model on their node, the first
    model all others.
    """
    own = {one.name: one.name for one in models}
    at_node = {one.node: one.name for one in reversed(models) if one.node}
    stood_in = (
        (member.name, own.get(member.name) or at_node.get(member.node, models[0].name)) for member in pod_class.members
    )
    return tuple(member for member, name in stood_in if name == model.name)


def unique_names(models: Sequence[Endpoint], *, by_node: bool) -> list[str]:
    """A name for a probe pod after each of ``models``, all different: the workload's, and where several share it a
    number after it.

    With ``by_node`` those that share a name get their node's name first, after an ``@``. Depends on no order but that
    of ``models``.
    """
    names = [workload_name(model) for model in models]
    if by_node:
        shared = Counter(names)
        names = [
            f"{name}@{model.node}" if shared[name] > 1 and model.node else name
            for name, model in zip(names, models, strict=True)
        ]
    taken = set(names)
    given: set[str] = set()
    unique = []
    for name in names:
        number = 2
        answer = name
        while answer in given or (answer != name and answer in taken):
            answer = f"{name}-{number}"
            number += 1
        given.add(answer)
        unique.append(answer)
    return unique
