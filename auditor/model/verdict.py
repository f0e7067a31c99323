"""What should happen to a connection, and what was seen to happen: an observation for each cell, and what changed its
answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family


class Cell(NamedTuple):
    """One question: can ``source`` reach ``destination`` (names of endpoints) on this protocol and port, over this
    family?
    """

    source: str
    destination: str
    protocol: Protocol
    port: int
    family: Family

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.protocol}/{self.port} {self.family}"


class Verdict(StrEnum):
    """An expected verdict."""

    ALLOWED = "allowed"
    DENIED = "denied"


class Note(StrEnum):
    """Why an expected verdict may not hold everywhere."""

    CNI_DEPENDENT = "cni-dependent"
    """Allowed only because an ipBlock covers an address inside the cluster, which the specification leaves
    to the CNI.
    """
    UNDEFINED = "undefined"
    """A hostNetwork pod takes part, or policies with one priority say otherwise than each other: the specification
    defines no behaviour for either.
    """
    ADDRESS_UNKNOWN = "address-unknown"
    """An ipBlock or network might cover an endpoint whose address the input does not give, which would change it."""
    LABELS_UNKNOWN = "labels-unknown"
    """Depends on labels that are not in the input, of a namespace without an object or given by a controller."""
    FAMILY_DEPENDENT = "family-dependent"
    """The other address family has the other verdict."""
    SELF_ALLOWED = "self-allowed"
    """Denied between different members of one identity class; each member still reaches itself."""
    OWN_NODE_ALLOWED = "own-node-allowed"
    """Denied between this node and the class in general; pods of the class that run on the node are still allowed."""


class Observed(StrEnum):
    """An observed verdict. Nothing that went wrong in our own transport is ever ``refused`` or ``dropped``."""

    ALLOWED = "allowed"
    """A fresh token came back from the right destination."""
    REFUSED = "refused"
    """RST or ICMP while the destination's listener was proven alive."""
    DROPPED = "dropped"
    """Silence until the deadline while the destination's listener was proven alive."""
    MISDELIVERED = "misdelivered"
    """Someone else answered."""
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"

    @property
    def is_denied(self) -> bool:
        return self in (Observed.REFUSED, Observed.DROPPED)


class Result(StrEnum):
    """How an observation compares with the expectation."""

    MATCH = "match"
    LEAK = "leak"
    OUTAGE = "outage"
    UNSTABLE = "unstable"
    MISDELIVERED = "misdelivered"
    CNI_DEPENDENT = "cni-dependent"
    """Differs, where the specification leaves the verdict to the CNI: reported, but not a fault."""
    UNDEFINED = "undefined"
    """Observed, where the specification defines no behaviour: reported, but not a fault."""
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


NOT_OBSERVED = (Result.INCONCLUSIVE, Result.SKIPPED)
"""Nothing was seen that says anything of policies."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one cell.

    ``outcome`` is the raw outcome behind the verdict (``token``, ``tcp-reset``, ``timeout``, ``request-lost``, …) or,
    for ``inconclusive`` and ``skipped``, the reason in words. ``history`` has one verdict per try, oldest first.
    ``open_seconds``: how long after the start it was still open, where it was closed too late.
    """

    verdict: Observed
    outcome: str
    history: tuple[Observed, ...] = ()
    milliseconds: float | None = None
    open_seconds: float | None = None

    @property
    def attempts(self) -> int:
        return len(self.history)

    def closed_after(self, seconds: float) -> Observation:
        """The same of a connection that is denied, as it should be, and was still open so many seconds after the
        start.
        """
        return replace(self, outcome=f"closed, but still open {seconds:.1f} s after the start", open_seconds=seconds)


class Conclusion(StrEnum):
    """The audit as a whole."""

    PASS = "pass"  # noqa: S105 - no password
    """Every cell that got a verdict is as expected, enough of them did, and each policy in scope was tested."""
    FAIL = "fail"
    """At least one fault. One that was found stays one, whatever else could not be measured."""
    INCONCLUSIVE = "inconclusive"
    """No fault, but a cell without a verdict for a reason that is not its own, too many of them, or an
    untested policy.
    """


@dataclass(frozen=True, slots=True)
class Flapping:
    """What changed its answer in one probing: the cells that ``relapsed``, and those that were merely ``late``.
    ``losing`` are those that lose too many packets, ``closed_late`` those that were closed too long after the start.
    """

    relapsed: frozenset[Cell]
    late: frozenset[Cell]
    losing: frozenset[Cell] = frozenset()
    closed_late: frozenset[Cell] = frozenset()

    @property
    def unstable(self) -> frozenset[Cell]:
        """The cells whose answer can't be relied on: those that lose packets, those that were closed too late, those
        that relapsed and, if there are any of these, those that were merely late as well.
        """
        return self.losing | self.closed_late | (self.relapsed | self.late if self.relapsed else frozenset())

    def without(self, cells: Collection[Cell]) -> Flapping:
        """The same where ``cells`` have been judged by something else since: their relapse says nothing against any
        other cell, either.
        """
        return Flapping(*(each.difference(cells) for each in (self.relapsed, self.late, self.losing, self.closed_late)))


@dataclass(frozen=True, slots=True)
class ProbingOutcome:
    """What probing saw.

    ``observations`` has every cell that was asked for. ``flapping`` is what changed its answer, for each time that was
    probed. ``facts`` are lines worth knowing beside the findings; ``seconds`` the wall time of each phase, in order.
    """

    observations: Mapping[Cell, Observation]
    flapping: tuple[Flapping, ...] = ()
    facts: tuple[str, ...] = ()
    attempts: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def unstable(self) -> frozenset[Cell]:
        """The cells that changed their answer and not for good."""
        return frozenset().union(*(each.unstable for each in self.flapping))
