"""Proof that packets get from one node to another, which pods that are heard by their own nodes say nothing of.

Where agents sit at the nodes themselves, as in the lab, they call each other in every round that has connections from
node to node: no policy is about what nodes have to do with each other. A denial between pods of two nodes then counts
only where packets passed between these in the same round or an earlier one, and in a later one. Elsewhere pods call
the kubelets of other nodes, and it is told where nothing was answered. What pods send each other may take another way
(``auditor.probing.crossings``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from auditor.model.addresses import IPAddress
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.words import pluralize
from auditor.probing.attempts import Answer, AttemptResult, Listener
from auditor.probing.batches import Attempt, Target
from auditor.probing.crossings import Crossing, Crossings
from auditor.probing.kubelets import Kubelets
from auditor.probing.links import is_reset
from auditor.probing.routes import Route
from auditor.probing.sites import ProbeSite

CALLED_PORT = 10012
"""Where the agent of a node listens for calls if nothing else has it listen on TCP."""
CLOSED_PORT = 9
CALLS = 8
"""How often one node calls another in a round: enough that the loss of single packets does not silence all of them."""
PODS_CALLING = 2
"""How many pods of each node call another node, to tell how much is lost of what nodes forward."""
CALLS_OF_A_POD = 16
MOST_CALLS = 2000
SHOWN = 3
"""How many paths over which nothing was answered are named."""


class Path(NamedTuple):
    """The way between two nodes, by their names in order, both ways; or between the pods of one node."""

    one: str
    other: str
    family: Family

    def __str__(self) -> str:
        if self.one == self.other:
            return f"between pods on node {self.one} over {self.family}"
        return f"between nodes {self.one} and {self.other} over {self.family}"


def path_of(source: ProbeSite, destination: ProbeSite, family: Family) -> Path | None:
    """The path that packets between two sites take; None where they stay on one node, or a node isn't known."""
    if not source.node or not destination.node or source.node == destination.node:
        return None
    return _path(source.node, destination.node, family)


def forwarding_of(source: ProbeSite, destination: ProbeSite, family: Family) -> Path | None:
    """The path, within a node or between two, on which nodes forward what two pods send each other; None for others."""
    if not source.node or not destination.node or source.is_node or destination.is_node or source == destination:
        return None
    return _path(source.node, destination.node, family)


def _path(node: str, other: str, family: Family) -> Path:
    return Path(min(node, other), max(node, other), family)


class Paths:
    """What has been heard between the nodes of ``sites``, by round. ``there`` are the sites with agents in this run,
    ``free`` the names of those that policies let send whatever they like.
    """

    def __init__(
        self,
        sites: Iterable[ProbeSite],
        there: Iterable[ProbeSite],
        crossings: Crossings | None = None,
        free: Collection[str] = (),
    ) -> None:
        self.crossings = Crossings() if crossings is None else crossings
        every = {site.name: site for site in sites}
        self._node_of = {site.name: site.node for site in every.values()}
        self._callers = {site.node: site for site in there if site.is_node and site.answers}
        self._pods: dict[str, list[ProbeSite]] = defaultdict(list)
        for site in there:
            if site.agent and site.node and not site.is_node:
                self._pods[site.node].append(site)
        for pods in self._pods.values():
            pods.sort(key=lambda pod: pod.name not in free)
        self._addresses: dict[str, dict[Family, IPAddress]] = defaultdict(dict)
        for site in every.values():
            for address in site.addresses if site.is_node else site.neighbour_addresses if site.node else ():
                self._addresses[site.node].setdefault(Family(address.version), address)
        self._heard: dict[Path, list[int]] = defaultdict(list)
        self._nodes = frozenset(site.name for site in every.values() if site.is_node)
        self._forwarded: set[Path] = set()
        self._at_nodes = frozenset(site.name for site in self._callers.values())
        self._called: dict[Attempt, Path] = {}
        self._ports: dict[tuple[str, Family], int] = {}
        self._kubelets = Kubelets(self._calling, self._address, self._addresses, free)

    def listeners(
        self, wanted: Mapping[str, Sequence[Listener]], routes: Iterable[Route]
    ) -> dict[str, Sequence[Listener]]:
        """``wanted``, and for the nodes that the paths of ``routes`` join one to call, if they have none so far."""
        known: dict[str, Sequence[Listener]] = dict(wanted)
        pairs = {route.pair: route for route in routes}.values()
        for path in sorted(set(filter(None, (path_of(r.source, r.destination, r.listener.family) for r in pairs)))):
            for node in path[:2]:
                site = self._callers.get(node)
                if site is None or (node, path.family) in self._ports or not self._address(node, path.family):
                    continue
                mine = [each for each in known.get(site.name, ()) if each[1::2] == (Protocol.TCP, path.family)]
                self._ports[node, path.family] = min((each.port for each in mine), default=CALLED_PORT)
                if not mine:
                    more = Listener(site.name, Protocol.TCP, CALLED_PORT, path.family)
                    known[site.name] = (*known.get(site.name, ()), more)
        return known

    def _address(self, node: str, family: Family) -> IPAddress | None:
        return self._addresses.get(node, {}).get(family)

    def is_provable(self, path: Path) -> bool:
        """Whether agents at both nodes can call each other over it."""
        return all(node in self._callers and self._address(node, path.family) for node in path[:2])

    def calls(self, paths: Iterable[Path], *, from_pods: bool = False) -> list[Attempt]:
        """Attempts from node to node; ``from_pods``: from some of their pods as well, whose packets nodes forward."""
        made: list[Attempt] = []
        for path in dict.fromkeys(paths):
            if not self.is_provable(path):
                continue
            for node, other in (path[:2], path[1::-1]):
                caller, called = self._callers[node], self._callers[other]
                address, port = str(self._address(other, path.family)), self._ports.get((other, path.family))
                knock = Attempt(caller.name, "", Target(address, Protocol.TCP, CLOSED_PORT, None))
                self._called[knock] = path
                made.append(knock)
                if port is None:
                    continue
                target = Target(address, Protocol.TCP, port, called.name)
                made += [Attempt(caller.name, called.name, target)] * CALLS
                pods = self._calling(node, path.family) if from_pods else ()
                made += [Attempt(pod.name, called.name, target) for pod in pods for _ in range(CALLS_OF_A_POD)]
        return made[:MOST_CALLS]

    def _calling(self, node: str, family: Family) -> list[ProbeSite]:
        """A few pods of ``node`` that have an address of ``family``."""
        pods = self._pods.get(node, ())
        return [pod for pod in pods if any(address.version == family for address in pod.addresses)][:PODS_CALLING]

    def last_calls(self, paths: Iterable[Path]) -> list[Attempt]:
        """Where no agent sits at the nodes and nothing was answered between them: calls from pods of each to the
        other's kubelet, and from those that may send whatever they like to some further node's, for comparison.
        """
        calls = dict.fromkeys(
            call for path in dict.fromkeys(paths) if self._is_open(path) for call in self._kubelets.calls(*path)
        )
        made = list(calls)[:MOST_CALLS]
        self._called |= {call: _path(*self._kubelets.made[call][1:]) for call in made}
        return made

    def _is_open(self, path: Path) -> bool:
        """Whether nothing was answered over ``path`` so far, and no agents sit at its nodes that could call."""
        return not self.is_provable(path) and path not in self._heard

    def suspected(self, paths: Iterable[Path]) -> list[Attempt]:
        """The calls to kubelets that must be made again before their silence is held against one of ``paths``."""
        return [call for path in filter(self._is_open, paths) for call in self._kubelets.suspected(*path)]

    def apart(self, path: Path) -> str:
        """Why it must be thought that nothing gets over ``path``, where no agent sits at its nodes; empty if it need
        not.
        """
        against = self._kubelets.apart(*path) if self._is_open(path) else ""
        return f"nothing was answered {path}, {against}" if against else ""

    def take(self, probe_round: int, attempts: Sequence[Attempt], tries: Sequence[AttemptResult]) -> None:
        """Take in what came of the attempts of one round."""
        node_of, nodes, seen = self._node_of, self._nodes, set[tuple[str, str, bool, bool, Protocol]]()
        for attempt, one in zip(attempts, tries, strict=True):
            if one.answer is Answer.ALLOWED and attempt.destination:
                source, destination, target = attempt
                of_pods = source not in nodes and destination not in nodes and source != destination
                seen.add((node_of[source], node_of[destination], ":" in target.address, of_pods, target.protocol))
            elif one.answer in (Answer.ALLOWED, Answer.REFUSED) and self._tells(attempt, one):
                self._note(self._called[attempt], probe_round)
            if not attempt.destination:
                self._kubelets.take(attempt, one)
        for node, other, is_ipv6, of_pods, protocol in seen:
            family = Family.IPV6 if is_ipv6 else Family.IPV4
            path = _path(node, other, family)
            if node and other and node != other:
                self._note(path, probe_round)
                if of_pods:
                    self.crossings.note(Crossing(node, other, protocol, family))
            if of_pods:
                self._forwarded.add(path)

    def _tells(self, attempt: Attempt, one: AttemptResult) -> bool:
        """Whether what came of a call shows that it got to the other node: a pod's own node may refuse what the pod
        sends, and nobody else can what a node itself sends.
        """
        if attempt not in self._called:
            return False
        return one.answer is Answer.ALLOWED or (attempt.source in self._at_nodes and is_reset(attempt, one))

    def _note(self, path: Path, probe_round: int) -> None:
        moments = self._heard[path]
        if not moments or moments[-1] != probe_round:
            moments.append(probe_round)

    def silenced(self, probe_round: int, paths: Iterable[Path]) -> dict[Path, str]:
        """Those of ``paths``, which were called, over which something was heard before and nothing in this round; with
        the reason.
        """
        known = ((path, self._heard.get(path)) for path in dict.fromkeys(paths) if self.is_provable(path))
        silent = [path for path, moments in known if moments and moments[-1] != probe_round]
        return {path: f"nothing was answered {path} meanwhile" for path in silent}

    def between(self, attempt: Attempt) -> Path | None:
        """The path that an attempt at a site takes, if any."""
        node, other = self._node_of[attempt.source], self._node_of.get(attempt.destination, "")
        family = Family.IPV6 if ":" in attempt.target.address else Family.IPV4
        return _path(node, other, family) if node and other and node != other else None

    def doubt(self, path: Path, probe_round: int) -> str:
        """Why a denial in that round says nothing about a connection that takes this path; empty if it does, or where
        nobody could have tried the path.
        """
        moments = self._heard.get(path, ())
        if not self.is_provable(path):
            return ""
        if not moments:
            return f"nothing was answered {path}"
        if not any(moment > probe_round for moment in moments):
            return f"nothing was answered {path} after the probes"
        if not any(moment <= probe_round for moment in moments):
            return f"nothing was answered {path} before the probes"
        return ""

    def is_shown(self, path: Path, route: Route) -> bool:
        """Whether something was answered over ``path`` that took it as ``route`` does: from pod to pod, or any."""
        of_pods = not (route.source.is_node or route.destination.is_node)
        return path in self._forwarded or (not of_pods and path in self._heard)

    def unshown(self, denials: Counter[Path]) -> Iterator[str]:
        """What there is to tell of ``denials``, connections by their paths, none of which is shown (``is_shown``).
        A node may forward nothing at all, and what it forwards to another may take another way, through a tunnel say.
        """
        unheard = sorted(denials)
        for path in unheard[:SHOWN]:
            between = str(path).replace("between", "between pods of", 1) if path in self._heard else str(path)
            yield f"nothing was answered {between}: {_not_shown(denials[path], 'between them')}"
        if more := unheard[SHOWN:]:
            count = sum(denials[path] for path in more)
            yield f"nor on {pluralize(len(more), 'further path')} of these kinds: {_not_shown(count, 'on these')}"


def _not_shown(count: int, where: str) -> str:
    connections = pluralize(count, "denied connection")
    verb = "was" if count == 1 else "were"
    return f"that {connections} {where} {verb} denied by policy was not shown"
