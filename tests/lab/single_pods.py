"""Faults of one pod: open, shut, or unknown to other pods' rules, for every pod of every cluster in turn, by
computation: ``python -m tests.lab.single_pods``. ``tests.lab.confusion`` and the tests of dialects play some of them.

Counted where they can be seen: how often the fault is named, or is among what is said to fit as well; how often no
cause is named; how often only something else could be; and how often the cause that is named is false."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.search import diagnose
from auditor.model.dialect import OF_ONE_POD, Dialect, Enforcement
from tests.lab.confusion import observe
from tests.lab.naming import FOUND, World, injected, is_named
from tests.lab.unknown_faults import COULD_BE, FALSE, MOST_FALSE, SAID_NOTHING, worlds

NAMED = "named"
LEAST_NAMED = 0.9


@dataclass(frozen=True)
class PodAnswer:
    """What is said of a fault of one pod in one cluster, in words that begin with the fault."""

    dialect: Dialect
    what: str
    sentence: str


def about_pods(world: World) -> Iterator[PodAnswer]:
    """What the diagnosis says of each fault of each pod of ``world`` that shows."""
    for dialect in (dialect for dialect in Dialect if dialect in OF_ONE_POD):
        for pod in world.pods:
            answer = _said(world, Enforcement(on_pod={pod: dialect}), dialect)
            if answer is not None:
                yield answer


def _said(world: World, enforcement: Enforcement, dialect: Dialect) -> PodAnswer | None:
    results = observe(world, enforcement, Random(1))
    if not any(result.result in FOUND for result in results):
        return None
    diagnosis = diagnose(world.snapshot, results, world.previous)
    if diagnosis is None or not diagnosis.faults:
        what = SAID_NOTHING
    elif is_named(injected(enforcement), diagnosis, Evidence(world.snapshot, results, world.previous)):
        what = NAMED
    else:
        what = FALSE if diagnosis.certain else COULD_BE
    title = "" if diagnosis is None else diagnosis.title
    return PodAnswer(dialect, what, f"{world.name}, {injected(enforcement)[0]}: {title}")


def pod_table(answers: Sequence[PodAnswer]) -> str:
    """A line for each fault, and below it what is said instead of it."""
    lines = []
    for dialect in (dialect for dialect in Dialect if dialect in OF_ONE_POD):
        own = [answer for answer in answers if answer.dialect is dialect]
        lines.append(f"{dialect + ' for a pod':<28} {_counted(own)}")
        lines += [f"    {answer.sentence}" for answer in own if answer.what == FALSE]
    return "\n".join([*lines, f"{'all':<28} {_counted(answers)}"])


def _counted(answers: Iterable[PodAnswer]) -> str:
    counts = Counter(answer.what for answer in answers)
    return f"{counts.total()} visible: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def wrong_about_pods(answers: Sequence[PodAnswer]) -> list[str]:
    """What must not be, in words."""
    counts = Counter(answer.what for answer in answers)
    wrong = []
    if counts[NAMED] < LEAST_NAMED * counts.total():
        wrong.append(f"faults of one pod: only {counts[NAMED]} of {counts.total()} are named")
    if counts[FALSE] > MOST_FALSE * counts.total():
        wrong.append(f"faults of one pod: {counts[FALSE]} of {counts.total()} causes are false")
    return wrong


def main() -> int:
    """Print the table; 1 where it has what must not be."""
    answers = [answer for world in worlds() for answer in about_pods(world)]
    print(pod_table(answers))
    wrong = wrong_about_pods(answers)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
