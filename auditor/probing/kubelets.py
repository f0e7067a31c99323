"""Whether pods reach the kubelets of other nodes: what a live cluster has to show of the way between two nodes.

Nobody of ours sits at the nodes there. A kubelet that accepts shows that packets get to its node. One that stays silent
shows nothing by itself, as a policy or a firewall may keep pods from it; unless the same pod may send whatever it likes
and reaches the kubelet of a further node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.batches import Attempt, Target
from auditor.probing.sites import ProbeSite

KUBELET_PORT = 10250
COMPARED = 2
"""At how many further nodes pods call for comparison."""
SILENT_CALLS = 2
"""How often a kubelet must have been silent before that is held against the way to its node."""


class Call(NamedTuple):
    """A pod, the node that it is on, and the node whose kubelet it calls."""

    pod: str
    node: str
    other: str
    family: Family


class Kubelets:
    """Calls to kubelets, and what came of them.

    ``callers`` has the pods of a node that call, ``address`` that of a node, if it is known; ``nodes`` are all there
    are, ``free`` the pods that policies let send whatever they like.
    """

    def __init__(
        self,
        callers: Callable[[str, Family], Sequence[ProbeSite]],
        address: Callable[[str, Family], IPAddress | None],
        nodes: Collection[str],
        free: Collection[str],
    ) -> None:
        self._callers, self._address, self._nodes = callers, address, nodes
        self._free = frozenset(free)
        self.made: dict[Attempt, Call] = {}
        self._accepted: set[Call] = set()
        self._silent: Counter[Call] = Counter()

    def calls(self, one: str, other: str, family: Family) -> list[Attempt]:
        """Calls from pods of each of two nodes to the other's kubelet, and from those that are free to further ones."""
        made: list[Attempt] = []
        for node, away in ((one, other), (other, one)):
            made += self._calls(node, away, family, self._callers(node, family))
            free = [pod for pod in self._callers(node, family) if pod.name in self._free]
            for further in self._further(one, other, family):
                made += self._calls(node, further, family, free)
        return made

    def _further(self, one: str, other: str, family: Family) -> list[str]:
        others = (node for node in sorted(self._nodes) if node not in (one, other) and self._address(node, family))
        return list(islice(others, COMPARED))

    def _calls(self, node: str, away: str, family: Family, pods: Iterable[ProbeSite]) -> list[Attempt]:
        address = self._address(away, family)
        if address is None:
            return []
        target = Target(str(address), Protocol.TCP, KUBELET_PORT, None)
        made = {Attempt(pod.name, "", target): Call(pod.name, node, away, family) for pod in pods}
        self.made |= made
        return list(made)

    def take(self, attempt: Attempt, one: AttemptResult) -> None:
        """Take in what came of an attempt, which may be none of these calls."""
        call = self.made.get(attempt)
        if call is None:
            return
        if one.answer is Answer.ALLOWED:
            self._accepted.add(call)
        self._silent[call] += one.silent

    def suspected(self, one: str, other: str, family: Family) -> list[Attempt]:
        """The calls between two nodes that stayed silent and must be made again before that is held against the way."""
        silent = {call for call, _ in self._spoken_against(one, other, family)}
        return [attempt for attempt, call in self.made.items() if call in silent]

    def apart(self, one: str, other: str, family: Family) -> str:
        """What speaks against the way between two nodes, empty if nothing does: a pod that reaches a further node has
        met silence again and again.
        """
        against = self._spoken_against(one, other, family)
        often = (f"though {call.pod} reaches node {far}" for call, far in against if self._silent[call] >= SILENT_CALLS)
        return next(often, "")

    def _spoken_against(self, one: str, other: str, family: Family) -> list[tuple[Call, str]]:
        """Calls between two nodes that stayed silent, by pods that reach a further node; with that node."""
        return [
            (call, further)
            for node, away in ((one, other), (other, one))
            for pod in self._callers(node, family)
            for call in (Call(pod.name, node, away, family),)
            for further in self._further(one, other, family)
            if pod.name in self._free and self._silent[call]
            if Call(pod.name, node, further, family) in self._accepted
        ]
