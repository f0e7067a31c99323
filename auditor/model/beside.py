"""What all parts of an audit have in common that are tried beside the matrix: through Services, by DNS, at Services."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from auditor.model.verdict import Result

THROUGH, DNS, AT_SERVICE = "through-services", "dns", "service"
"""What the kinds of findings begin with that are made there; ``leak`` and the like follow."""
PAIRS_LOST = f"{DNS}-question-lost"
KINDS_BESIDE = (
    *(
        f"{part}-{result}"
        for part in (THROUGH, DNS, AT_SERVICE)
        for result in (Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED)
    ),
    PAIRS_LOST,
)
"""All kinds of findings that make an audit fail there."""


class Tried(Protocol):
    """One connection of such a part, and how it compares with what was expected."""

    @property
    def result(self) -> Result: ...

    @property
    def is_fault(self) -> bool: ...


Each = TypeVar("Each", bound=Tried)


class PartSeen(Generic[Each]):
    """All that an audit has to say about one part. ``facts`` are lines worth knowing."""

    __slots__ = ()

    results: tuple[Each, ...]
    facts: tuple[str, ...]

    @property
    def faults(self) -> tuple[Each, ...]:
        """What of ``results`` makes the audit fail."""
        return tuple(each for each in self.results if each.is_fault)

    @property
    def unheard(self) -> tuple[Each, ...]:
        """What of ``results`` has no verdict."""
        return tuple(each for each in self.results if each.result is Result.INCONCLUSIVE)

    @property
    def is_faulty(self) -> bool:
        """Whether anything here makes the audit fail."""
        return bool(self.faults)

    @property
    def is_unheard(self) -> bool:
        """Whether something here has no verdict, or nothing could be tried."""
        return bool(self.unheard or not self.results)
