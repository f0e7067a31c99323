"""The models of probe pods: which pods of the cluster are copied, on which nodes.

Namespaces are settled first, since each further one is a further place where something is created; then nodes, since
policies are enforced on the node of the isolated pod, and a node without a probe pod of an isolated class goes
untested. Before nodes comes the member that the most selectors match: an enforcer that is blind to namespaces goes
unnoticed on pods that it takes for nobody. What is left out is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from auditor.model.draw import Place
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint
from auditor.model.workloads import workload_name

SYSTEM_NAMESPACES = "kube-"
"""The prefix of the namespaces that Kubernetes itself runs in: touched last."""

Pair = tuple[str, Direction]
"""A node's bare name and a direction in which policies isolate pods of that node."""


@dataclass(frozen=True, slots=True)
class PodClass:
    """An identity class of pods on the pod network, or the part of one that policies that nobody can read may tell
    apart from the rest.

    ``number`` counts these. ``members`` and ``audited``, which is a part of them, are sorted by name. ``isolated`` are
    the directions in which policies isolate the members; ``decided_within`` says that what different members send each
    other is up to policies. It is one of so many classes that take ``turns``.
    """

    number: int
    members: tuple[Endpoint, ...]
    audited: tuple[Endpoint, ...]
    isolated: frozenset[Direction]
    decided_within: bool
    turns: int = 1


def pairs_of(pod_class: PodClass, endpoint: Endpoint) -> set[Pair]:
    """What a probe pod in place of ``endpoint``, a member, tests."""
    return {(endpoint.node, direction) for direction in pod_class.isolated} if endpoint.node else set()


def place_of(pod: Endpoint) -> Place:
    """The workload of ``pod`` on its node."""
    return Place(workload_name(pod), pod.node)


class Models:
    """The models chosen so far, for each class; the first of a class stands for all that no other one does."""

    def __init__(
        self,
        classes: Sequence[PodClass],
        can_use: Callable[[str], bool],
        matching: Callable[[Endpoint], int],
        closed: Collection[str] = (),
        seed: int | None = None,
    ) -> None:
        """``can_use`` says for a bare name whether a node can take probe pods, ``matching`` how many pod selectors
        match a pod. Models stand in namespaces that are ``closed`` only where a class has no other member. ``seed``:
        which members have their turn (None: those that tell most).
        """
        self._closed = closed
        self._seed = seed
        self.turns = 1
        self._classes = classes
        self._can_use = can_use
        self._matching = matching
        self._candidates = {one.number: self._usable(one.audited or one.members) for one in classes}
        self.namespaces = fewest_namespaces([{end.namespace for end in ends} for ends in self._candidates.values()])
        self.of_class: dict[int, list[Endpoint]] = {one.number: [] for one in classes}
        self.covered: set[Pair] = set()
        self._load: Counter[str] = Counter()

    def _usable(self, members: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        opened = tuple(filter(self._is_open, members)) or members
        return tuple(member for member in opened if self._can_use(member.node)) or opened

    def _is_open(self, endpoint: Endpoint) -> bool:
        return endpoint.namespace not in self._closed

    def _add(self, pod_class: PodClass, model: Endpoint) -> None:
        self.of_class[pod_class.number].append(model)
        self.namespaces.add(model.namespace)
        if self._can_use(model.node):
            self.covered |= pairs_of(pod_class, model)
            self._load[model.node] += 1

    def _disturbance(self, endpoint: Endpoint) -> tuple[bool, bool]:
        return (endpoint.namespace not in self.namespaces, endpoint.namespace.startswith(SYSTEM_NAMESPACES))

    def add_one_per_class(self) -> None:
        """One of each class that has none. Those go first that test something and have the least choice of nodes."""
        options = {one.number: self._most_telling(one) for one in self._classes if not self.of_class[one.number]}

        def freedom(pod_class: PodClass) -> tuple[bool, int]:
            return (not pod_class.isolated, len({option.node for option in options[pod_class.number]}))

        for pod_class in sorted((one for one in self._classes if one.number in options), key=freedom):
            best = (
                min(options[pod_class.number], key=lambda option: self._worth(pod_class, option))
                if self._seed is None
                else self._drawn(pod_class, self._seed)
            )
            self._add(pod_class, best)

    def _drawn(self, pod_class: PodClass, seed: int) -> Endpoint:
        """The member of ``pod_class`` whose turn it is. Classes begin at different places, lest all be on one
        node.
        """
        ring = self._ring(pod_class)
        self.turns = max(self.turns, pod_class.turns * len(ring))
        return ring[(seed // pod_class.turns + pod_class.number) % len(ring)]

    def _ring(self, pod_class: PodClass) -> list[Endpoint]:
        """One member for each workload and node, the nodes in turn: of audited pods all but those of the system, of
        others those that disturb least.
        """
        candidates = self._candidates[pod_class.number]
        if pod_class.audited:
            own = [end for end in candidates if not end.namespace.startswith(SYSTEM_NAMESPACES)]
        else:
            least = min(map(self._disturbance, candidates))
            own = [end for end in candidates if self._disturbance(end) == least]
        places: dict[Place, Endpoint] = {}
        for end in sorted(own or candidates, key=lambda end: (-self._matching(end), end.name)):
            places.setdefault(place_of(end), end)
        before: Counter[str] = Counter()
        ranked = []
        for place, end in places.items():
            ranked.append((before[place.node], place, end))
            before[place.node] += 1
        return [end for *_, end in sorted(ranked, key=lambda each: each[:2])]

    def places(self) -> frozenset[Place]:
        """Where policies isolate audited pods that can have a probe pod."""
        isolated = (one for one in self._classes if one.audited and one.isolated)
        return frozenset(place_of(end) for one in isolated for end in self._ring(one) if end.node)

    def _most_telling(self, pod_class: PodClass) -> list[Endpoint]:
        """Of the candidates that disturb least, those that most selectors match."""
        ranks = [
            (self._disturbance(candidate), -self._matching(candidate))
            for candidate in self._candidates[pod_class.number]
        ]
        best = min(ranks)
        return [
            candidate for candidate, rank in zip(self._candidates[pod_class.number], ranks, strict=True) if rank == best
        ]

    def _worth(self, pod_class: PodClass, option: Endpoint) -> tuple[int, int, str, str]:
        return (-len(pairs_of(pod_class, option) - self.covered), self._load[option.node], option.node, option.name)

    def add_all_audited(self) -> None:
        """Every audited pod whose node can take a probe pod."""
        for pod_class in self._classes:
            for endpoint in filter(self._is_open, pod_class.audited):
                if self._can_use(endpoint.node):
                    self._add(pod_class, endpoint)

    def missing(self) -> set[Pair]:
        """The pairs of audited pods, on nodes that can take probe pods, that no model covers."""
        wanted = (
            pairs_of(one, end)
            for one in self._classes
            if one.isolated
            for end in one.audited
            if self._can_use(end.node)
        )
        return set().union(*wanted) - self.covered

    def add_per_node(self) -> None:
        """As few more as cover every pair; a class that lacks a second one for traffic of its own comes first."""
        missing = self.missing()
        nodes = {node for node, _ in missing}
        at_node: dict[str, list[tuple[PodClass, Endpoint]]] = {node: [] for node in sorted(nodes)}
        for pod_class in self._classes:
            for endpoint in pod_class.audited if pod_class.isolated else ():
                if endpoint.node in nodes and self._is_open(endpoint):
                    at_node[endpoint.node].append((pod_class, endpoint))
        for options in at_node.values():
            while best := self._best_of(options, missing):
                self._add(*best)
                missing -= self.covered

    def _best_of(
        self, options: Iterable[tuple[PodClass, Endpoint]], missing: set[Pair]
    ) -> tuple[PodClass, Endpoint] | None:
        def rank(option: tuple[PodClass, Endpoint]) -> tuple[object, ...]:
            pod_class, endpoint = option
            tested = len(pairs_of(*option) & missing)
            place = self._disturbance(endpoint)
            return (-tested, not self._lacks_second(pod_class), place, -self._matching(endpoint), endpoint.name)

        return min((option for option in options if pairs_of(*option) & missing), key=rank, default=None)

    def _lacks_second(self, pod_class: PodClass) -> bool:
        return bool(pod_class.decided_within and pod_class.audited and len(self.of_class[pod_class.number]) == 1)

    def lacking_second(self) -> list[PodClass]:
        """The classes whose traffic between different members is audited, up to policies, and not tested by their one
        model.
        """
        return [pod_class for pod_class in self._classes if self._lacks_second(pod_class)]

    def add_seconds(self) -> None:
        """A second model of each class that lacks one, on another node where there is a choice."""
        for pod_class in self.lacking_second():
            self._add(pod_class, self._second(pod_class))

    def _second(self, pod_class: PodClass) -> Endpoint:
        (first,) = self.of_class[pod_class.number]
        audited = {endpoint.name for endpoint in pod_class.audited}

        def rank(endpoint: Endpoint) -> tuple[object, ...]:
            place = (not self._can_use(endpoint.node), self._disturbance(endpoint), endpoint.node == first.node)
            return (
                not self._is_open(endpoint),
                place,
                endpoint.name not in audited,
                -self._matching(endpoint),
                endpoint.name,
            )

        return min((member for member in pod_class.members if member is not first), key=rank)


def fewest_namespaces(options: Iterable[set[str]]) -> set[str]:
    """Few namespaces of which each of ``options`` has one: those without alternative, then whatever serves most, kube-*
    last.
    """
    choices = list(options)
    chosen = set().union(*(choice for choice in choices if len(choice) == 1))
    while left := [choice for choice in choices if not choice & chosen]:
        served = Counter(name for choice in left for name in choice)
        chosen.add(min(served, key=lambda name: (name.startswith(SYSTEM_NAMESPACES), -served[name], name)))
    return chosen
