"""A history as a whole: what each night came to, and the course of each finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from auditor.history.comparing import Faulty, compare, faulty_of, standing_in
from auditor.model.night import Night
from auditor.model.standing import Age, FailOn

LOOKED_BACK = 30
"""How many earlier nights a night is held against."""


@dataclass(frozen=True, slots=True)
class NightInBrief:
    """What a run came to, and how many of its findings were new, incomparable or gone since the runs before it."""

    run: str
    began: str
    conclusion: str
    coverage: float
    counts: Mapping[str, int] = field(hash=False)
    new: int = 0
    incomparable: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """A finding over the nights, the oldest first: ``+`` where it shows, ``-`` where it doesn't, ``?`` where nobody
    looked. ``since`` is when the latest nights that show it without a break began, ``nights`` how many these are.
    """

    id: str
    kind: str
    title: str
    course: str
    since: str
    nights: int

    @property
    def stands(self) -> bool:
        """Whether it shows still, as far as anybody looked."""
        return self.course.replace("?", "").endswith("+")

    @property
    def flaps(self) -> bool:
        """Whether it was gone and came back."""
        return [mark for mark, _ in groupby(self.course.replace("?", ""))].count("+") > 1


@dataclass(frozen=True, slots=True)
class Trend:
    """The nights, the latest first, and the findings that any of them shows: those that stand, then the others."""

    nights: tuple[NightInBrief, ...]
    findings: tuple[Course, ...]


def trend_of(nights: Sequence[Night], last: int) -> Trend:
    """The trend of the latest ``last`` of ``nights``, which are given the latest first."""
    told = nights[:last]
    brief = tuple(_brief(night, nights[number + 1 :][:LOOKED_BACK]) for number, night in enumerate(told))
    courses: dict[str, Course] = {}
    for number, night in enumerate(told):
        for found in faulty_of(night, [*told[:number], *told[number + 1 :]]):
            if found.id not in courses:
                courses[found.id] = _course(found, told)
    return Trend(brief, tuple(sorted(courses.values(), key=lambda each: not each.stands)))


def _brief(night: Night, past: Sequence[Night]) -> NightInBrief:
    compared = compare(night, past, "", FailOn.NEW)
    first = not past
    return NightInBrief(
        night.run,
        night.began,
        night.conclusion,
        night.coverage,
        night.counts,
        compared.of_age(Age.NEW),
        0 if first else compared.of_age(Age.INCOMPARABLE),
        compared.of_age(Age.GONE),
    )


def _course(found: Faulty, nights: Sequence[Night]) -> Course:
    marks = {True: "+", False: "-", None: "?"}
    course = [marks[standing_in(found, night)] for night in nights]
    return course_of(found.id, found.finding.kind, found.finding.title, course, [night.began for night in nights])


def course_of(identity: str, kind: str, title: str, marks: Sequence[str], began: Sequence[str]) -> Course:
    """The course of a finding that has ``marks`` in the runs that ``began`` then, the latest first."""
    since, count = "", 0
    for day, mark in zip(began, marks, strict=True):
        if mark == "+":
            since, count = day, count + 1
        elif mark == "-" and count:
            break
    return Course(identity, kind, title, "".join(reversed(marks)), since, count)
