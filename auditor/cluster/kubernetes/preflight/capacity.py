"""Whether there is room for what a run creates: on the nodes of a cluster, and in a namespace's ResourceQuotas.

A dry run finds out for one pod; only the sum tells for all of them. Quotas with scopes that depend on more than what we
set ourselves are left to the dry run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from auditor.cluster.kubernetes.client.api_types import NodeRecord, NodeSpec, NodeStatus, PodRecord, Record
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight.disruptions import Named
from auditor.model.probe_pod import ProbePod
from auditor.model.service_seen import MOST_NODE_PORTS, MOST_PORTS
from auditor.model.words import pluralize
from auditor.parsing.pods import FINISHED

NODES = Question("/api/v1/nodes", "list", "nodes")
PODS = Question("/api/v1/pods", "list", "pods", " in all namespaces")
KEPT_FREE = 2
"""Places on each node that are left to others."""


class Taint(Record, frozen=True):
    """v1 Taint."""

    effect: str = ""


class RoomySpec(NodeSpec, frozen=True):
    """v1 NodeSpec, as far as it shows whether the node takes pods."""

    taints: tuple[Taint, ...] = ()


class RoomyStatus(NodeStatus, frozen=True):
    """v1 NodeStatus, as far as it shows how many."""

    allocatable: dict[str, str] = msgspec.field(default_factory=dict)


class RoomyNode(NodeRecord, frozen=True):
    """v1 Node."""

    spec: RoomySpec = RoomySpec()
    status: RoomyStatus = RoomyStatus()

    @property
    def takes_pods(self) -> bool:
        """Whether it takes pods that tolerate nothing."""
        return self.is_ready and all(taint.effect == "PreferNoSchedule" for taint in self.spec.taints)


async def room_for_pods(api: ApiServer) -> Mapping[str, int]:
    """How many more pods each node takes, by its name, sorted; nodes that take none are left out. Raises
    ClusterError.
    """
    listed, _ = await read_list(api, NODES)
    nodes = [node for item in listed if (node := decode(item, RoomyNode, api, NODES)).takes_pods]
    items, _ = await read_list(api, PODS)
    pods = [decode(item, PodRecord, api, PODS) for item in items]
    taken = Counter(pod.spec.node_name for pod in pods if pod.status.phase not in FINISHED)
    return {name: free for name, free in sorted(_room(nodes, taken).items()) if free > 0}


def _room(nodes: Iterable[RoomyNode], taken: Mapping[str, int]) -> dict[str, int]:
    """How many more pods each of ``nodes`` takes, as far as they say how many they take at all."""
    known = (node for node in nodes if "pods" in node.status.allocatable)
    return {
        node.metadata.name: max(0, int(node.status.allocatable["pods"]) - taken.get(node.metadata.name, 0) - KEPT_FREE)
        for node in known
    }


def without_room(
    nodes: Sequence[RoomyNode], taken: Mapping[str, int], probes: Iterable[ProbePod]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The names of those ``probes``, taken in this order, for which there is no room beside the ``taken`` places, with
    the reason.

    A probe pod with a node of its own may go there whatever its taints; the others share what room is left on nodes
    without any.
    """
    room = _room(nodes, taken)
    by_node: dict[str, list[str]] = defaultdict(list)
    for probe in probes:
        by_node[probe.node].append(probe.name)
    free = by_node.pop("", [])
    for node, names in by_node.items():
        if node in room and len(names) > room[node]:
            why = f"node {node} has room for {pluralize(room[node], 'more pod')}, and {len(names)} were to go there"
            yield tuple(names[room[node] :]), why
        room[node] = max(0, room.get(node, 0) - len(names))
    left = sum(room[node.metadata.name] for node in nodes if node.takes_pods and node.metadata.name in room)
    if len(free) > left and any("pods" in node.status.allocatable for node in nodes):
        why = (
            f"the nodes have room for {pluralize(left, 'more pod')} without a place of their own, and {len(free)} "
            "were to go there"
        )
        yield tuple(free[left:]), why


def with_room(nodes: Iterable[RoomyNode], taken: Mapping[str, int], pods: int) -> frozenset[str]:
    """The names of those of ``nodes`` that take one more pod, wherever so many ``pods`` may go."""
    return frozenset(node for node, free in _room(nodes, taken).items() if free > pods)


SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
OUR_SCOPES = frozenset({"Terminating", "NotBestEffort"})
"""The scopes that hold our pods: they have a deadline and requests (core/v1 ResourceQuotaScope)."""


class QuotaSpec(Record, frozen=True):
    """v1 ResourceQuotaSpec; a scopeSelector goes by classes that we don't set."""

    scopes: tuple[str, ...] = ()
    scope_selector: msgspec.Raw = msgspec.Raw()


class QuotaStatus(Record, frozen=True):
    """v1 ResourceQuotaStatus."""

    hard: dict[str, str] = msgspec.field(default_factory=dict)
    used: dict[str, str] = msgspec.field(default_factory=dict)


class Quota(Record, frozen=True):
    """v1 ResourceQuota."""

    metadata: Named
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()

    @property
    def concerns_us(self) -> bool:
        return OUR_SCOPES.issuperset(self.spec.scopes) and not bytes(self.spec.scope_selector)


def quantity(text: str) -> Decimal:
    """The value of a quantity such as ``250m``, ``96Mi``, ``1e3`` (apimachinery resource.Quantity). ValueError when it
    is none.
    """
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    try:
        return Decimal(number) * SUFFIXES[suffix]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{text!r} is not a valid quantity, such as 250m or 96Mi") from None


def needed(pods: int, options: PodOptions) -> dict[str, Decimal]:
    """What ``pods`` probe pods and what goes with them take of each resource that a quota can limit."""
    requested, limited, memory = (pods * quantity(text) for text in (options.cpu, options.cpu_limit, options.memory))
    count, one = Decimal(pods), Decimal(1)
    return {
        "pods": count,
        "count/pods": count,
        "cpu": requested,
        "requests.cpu": requested,
        "limits.cpu": limited,
        "memory": memory,
        "requests.memory": memory,
        "limits.memory": memory,
        "configmaps": one,
        "count/configmaps": one,
        "count/leases.coordination.k8s.io": one,
    }


def shortages(quotas: Iterable[Quota], pods: int, options: PodOptions) -> tuple[str, ...]:
    """What is missing in one namespace for ``pods`` probe pods, a phrase for each resource of each quota that is too
    small.
    """
    return _shortages(quotas, needed(pods, options))


def service_shortages(quotas: Iterable[Quota], pods: int) -> tuple[str, ...]:
    """What is missing for the Services in front of ``pods`` probe pods, at the most; quotas with scopes hold pods
    alone.
    """
    services, node_ports = Decimal(2 * pods), Decimal(2 * min(pods, MOST_NODE_PORTS) * MOST_PORTS)
    wanted = {
        "services": services + 2 * min(pods, MOST_NODE_PORTS),
        "count/services": services + 2 * min(pods, MOST_NODE_PORTS),
        "services.nodeports": node_ports,
    }
    return _shortages((quota for quota in quotas if not quota.spec.scopes), wanted)


def _shortages(quotas: Iterable[Quota], wanted: Mapping[str, Decimal]) -> tuple[str, ...]:
    lines = []
    for quota in quotas:
        if not quota.concerns_us:
            continue
        for resource in sorted(quota.status.hard.keys() & wanted.keys()):
            free = quantity(quota.status.hard[resource]) - quantity(quota.status.used.get(resource, "0"))
            if wanted[resource] > free:
                lines.append(
                    f"quota {quota.metadata.name} leaves {_text(free)} of {resource}, {_text(wanted[resource])} needed"
                )
    return tuple(lines)


def _text(value: Decimal) -> str:
    """A quantity for people: bytes in Mi, thousandths as m, anything else plain."""
    if abs(value) >= 2**20:
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.0f}" if value == value.to_integral_value() else f"{value * 1000:.0f}m"
