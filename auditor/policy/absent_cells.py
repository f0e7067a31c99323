"""Pods that are not in the input as rows and columns of an expected matrix, by what ``explain`` says of them, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditor.model.policy import Direction
from auditor.model.ports import PortRange
from auditor.model.snapshot import Endpoint
from auditor.model.verdict import Verdict
from auditor.policy.absent_peers import AbsentPeer, Admission, absent_peers
from auditor.policy.atoms import PortAtoms
from auditor.policy.exposure import ends_shown
from auditor.policy.matrix import MatrixView


@dataclass(frozen=True, slots=True)
class AbsentCell:
    """What comes to the class ``number`` from ``peer`` (INGRESS), or goes to it from there (EGRESS), on ``ports``.

    ``in_doubt``: the verdict hangs on what nobody knows of the peer.
    """

    peer: AbsentPeer
    direction: Direction
    number: int
    ports: PortRange
    verdict: Verdict
    in_doubt: bool


def absent_cells(view: MatrixView) -> Iterator[AbsentCell]:
    """Those of the pods that ``view`` shows (``ends_shown``) for each peer that a rule names."""
    matrix = view.matrix
    shown = {direction: _classes(view, ends) for direction, ends in ends_shown(view).items()}
    if not any(shown.values()):
        return
    admission = Admission(matrix.snapshot, matrix.port_atoms)
    for peer, direction in absent_peers([matrix.snapshot]):
        for number, pod in shown[direction].items():
            allowed, doubtful = admission.verdicts(pod, peer, direction)
            for verdict, atoms in (
                (Verdict.ALLOWED, allowed),
                (Verdict.DENIED, matrix.port_atoms.everything & ~allowed),
            ):
                for in_doubt in (False, True):
                    chosen = atoms & doubtful if in_doubt else atoms & ~doubtful
                    for ports in _shown(view, matrix.port_atoms, chosen, pod, direction):
                        yield AbsentCell(peer, direction, number, ports, verdict, in_doubt)


def _classes(view: MatrixView, endpoints: Iterable[Endpoint]) -> dict[int, Endpoint]:
    """A pod of each class among ``endpoints``, by the number of the class."""
    found: dict[int, Endpoint] = {}
    for endpoint in endpoints:
        if endpoint.selectable:
            found.setdefault(view.matrix.class_of(endpoint.name), endpoint)
    return found


def _shown(view: MatrixView, atoms: PortAtoms, chosen: int, pod: Endpoint, direction: Direction) -> Iterator[PortRange]:
    """The ports in ``chosen``, of those that are asked for where some are; what a name means is known of a pod of the
    input alone.
    """
    if not view.ports:
        yield from atoms.joined(chosen)
        return
    for asked in view.ports:
        named = pod.resolve(asked.protocol, asked.name) if direction is Direction.INGRESS else ()
        for port in named if asked.name else (asked.number,):
            if chosen >> atoms.index(asked.protocol, port) & 1:
                yield PortRange(asked.protocol, port, port)
