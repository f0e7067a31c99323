"""What an audit was asked about, and what its results say of that: as bitsets, and in words where they say nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.filters import Filters
from auditor.model.policy import Direction
from auditor.model.report import CellResult, UntestedPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Note, Result, Verdict
from auditor.policy.bits import bits
from auditor.probe_pods.gaps import listed

MOST_LOOKED_AT = 500
"""How many connections of one policy are asked why they show nothing: more reasons than these would help nobody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an audit was asked about: by direction the names of the endpoints whose filters of that direction it was to
    try.

    ``gone`` are those that took no part after all, with the reason; ``accepted`` the full names of policies that may
    stay untested. ``not_chosen`` are policies of administrators, by full name and direction, of which none of the
    connections that were chosen shows anything, though others would.
    """

    subjects: Mapping[Direction, Collection[str]]
    gone: Mapping[str, str]
    accepted: Collection[str] = ()
    not_chosen: Collection[tuple[str, Direction]] = ()


NOTHING = Asked({}, {})


class Seen:
    """The results as bitsets over ``cells``: which of them are ``telling`` of the enforcer, ``undefined`` or expected
    to be ``allowed``; and by direction those whose filter is that of an endpoint ``asked`` about.
    """

    def __init__(self, snapshot: Snapshot, results: Sequence[CellResult], asked: Asked) -> None:
        self._results = {result.cell: result for result in results}
        self._gone = asked.gone
        self._accepted = asked.accepted
        self.cells = Cells(snapshot, list(self._results))
        self.filters = Filters(self.cells)
        self.telling = self._where(is_telling)
        self.undefined = self._where(lambda result: Note.UNDEFINED in result.notes)
        self.allowed = self._where(lambda result: result.expected is Verdict.ALLOWED)
        self.asked = {each: self.cells.filtered_at(names, each) for each, names in asked.subjects.items()}

    def _where(self, holds: Callable[[CellResult], bool]) -> int:
        return self.cells.where(lambda cell: holds(self._results[cell]))

    def untested(self, policy: str, direction: Direction, wanted: int, reasons: tuple[str, ...]) -> UntestedPolicy:
        """The policy with this full name as one that a verdict on any of the cells ``wanted`` would have shown."""
        return UntestedPolicy(policy, direction, wanted.bit_count(), reasons, policy in self._accepted)

    def why_gone(self, pods: Sequence[Endpoint]) -> Iterator[str]:
        """Why none of ``pods`` took part; nothing where one did."""
        if all(pod.name in self._gone for pod in pods):
            by_reason: dict[str, list[str]] = {}
            for pod in pods:
                by_reason.setdefault(self._gone[pod.name], []).append(pod.name)
            for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
                yield f"none of its pods was probed: {listed(names)}: {reason}"

    def why_untelling(self, wanted: int, undefined: str) -> Iterator[str]:
        """Why the cells ``wanted`` show nothing, the most frequent first; ``undefined`` is the reason of those that
        are undefined.
        """
        cells = (self.cells.cells[number] for number in islice(bits(wanted), MOST_LOOKED_AT))
        reasons = Counter(_why_untelling(self._results[cell], undefined) for cell in cells)
        yield from (reason for reason, _ in reasons.most_common())


def _why_untelling(result: CellResult, undefined: str) -> str:
    if Note.ADDRESS_UNKNOWN in result.notes and result.result not in (Result.SKIPPED, Result.INCONCLUSIVE):
        return "an address on which the policies depend is not known"
    return undefined if result.result is Result.UNDEFINED else result.observation.outcome
