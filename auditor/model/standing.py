"""How the findings of a run stand against those of earlier ones, and two runs held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auditor.model.beside import KINDS_BESIDE
from auditor.model.night import Night
from auditor.model.verdict import Conclusion


class Age(StrEnum):
    """What earlier runs say of a finding, or of a connection in it."""

    NEW = "new"
    """It was looked at, and was as expected."""
    EXPIRED = "expired"
    """Somebody had accepted it, and the day on which that ended has passed."""
    INCOMPARABLE = "incomparable"
    """It was not looked at, or got no verdict: nobody can say since when it is so."""
    KNOWN = "known"
    ACCEPTED = "accepted"
    """Somebody has accepted it, with a reason, until a day that has not passed."""
    GONE = "gone"
    """It is no more: each of its connections was looked at in the same places, and is as expected."""


class FailOn(StrEnum):
    """Which findings make a run fail."""

    NEW = "new"
    """Those that are not known, in part or altogether."""
    ANY = "any"
    LEAK = "leak"
    """Leaks, known or not."""


NO_FAULT = ("cni-dependent", "undefined")
"""The kinds of findings that fail no run."""
LEAKS = ("leak", "intent: open", *(each for each in KINDS_BESIDE if each.endswith("-leak")))


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding of this run. ``connections`` counts its connections by age; ``evidence`` is a fingerprint of them.

    ``since`` is when the first run of those that show it without a break began, ``nights`` how many these are, this
    one included. ``examples`` are connections that are not known. ``accepted`` are the suppressions that speak of it,
    in words; ``changes`` what else is different since the last run.
    """

    id: str
    kind: str
    title: str
    connections: Mapping[Age, int] = field(hash=False)
    evidence: str = ""
    since: str = ""
    nights: int = 1
    examples: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def age(self) -> Age:
        """The gravest of its connections' ages."""
        return next(age for age in Age if self.connections.get(age))

    def fails(self, fail_on: FailOn) -> bool:
        """Whether it makes a run fail."""
        if self.kind in NO_FAULT or self.age is Age.ACCEPTED:
            return False
        if fail_on is FailOn.NEW:
            return self.age is not Age.KNOWN
        return fail_on is FailOn.ANY or self.kind in LEAKS or self.age is Age.EXPIRED


@dataclass(frozen=True, slots=True)
class Departed:
    """A finding of an earlier run that this one doesn't show, in none of its connections.

    ``age`` is GONE, or INCOMPARABLE where some of it was not looked at: ``reasons`` say why, the most frequent first.
    """

    id: str
    kind: str
    title: str
    age: Age
    began: str = ""
    reasons: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of a run held ``against`` earlier runs (in words), and what was accepted.

    ``changes`` are all that was noticed to be different since the last of them. ``expired`` are suppressions that
    speak of a finding and hold no more, ``unused`` those that speak of none.
    """

    against: str
    fail_on: FailOn
    standings: tuple[Standing, ...]
    departed: tuple[Departed, ...] = ()
    changes: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[Standing, ...]:
        """The findings that make the run fail."""
        return tuple(each for each in self.standings if each.fails(self.fail_on))

    @property
    def news(self) -> tuple[Standing, ...]:
        """The findings that nobody could know of."""
        return tuple(each for each in self.standings if each.age in (Age.NEW, Age.EXPIRED, Age.INCOMPARABLE))

    def of_age(self, age: Age) -> int:
        """How many findings are of ``age``."""
        ages = [each.age for each in self.standings] + [each.age for each in self.departed]
        return ages.count(age)


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """``comparison`` is that of ``new`` with ``old``."""

    old: Night
    new: Night
    comparison: Comparison

    @property
    def conclusion(self) -> Conclusion:
        """What it comes to: a run without findings that fail has not passed where it is inconclusive itself."""
        if self.comparison.failing:
            return Conclusion.FAIL
        return Conclusion.INCONCLUSIVE if self.new.conclusion == Conclusion.INCONCLUSIVE else Conclusion.PASS
