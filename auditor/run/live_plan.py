"""What an audit of a live cluster would do: which probe pods it would create, or which pods it would join, and what it
leaves out.

Nothing here asks the cluster anything: it is decided from what was read, so that a dry run decides the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from auditor.choice.choose import Bounds, Chosen, choose
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight.meshes import PROXIED, proxied_pods
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.draw import Draw
from auditor.model.errors import LimitError, UsageError
from auditor.model.intent import Intent
from auditor.model.labels import LabelSelector
from auditor.model.policy import NOT_EVALUATED
from auditor.model.probe_pod import MAX_PROBE_PODS, ProbePod
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.words import in_brief, pluralize
from auditor.model.workloads import workload_name
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import ExpectedMatrix
from auditor.probe_pods.choice import Choice, Mode, ProbeRequest, check_request, choose_probe_pods
from auditor.run.live_limit import check_classes, check_number, exceeds
from auditor.run.planning import AuditOptions
from auditor.run.sampling import drawn

MOST_MISSED = 3
"""How many of the ways of misreading that would go unnoticed are named before a run."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Which pods of which cluster to audit: those in ``namespaces`` (none: all) that match ``selector`` (None: all).

    ``in_place``: from inside these pods, and not from probe pods. ``externals`` are hosts outside, each with the ports
    that may be probed. ``accept`` names harm that is put up with (``pdb``); ``max_probe_pods`` bounds how many pods are
    created, or joined. In place, ``sample`` pods are joined, those of the ``night`` with that number; 0: one of each
    kind, the same ones every time. ``seed`` is the number of the draw in which pods that policies don't tell apart take
    turns as models of probe pods; None: always those that tell most. ``intent`` is what the policies of the whole
    cluster are to mean.

    Where one or two probe pods for each class would be too many, as few are chosen as notice the share ``coverage`` of
    what there is to notice (None: all of it), and at most ``max_connections`` are tried; not so with ``everything``.
    They are chosen, too, where either is given. ``services``: Services are made in front of probe pods. ``dns``: they
    look names up. ``reach``: Services of the cluster's own, ``NAMESPACE/NAME``, to look up and connect to.
    """

    connection: ConnectionOptions
    namespaces: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    mode: Mode = Mode.TWO_PER_CLASS
    in_place: bool = False
    sample: int = 0
    night: int = 0
    seed: int | None = None
    externals: tuple[Endpoint, ...] = ()
    pods: PodOptions = field(default_factory=PodOptions)
    start_seconds: float = 60.0
    accept: frozenset[str] = frozenset()
    max_probe_pods: int = MAX_PROBE_PODS
    max_connections: int | None = None
    coverage: float | None = None
    everything: bool = False
    intent: Intent | None = None
    services: bool = False
    dns: bool = False
    reach: tuple[str, ...] = ()

    @property
    def looks_names_up(self) -> bool:
        """Whether probe pods ask the cluster's DNS."""
        return self.dns or bool(self.reach)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What an audit of a cluster would do.

    ``snapshot`` is what is audited: one endpoint for each of ``probes`` and for each external host. ``scope`` names
    those that stand for audited pods. ``members`` has, for an audit in place, namespace and name of the pod to join in
    the place of each probe pod. ``remarks`` are lines for people; ``absent`` the probe pods in the place of which there
    is no pod to join, or for which no probe pod is to be created, with the reason. Where the audit was ``chosen`` by
    what it notices, no other connections than these are tried. ``draw``: whose turn it is, where pods take turns.
    """

    live: LiveSnapshot
    snapshot: Snapshot
    probes: tuple[ProbePod, ...]
    scope: frozenset[str]
    remarks: tuple[str, ...]
    members: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    chosen: Chosen | None = None
    draw: Draw | None = None


def plan_live(live: LiveSnapshot, options: LiveOptions, closed: Mapping[str, str] = MappingProxyType({})) -> LivePlan:
    """Choose the probe pods for ``live``. Nothing can be put into the namespaces that are ``closed``, for these
    reasons.

    Raises UsageError where there is nothing to audit, and for a host that is not outside, LimitError where more pods
    would be created or joined than are allowed: before anything is computed whose time or memory grows with their
    number.
    """
    workloads = live.snapshot
    _check_externals(workloads, options.externals)
    request = request_of(live, options, closed)
    check_request(workloads, request)
    if _is_chosen(workloads, request, options):
        return _chosen_plan(live, options, request)
    check_classes(workloads, request, options.max_probe_pods, in_place=options.in_place)
    matrix = evaluate(workloads)
    if options.sample:
        request = replace(request, mode=Mode.ALL_PODS)
    choice = choose_probe_pods(workloads, matrix, request)
    if len(choice.probe_pods) > options.max_probe_pods and _may_be_chosen(request, options):
        return _chosen_plan(live, options, request)
    joined = _Joined.of(live, choice.probe_pods, request, closed) if options.in_place else _Joined()
    remarks = choice.uncovered
    if options.sample:
        choice, joined = _sampled(choice, joined, matrix, options)
        remarks = (_told_of_sample(joined, options), *choice.uncovered)
    scope = _scope(workloads, choice.probe_pods, request)
    members = joined.members
    put = [probe for probe in choice.probe_pods if probe.name in members or not options.in_place]
    check_number(put, request, options.max_probe_pods, in_place=options.in_place)
    pods = _endpoints(workloads, choice.probe_pods, members)
    return LivePlan(
        live,
        replace(workloads, endpoints=(*pods, *options.externals)),
        choice.probe_pods,
        scope,
        (
            _size_in_place(choice.probe_pods, members) if options.in_place else _size(choice.probe_pods),
            *remarks,
            *_remarks(live),
        ),
        {name: (member.namespace, member.name.partition("/")[2]) for name, member in members.items()},
        joined.absent,
        draw=choice.draw,
    )


def request_of(live: LiveSnapshot, options: LiveOptions, closed: Collection[str] = ()) -> ProbeRequest:
    """Which pods ``options`` mean; nothing can be put into the namespaces that are ``closed``."""
    return ProbeRequest(
        options.namespaces,
        options.selector,
        options.mode,
        live.ready_nodes or None,
        closed=frozenset(closed),
        seed=None if options.in_place else options.seed,
    )


def _sampled(choice: Choice, joined: _Joined, matrix: ExpectedMatrix, options: LiveOptions) -> tuple[Choice, _Joined]:
    """What is left of ``choice``, a probe pod for each audited pod, where only some are joined: those drawn, and one of
    each class of which nobody can be joined.
    """
    class_of = {probe.name: matrix.class_of(probe.stands_for[0]) for probe in choice.probe_pods}
    names = drawn(joined.members, class_of.__getitem__, options.sample, options.night)
    joinable = {class_of[name] for name in joined.members}
    left = tuple(probe for probe in choice.probe_pods if probe.name in names or class_of[probe.name] not in joinable)
    kept = {probe.name for probe in left}
    members = {name: member for name, member in joined.members.items() if name in names}
    absent = {name: why for name, why in joined.absent.items() if name in kept}
    return replace(choice, probe_pods=left), _Joined(members, absent)


def _told_of_sample(joined: _Joined, options: LiveOptions) -> str:
    pods = pluralize(len(joined.members), "pod")
    return f"{pods} joined by --sample {options.sample}, drawn for today: other days join others"


def narrowed(options: AuditOptions, intended: LivePlan, *, in_place: bool) -> AuditOptions:
    """``options`` for an audit as ``intended``. In place no pod is new."""
    if in_place:
        options = replace(options, probing=replace(options.probing, late_isolation=None))
    chosen = intended.chosen
    options = replace(options, scope=intended.scope, declared_only=in_place, at_nodes=False)
    if chosen is None:
        return options
    not_chosen = frozenset() if options.ports else chosen.ledger.ignored_unnoticed(chosen.connections)
    return replace(options, connections=chosen.connections, not_chosen=not_chosen)


def _endpoints(
    workloads: Snapshot, probes: Iterable[ProbePod], members: Mapping[str, Endpoint]
) -> tuple[Endpoint, ...]:
    """An endpoint for each of ``probes``, with the workloads that it stands for."""
    workload_of = {endpoint.name: workload_name(endpoint) for endpoint in workloads.endpoints}
    return tuple(
        replace(
            replace(members[probe.name], name=probe.name) if probe.name in members else _stand_in(probe),
            stands_for=tuple(sorted({workload_of[name] for name in probe.stands_for})),
        )
        for probe in probes
    )


def _scope(workloads: Snapshot, probes: Iterable[ProbePod], request: ProbeRequest) -> frozenset[str]:
    """The names of those of ``probes`` that stand for audited pods."""
    audited = {endpoint.name for endpoint in workloads.endpoints if request.audits(endpoint)}
    return frozenset(probe.name for probe in probes if not audited.isdisjoint(probe.stands_for))


def _is_chosen(workloads: Snapshot, request: ProbeRequest, options: LiveOptions) -> bool:
    """Whether what to create is chosen by what it notices, as far as that can be told without comparing classes."""
    if not _may_be_chosen(request, options):
        return False
    asked = options.coverage is not None or options.max_connections is not None
    return asked or exceeds(workloads, options.max_probe_pods)


def _may_be_chosen(request: ProbeRequest, options: LiveOptions) -> bool:
    return not (options.everything or options.in_place or request.mode is Mode.ALL_PODS)


def _chosen_plan(live: LiveSnapshot, options: LiveOptions, request: ProbeRequest) -> LivePlan:
    workloads = live.snapshot
    coverage = 1.0 if options.coverage is None else options.coverage
    chosen = choose(
        workloads, options.externals, request, Bounds(options.max_probe_pods, options.max_connections, coverage)
    )
    _check_chosen(chosen, options)
    check_number(chosen.probe_pods, request, options.max_probe_pods)
    absent = dict.fromkeys((end.name for end in chosen.without), f"more than --max-probe-pods {options.max_probe_pods}")
    pods = _endpoints(workloads, chosen.probe_pods, {})
    return LivePlan(
        live,
        replace(workloads, endpoints=(*pods, *chosen.without, *options.externals)),
        chosen.probe_pods,
        _scope(workloads, chosen.probe_pods, request) | absent.keys(),
        (_size(chosen.probe_pods), _told_of(chosen), *chosen.uncovered, *_remarks(live)),
        absent=absent,
        chosen=chosen,
        draw=chosen.draw,
    )


def _check_chosen(chosen: Chosen, options: LiveOptions) -> None:
    """Raise UsageError where there is nothing to notice, LimitError where there is no room to notice any of it."""
    if chosen.connections:
        return
    where = f"namespace {', '.join(options.namespaces)}" if options.namespaces else "any namespace"
    if not chosen.ledger.of(()).ways:
        raise UsageError(
            f"nothing to audit: no policy of {where} decides anything between the pods of this cluster; "
            "--everything tries all that is allowed, too"
        )
    raise LimitError(
        f"no two probe pods would notice anything within --max-probe-pods {options.max_probe_pods}: allow more"
    )


def _told_of(chosen: Chosen) -> str:
    """What the choice is good for, and what it isn't."""
    noticing = chosen.ledger.of(chosen.connections)
    missed = f"; not: {in_brief(noticing.missed, MOST_MISSED)}" if noticing.missed else ""
    return f"{noticing}{missed}"


@dataclass(frozen=True, slots=True)
class _Joined:
    """For an audit in place: the pod to join in the place of each probe pod, and why there is none, by the probe pod's
    name.
    """

    members: Mapping[str, Endpoint] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, live: LiveSnapshot, probes: Iterable[ProbePod], request: ProbeRequest, closed: Mapping[str, str]
    ) -> _Joined:
        """Only audited pods are joined: an ephemeral container stays in a pod, and may stay only where that was asked
        for.
        """
        members: dict[str, Endpoint] = {}
        absent: dict[str, str] = {}
        proxied = proxied_pods(live)
        for probe in probes:
            standing = [live.snapshot.endpoint(name) for name in probe.stands_for]
            asked_for = [pod for pod in standing if request.audits(pod)]
            opened = [pod for pod in asked_for if pod.namespace not in closed]
            running = [pod for pod in opened if pod.name not in proxied and pod.addresses and pod.node]
            placed = [pod for pod in running if pod.namespace == probe.namespace and probe.node in ("", pod.node)]
            if running:
                members[probe.name] = (placed or running)[0]
            elif not asked_for:
                absent[probe.name] = _not_asked_for(standing, request)
            elif not opened:
                absent[probe.name] = f"namespace {asked_for[0].namespace}: {closed[asked_for[0].namespace]}"
            else:
                absent[probe.name] = "none of its pods runs" if proxied.isdisjoint(probe.stands_for) else PROXIED
        return cls(members, absent)


def _not_asked_for(pods: Iterable[Endpoint], request: ProbeRequest) -> str:
    """Why none of ``pods`` is joined, and what would have one joined."""
    namespaces = sorted({pod.namespace for pod in pods})
    if request.namespaces and not set(namespaces).intersection(request.namespaces):
        which = " or ".join(f"-n {namespace}" for namespace in namespaces[:2])
        return f"none of its pods is in an audited namespace, so nothing is put into them: {which} audits it, too"
    return f"none of its pods matches -l {request.selector}, so nothing is put into them"


def _check_externals(workloads: Snapshot, externals: Iterable[Endpoint]) -> None:
    """Raise UsageError for a host that is inside the cluster: no ipBlock says of it what it says of a host outside."""
    known = {address: f"Service {service.place}" for service in workloads.services for address in service.cluster_ips}
    for endpoint in workloads.endpoints:
        who = (
            f"node {endpoint.node}"
            if endpoint.host_network or endpoint.kind is EndpointKind.NODE
            else f"pod {endpoint.name}"
        )
        known |= dict.fromkeys(endpoint.addresses, who)
    for external in externals:
        for address in external.addresses:
            if address in known:
                name = external.name.partition("/")[2]
                raise UsageError(
                    f"--external {name}: {address} is {known[address]} of this cluster, and no host outside: leave "
                    "it out"
                )


def _stand_in(probe: ProbePod) -> Endpoint:
    return Endpoint(probe.name, EndpointKind.POD, probe.namespace, probe.labels, (), probe.ports, probe.node)


def _size(probes: Sequence[ProbePod]) -> str:
    pods = pluralize(sum(len(probe.stands_for) for probe in probes), "pod")
    namespaces = pluralize(len({probe.namespace for probe in probes}), "namespace")
    return (
        f"{pods} represented by {pluralize(len(probes), 'probe pod')} in {namespaces} (L3/L4 only; "
        "service meshes bypassed)"
    )


def _size_in_place(probes: Sequence[ProbePod], joined: Mapping[str, object]) -> str:
    pods = pluralize(sum(len(probe.stands_for) for probe in probes if probe.name in joined), "pod")
    return (
        f"{pods} audited by way of {len(joined)} of them, from inside; real processes answer, on the ports that "
        "pods declare"
    )


def _remarks(live: LiveSnapshot) -> Sequence[str]:
    other_kinds = [
        f"{count} {kind} also in force and not evaluated: where they apply, what is expected may be wrong"
        for kind, count in live.other_kinds.items()
    ]
    unknown = [
        f"policy {policy.full_name} {policy.why}: what it may decide is inconclusive"
        for policy in live.snapshot.unknown
        if policy.why != NOT_EVALUATED  # they are counted
    ]
    return [*other_kinds, *unknown, *live.notes]
