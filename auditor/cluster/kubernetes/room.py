"""How many more pods the nodes of a cluster take, and which nodes these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from auditor.cluster.kubernetes.api import ApiServer, Question
from auditor.cluster.kubernetes.pages import decode, read_list
from auditor.cluster.kubernetes.records import NodeRecord, NodeSpec, NodeStatus, PodRecord, Record
from auditor.policy.reading.pods import FINISHED

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
    """How many more pods each node takes, by its name, sorted; nodes that take none are left out. Raises ClusterError."""
    listed, _ = await read_list(api, NODES)
    nodes = [node for item in listed if (node := decode(item, RoomyNode, api, NODES)).takes_pods]
    items, _ = await read_list(api, PODS)
    pods = [decode(item, PodRecord, api, PODS) for item in items]
    taken = Counter(pod.spec.node_name for pod in pods if pod.status.phase not in FINISHED)
    room = {node.metadata.name: int(node.status.allocatable.get("pods", "0")) - taken[node.metadata.name] - KEPT_FREE for node in nodes}
    return {name: free for name, free in sorted(room.items()) if free > 0}
