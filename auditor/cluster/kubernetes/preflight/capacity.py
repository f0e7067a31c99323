"""How many more pods the nodes of a cluster take, and which nodes these are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from auditor.cluster.kubernetes.client.api_types import NodeRecord, NodeSpec, NodeStatus, PodRecord, Record
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.model.probe_pod import ProbePod
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
    """v1 NodeSpec, as far as it tells whether the node takes pods."""

    taints: tuple[Taint, ...] = ()


class RoomyStatus(NodeStatus, frozen=True):
    """v1 NodeStatus, as far as it tells how many."""

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
