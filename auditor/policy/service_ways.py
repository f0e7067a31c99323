"""What policies demand of a connection through a Service, and where the specification leaves it open.

A connection counts as one to the backend, on the target port, from whoever asks. But an enforcer may judge what a pod
sends before its destination is translated, and by way of a NodePort a node's address may stand for the source's. Where
these readings part, nothing is demanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from auditor.model.policy import Direction
from auditor.model.service_seen import ServiceCell, ServiceExpectation, Way
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.policy.explain import decide

NOTE_WORDS = {
    Note.CNI_DEPENDENT: "an ipBlock covers the backend's address: up to the CNI, without the Service, too",
    Note.UNDEFINED: "a hostNetwork pod takes part: undefined, without the Service, too",
    Note.ADDRESS_UNKNOWN: "an address is not known that a policy asks for",
    Note.LABELS_UNKNOWN: "labels are not known that a policy asks for",
}
SOMEBODY = "host/somebody-at-"
"""How the names begin of those who have an address that no endpoint has."""


def expectation(
    snapshot: Snapshot, cell: ServiceCell, notes: tuple[Note, ...] = (), inner: Sequence[str] = ()
) -> ServiceExpectation:
    """What the policies of ``snapshot``, which has all nodes, demand of ``cell``; ``notes`` are those of the same
    connection without the Service, ``inner`` further addresses that the node has whose NodePort this is.
    """
    verdict = Verdict.ALLOWED if _is_open(snapshot, cell.direct) else Verdict.DENIED
    for note in notes:
        if note in NOTE_WORDS:
            return ServiceExpectation(verdict, NOTE_WORDS[note])
    if cell.source == cell.backend and cell.way is Way.CLUSTER_IP:
        return ServiceExpectation(Verdict.ALLOWED)
    if cell.way is Way.CLUSTER_IP:
        return ServiceExpectation(verdict, _covered(snapshot, cell, verdict))
    verdicts = set(_by_node_port(snapshot, cell, inner))
    return ServiceExpectation(verdict, "" if len(verdicts) == 1 else _why_by_node_port(cell))


def _is_open(snapshot: Snapshot, cell: Cell) -> bool:
    return decide(snapshot, cell).verdict is Verdict.ALLOWED


def _side(snapshot: Snapshot, cell: Cell, direction: Direction) -> bool:
    decision = decide(snapshot, cell)
    return bool(decision.exemption) or decision.allowed(direction)


def _covered(snapshot: Snapshot, cell: ServiceCell, verdict: Verdict) -> str:
    """Why an enforcer that judges by the ClusterIP may come to allow what is denied; empty where it does not."""
    if verdict is Verdict.ALLOWED or not _side(snapshot, cell.direct, Direction.INGRESS):
        return ""
    to_address = by_address(snapshot, cell, Direction.EGRESS, cell.address, cell.number)
    return f"an ipBlock covers the Service's address {cell.address}: up to the CNI" if to_address else ""


def by_address(snapshot: Snapshot, cell: ServiceCell, direction: Direction, address: str, port: int) -> bool:
    """Whether the policies of one end allow ``cell`` in ``direction`` where its other end looks as if it had
    ``address``, which nobody is known to have: for egress the destination on ``port``.

    Quick where ``snapshot`` has somebody there already (``with_somebody_at``).
    """
    somebody = f"{SOMEBODY}{address}"
    seen = (
        cell.direct._replace(destination=somebody, port=port)
        if direction is Direction.EGRESS
        else cell.direct._replace(source=somebody)
    )
    try:
        return decide(snapshot, seen).allowed(direction)
    except KeyError:
        return decide(with_somebody_at(snapshot, [address]), seen).allowed(direction)


def with_somebody_at(snapshot: Snapshot, addresses: Iterable[str]) -> Snapshot:
    """``snapshot`` with somebody of whom nothing is known at each of ``addresses``. No policy is about them but by
    address, so what it says of all others stays as it is.
    """
    there = (
        Endpoint(f"{SOMEBODY}{address}", EndpointKind.HOST, addresses=(ip_address(address),))
        for address in dict.fromkeys(addresses)
    )
    return replace(snapshot, endpoints=(*snapshot.endpoints, *there))


def _by_node_port(snapshot: Snapshot, cell: ServiceCell, inner: Sequence[str]) -> Iterator[bool]:
    """Whether ``cell`` is allowed, by each reading."""
    node = f"node/{cell.at}"
    before = _side(snapshot, cell.direct._replace(destination=node, port=cell.number), Direction.EGRESS)
    after = _side(snapshot, cell.direct, Direction.EGRESS)
    own = _side(snapshot, cell.direct, Direction.INGRESS)
    seen = [own]
    if cell.way is Way.NODE_PORT:
        seen.append(_side(snapshot, cell.direct._replace(source=node), Direction.INGRESS))
        # At its own node they are that node's, which no policy keeps out.
        elsewhere = inner if inner and snapshot.endpoint(cell.backend).node != cell.at else ()
        alike = (each for each in elsewhere if ip_address(each).version == cell.family)
        seen += [by_address(snapshot, cell, Direction.INGRESS, each, cell.port) for each in alike]
    for sent in (before, after):
        yield from (sent and received for received in seen)


def _why_by_node_port(cell: ServiceCell) -> str:
    if cell.way is Way.NODE_PORT:
        return f"policies may see the address of node {cell.at} in the place of either end"
    return f"policies may see the address of node {cell.at} as the destination"
