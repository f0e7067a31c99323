"""What is wrong on the way through Services: the one known fault that explains most of what differs there.

Only what fares otherwise than the same connection without the Service is asked about; the rest has its cause among the
dialects of policies (``auditor.diagnosis.search``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from auditor.model.path_dialect import PathDialect
from auditor.model.policy import Direction
from auditor.model.service_seen import PathDiagnosis, PathFault, ServiceCell, ServiceResult, Way
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Observed, Result, Verdict
from auditor.model.words import in_brief, pluralize
from auditor.policy.explain import decide
from auditor.policy.service_ways import by_address

EPHEMERAL = 40000
"""A port such as clients are given by their kernel."""
SHOWN = 3


@dataclass(frozen=True, slots=True)
class PathSpec:
    """One dialect: where it holds, whether what it touches is ``allowed``, and what is said of it.

    ``touches`` says whether a connection is concerned where the dialect is in force on the node of this name;
    ``allowed`` what becomes of it.
    """

    phrase: str
    advice: str
    touches: Callable[[_Ends, str], bool]
    allowed: Callable[[_Ends], bool]


@dataclass(frozen=True, slots=True)
class _Ends:
    """A connection through a Service, with its ends, and the addresses of nodes by their bare names."""

    snapshot: Snapshot
    cell: ServiceCell
    source: Endpoint
    backend: Endpoint
    nodes: Mapping[str, Endpoint]
    _under: dict[PathDialect, bool] = field(default_factory=dict)

    def under(self, dialect: PathDialect) -> bool:
        """Whether it is allowed where ``dialect`` touches it."""
        if dialect not in self._under:
            self._under[dialect] = PATHS[dialect].allowed(self)
        return self._under[dialect]

    @property
    def to_itself(self) -> bool:
        return self.cell.source == self.cell.backend

    @property
    def by_cluster_ip(self) -> bool:
        return self.cell.way is Way.CLUSTER_IP

    def is_translated_at(self, node: str) -> bool:
        """Whether it is on the source's node, called ``node``, that its destination is translated."""
        return self.by_cluster_ip or self.cell.at == node

    def sent(self) -> bool:
        """Whether the source may send it, to the backend."""
        return self.to_itself or decide(self.snapshot, self.cell.direct).allowed(Direction.EGRESS)

    def received(self) -> bool:
        """Whether the backend may receive it, from the source."""
        return self.to_itself or decide(self.snapshot, self.cell.direct).allowed(Direction.INGRESS)

    def received_from_node(self) -> bool:
        """Whether the backend may receive it from the address of the source's node, like from anybody's."""
        address = self._address(self.source.node)
        return by_address(self.snapshot, self.cell, Direction.INGRESS, address, self.cell.port)

    def sent_to(self, address: str, port: int) -> bool:
        """Whether the source may send to ``address`` on ``port``, like to anybody's."""
        return by_address(self.snapshot, self.cell, Direction.EGRESS, address, port)

    def sent_to_own_node(self) -> bool:
        """Whether the source may answer to its node's address, like to anybody's."""
        return self.sent_to(self._address(self.source.node), EPHEMERAL)

    def sent_to_node_port(self) -> bool:
        """Whether the source may send to the NodePort's node: to its own it always may."""
        return self.cell.at == self.source.node or self.sent_to(self.cell.address, self.cell.number)

    def _address(self, node: str) -> str:
        there = self.nodes[node].address(self.cell.family) if node in self.nodes else None
        return str(there or ("192.0.2.1" if self.cell.family == 4 else "2001:db8::1"))


PATHS: Mapping[PathDialect, PathSpec] = {
    PathDialect.SERVICE_SKIPS_POLICY: PathSpec(
        "no policy is applied through Services between pods of the same node",
        "Check where this CNI filters what kube-proxy has sent to a pod of the same node (with IPVS, in OUTPUT).",
        lambda ends, node: ends.source.node == ends.backend.node == node and ends.is_translated_at(node),
        lambda _: True,
    ),
    PathDialect.SERVICE_SNAT: PathSpec(
        "what pods send through Services to other nodes seems to come from their node",
        "Find out what masquerades it: kube-proxy's --masquerade-all or --cluster-cidr, or the CNI's own rule.",
        lambda ends, node: ends.source.node == node != ends.backend.node and ends.by_cluster_ip,
        lambda ends: ends.sent() and ends.received_from_node(),
    ),
    PathDialect.HAIRPIN_POLICED: PathSpec(
        "what a pod sends to itself through a Service is filtered",
        "A pod must always reach itself: report it to the CNI, or allow the pod's own node by an ipBlock.",
        lambda ends, node: ends.to_itself and ends.source.node == node and ends.is_translated_at(node),
        lambda ends: ends.received_from_node(),
    ),
    PathDialect.JUDGES_BEFORE_DNAT: PathSpec(
        "egress through Services is judged by the ClusterIP and the Service's port",
        "Judge after the translation, or allow the ClusterIPs by ipBlocks, which other CNIs need not.",
        lambda ends, node: ends.by_cluster_ip and ends.source.node == node,
        lambda ends: ends.sent_to(ends.cell.address, ends.cell.number) and ends.received(),
    ),
    PathDialect.NODE_PORT_SKIPS_POLICY: PathSpec(
        "no policy is applied through NodePorts at a pod's own node",
        "Check where this CNI filters what kube-proxy has sent from a node's port to a pod of the same node.",
        lambda ends, node: not ends.by_cluster_ip and ends.cell.at == ends.backend.node == node,
        lambda ends: ends.sent_to_node_port(),
    ),
    PathDialect.HAIRPIN_REPLIES_JUDGED: PathSpec(
        "the replies of what a pod sends to itself through a Service are taken for new connections",
        "The replies belong to a connection that was allowed: update the CNI, or allow egress to the pod's own node.",
        lambda ends, node: ends.to_itself and ends.source.node == node and ends.is_translated_at(node),
        lambda ends: ends.sent_to_own_node(),
    ),
}


def diagnose_paths(
    snapshot: Snapshot, nodes: Mapping[str, Endpoint], results: Sequence[ServiceResult]
) -> PathDiagnosis | None:
    """The fault that explains most of ``results`` that differ through Services alone; None where none does differ."""
    differing = [each for each in results if each.is_fault]
    if not differing:
        return None
    by_name = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    ends = {
        each.cell: _Ends(snapshot, each.cell, by_name[each.cell.source], by_name[each.cell.backend], nodes)
        for each in results
    }
    held = [each for each in results if _counts(each)]
    ranked = sorted(
        ((_score(fault, held, ends), number, fault) for number, fault in enumerate(_candidates(ends.values()))),
        key=lambda each: (each[0].against, each[1]),
    )
    best = ranked[0][0] if ranked else None
    # What explains the smaller part, or says as much that is not so, is no cause.
    if best is None or 2 * len(best.explained) < len(differing) or best.against >= len(differing):
        return _unknown(differing)
    # A fault on every node and on one of them say the same where all that they touch is on that one.
    alike = [
        fault for score, _, fault in ranked[1:] if score.against == best.against and _is_another(fault, ranked[0][2])
    ]
    return _named(ranked[0][2], best, differing, alike)


def _is_another(fault: PathFault, chosen: PathFault) -> bool:
    return fault.dialect is not chosen.dialect


def _counts(each: ServiceResult) -> bool:
    """Whether what was seen speaks for or against a fault."""
    return each.result in (Result.MATCH, Result.LEAK, Result.OUTAGE) and not each.left_open and not each.as_without


def _candidates(ends: Iterable[_Ends]) -> Iterator[PathFault]:
    nodes = sorted({name for each in ends for name in (each.source.node, each.backend.node) if name})
    for dialect in PATHS:
        yield PathFault(dialect)
    for dialect in PATHS:
        yield from map(partial(PathFault, dialect), nodes)


@dataclass(frozen=True, slots=True)
class _Score:
    """The connections that a fault explains, and how many it doesn't, or says to differ though they don't."""

    explained: tuple[ServiceCell, ...]
    against: int


def _score(fault: PathFault, held: Iterable[ServiceResult], ends: Mapping[ServiceCell, _Ends]) -> _Score:
    explained, against = [], 0
    for each in held:
        differs = predicted(fault, ends[each.cell], each.expected) != (each.expected is Verdict.ALLOWED)
        if differs and each.is_fault:
            explained.append(each.cell)
        against += differs != each.is_fault
    return _Score(tuple(explained), against)


def predicted(fault: PathFault, ends: _Ends, expected: Verdict) -> bool:
    """Whether the connection, of which ``expected`` is demanded, is allowed where ``fault`` is."""
    spec = PATHS[fault.dialect]
    there = (fault.node,) if fault.node else {ends.source.node, ends.backend.node}
    if any(node and spec.touches(ends, node) for node in there):
        return ends.under(fault.dialect)
    return expected is Verdict.ALLOWED


def _named(
    fault: PathFault, score: _Score, differing: Sequence[ServiceResult], alike: Sequence[PathFault]
) -> PathDiagnosis:
    spec = PATHS[fault.dialect]
    count, whole = len(score.explained), len(differing)
    tied = "".join(f"; or {_in_words(other)}" for other in alike[:2])
    left = tuple(each.cell for each in differing if each.cell not in set(score.explained))
    return PathDiagnosis(
        f"{_in_words(fault)}{tied}: explains {count} of {pluralize(whole, 'connection')} that "
        f"{'differs' if whole == 1 else 'differ'} through Services alone",
        spec.advice,
        fault,
        score.explained,
        left,
        tuple(alike),
    )


def _in_words(fault: PathFault) -> str:
    """What is wrong, and where: the node first, as the words for some faults end with another."""
    where = f"on node {fault.node}, " if fault.node else ""
    return f"{where}{PATHS[fault.dialect].phrase}"


def _unknown(differing: Sequence[ServiceResult]) -> PathDiagnosis:
    shown = in_brief([str(each.cell) for each in differing], SHOWN)
    refused = all(each.observation.verdict is not Observed.ALLOWED for each in differing)
    return PathDiagnosis(
        f"no known fault explains {pluralize(len(differing), 'connection')} that differ through Services alone: "
        f"{shown}",
        "See whether kube-proxy runs and is up to date on the nodes concerned."
        if refused
        else "See what filters packets after kube-proxy has translated them.",
        unexplained=tuple(each.cell for each in differing),
    )
