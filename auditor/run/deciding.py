"""Which further probe pods would show more of the cause: one more like a pod whose connections differ, on another node
or the same one.

A fault at a node, in a policy and at a pod look the same where one pod alone shows it. Of each further pod that could
come it is computed what each cause says of it, as if it were there already. As few are chosen as part most of the
causes, and only such as part the first of them from another. Where too little speaks for the first to call it the
cause, it is parted from the same fault at the pods alone that were seen as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

from auditor.diagnosis.search import answers
from auditor.model.diagnosis import Diagnosis
from auditor.model.probe_pod import MOST_COPIES, Copy, Room
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import pluralize, unused_name
from auditor.policy.bits import bits, span
from auditor.probing.sites import ProbeSite
from auditor.run.expectation import AuditState

MOST_LIKE = 6
"""How many pods are thought of, those with most connections that differ."""
MOST_NODES = 6
MOST_OF_ONE = 300
"""How many connections of one further pod are thought of, those first that differ at the pod that it is like."""
MOST_CELLS = 8
"""How many connections of a further pod are tried: more than one, lest a lost packet decide."""


@dataclass(frozen=True, slots=True)
class Deciders:
    """Further pods to have come, and the connections at which causes part; of those that ``came`` only these are
    tried.
    """

    copies: tuple[Copy, ...] = ()
    cells: tuple[Cell, ...] = ()

    def told(self, came: Collection[str], failures: Sequence[str]) -> str:
        """What became of it, as a fact."""
        pods = [f"{copy.name}, like {copy.like} on node {copy.node}" for copy in self.copies if copy.name in came]
        words = [f"{pluralize(len(pods), 'further probe pod')} came to find the cause: {'; '.join(pods)}"]
        lacking = (f"a further probe pod to find the cause could not be had: {each}" for each in failures)
        return "; ".join([*(words if pods else ()), *lacking])


@dataclass(frozen=True, slots=True)
class _Thought:
    """A pod that could come, and the places of its connections among all that are thought of."""

    copy: Copy
    pod: Endpoint
    mask: int


def choose_deciders(audit_state: AuditState, diagnosis: Diagnosis, sites: Sequence[ProbeSite], room: Room) -> Deciders:
    """The further pods, and what to try there; none where none would part the first cause from any other."""
    snapshot = audit_state.expectation.matrix.snapshot
    able = {site.name for site in sites if site.answers} - audit_state.expectation.failed.keys()
    likes = [snapshot.endpoint(name) for name in _most_differing(diagnosis) if name in able]
    likes = [end for end in likes if end.selectable][:MOST_LIKE]
    thoughts, cells = _thoughts(likes, _in_order(audit_state, diagnosis), snapshot, room.nodes)
    if not thoughts or not is_open(diagnosis):
        return Deciders()
    imagined = replace(snapshot, endpoints=(*snapshot.endpoints, *(each.pod for each in thoughts)))
    spared = [] if diagnosis.certain else [each.copy.name for each in thoughts]
    said = answers(imagined, diagnosis.hypotheses, cells, audit_state.former, spared)
    chosen, mask = _choose(thoughts, said, min(room.pods, MOST_COPIES))
    if all(each & mask == said[0] & mask for each in said):
        return Deciders()
    tried = [number for each in chosen for number in islice(_telling(said, each.mask), MOST_CELLS)]
    return Deciders(tuple(each.copy for each in chosen), tuple(cells[number] for number in tried))


def is_open(diagnosis: Diagnosis | None) -> bool:
    """Whether there is a cause that further pods might part from another, or make certain."""
    return diagnosis is not None and bool(diagnosis.faults and (diagnosis.alternatives or not diagnosis.certain))


def _most_differing(diagnosis: Diagnosis) -> list[str]:
    """The ends of connections that differ, the most frequent first."""
    differing = (*diagnosis.explained, *diagnosis.unexplained)
    ends = Counter(name for cell in differing for name in (cell.source, cell.destination))
    return sorted(ends, key=lambda name: (-ends[name], name))


def _in_order(audit_state: AuditState, diagnosis: Diagnosis) -> list[Cell]:
    """The connections of the audit but for those with nodes, those first that differ."""
    nodes = {end.name for end in audit_state.expectation.matrix.snapshot.endpoints if end.kind is EndpointKind.NODE}
    differing = {*diagnosis.explained, *diagnosis.unexplained}
    cells = (cell for cell in audit_state.expectation.verdicts if nodes.isdisjoint(cell[:2]))
    return sorted(cells, key=lambda cell: cell not in differing)


def _thoughts(
    likes: Sequence[Endpoint], known: Sequence[Cell], snapshot: Snapshot, nodes: Collection[str]
) -> tuple[list[_Thought], list[Cell]]:
    """Each of ``likes`` once more on each of ``nodes``, other nodes than its own first; with its connections among
    those that are ``known``, and all of these together.
    """
    taken = {end.name for end in snapshot.endpoints}
    found: list[_Thought] = []
    cells: list[Cell] = []
    for like in likes:
        own = list(islice((cell for cell in known if like.name in cell[:2]), MOST_OF_ONE))
        for node in sorted(nodes, key=lambda node: (node == like.node, node))[:MOST_NODES]:
            copy = Copy(unused_name(f"{like.name.partition('@')[0]}@{node}", taken), like.name, node)
            taken.add(copy.name)
            first = len(cells)
            cells += dict.fromkeys(_with(copy.name, cell, like.name) for cell in own)
            pod = replace(like, name=copy.name, node=node)
            found.append(_Thought(copy, pod, span(first, len(cells) - 1)))
    return found, cells


def _with(copy: str, cell: Cell, like: str) -> Cell:
    """``cell`` with ``copy`` in the place of ``like``."""
    return cell._replace(source=copy) if cell.source == like else cell._replace(destination=copy)


def _choose(thoughts: Sequence[_Thought], said: Sequence[int], most: int) -> tuple[list[_Thought], int]:
    """As few as part as many as any could, no more than ``most``; and all their connections."""
    chosen: list[_Thought] = []
    mask = 0
    while len(chosen) < most:
        best = max(thoughts, key=lambda each: _groups(said, mask | each.mask))
        if _groups(said, mask | best.mask) <= _groups(said, mask):
            break
        chosen.append(best)
        mask |= best.mask
    return chosen, mask


def _groups(said: Sequence[int], mask: int) -> int:
    """How many different answers there are; the first cause parted from another comes first."""
    parted = any((each ^ said[0]) & mask for each in said)
    return len({each & mask for each in said}) + len(said) * parted


def _telling(said: Sequence[int], mask: int) -> Iterator[int]:
    """The places in ``mask`` at which ``said`` part, those that part them in different ways in turn."""
    ways: dict[tuple[int, ...], list[int]] = {}
    for number in bits(mask):
        way = tuple(each >> number & 1 for each in said)
        if len(set(way)) > 1:
            ways.setdefault(way, []).append(number)
    yield from (number for row in zip_longest(*ways.values()) for number in row if number is not None)
