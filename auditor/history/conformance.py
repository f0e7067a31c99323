"""Conformance from run to run: which features depart that did not, which conform again, and what nobody can say.

A connection of a scenario is held against the latest earlier run that had a verdict on it. A feature is *new* only
with a connection that was as expected then, and *gone* only if each connection that departed was tried again and is as
expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from auditor.history.identity import finding_id, fingerprint
from auditor.history.surroundings import version_changes
from auditor.history.trend import LOOKED_BACK, Course, course_of
from auditor.model.conformance_record import (
    AS_EXPECTED,
    DEPARTS,
    NO_VERDICT,
    SKIPPED,
    WITHOUT_VERDICT,
    ConformanceRecord,
    RecordedFeature,
)
from auditor.model.report import Summary
from auditor.model.scorecard import Score, Scorecard, score_of
from auditor.model.standing import Age, Comparison, Departed, FailOn, Standing

MOST_EXAMPLES = 3
OTHER = RecordedFeature("", "connections that show none of the features", ())
STATES = {
    Score.CONFORMS: AS_EXPECTED,
    Score.DEPARTS: DEPARTS,
    Score.INCONCLUSIVE: NO_VERDICT,
    Score.SKIPPED: SKIPPED,
}


def record_of_card(card: Scorecard, version: str) -> ConformanceRecord:
    """What is kept of ``card``, which the auditor of ``version`` made."""
    titles = {each.feature: each.title for each in card.features}
    shown: dict[str, list[int]] = {feature: [] for feature in titles}
    for number, each in enumerate(card.connections):
        for feature in each.features or (OTHER.feature,):
            shown.setdefault(feature, []).append(number)
    return ConformanceRecord(
        run=card.run_id,
        version=version,
        began=card.began,
        subject=card.subject,
        conclusion=card.score.value,
        behaviour=card.behaviour,
        seconds=round(sum(card.seconds.values()), 3),
        connections=tuple(f"{each.scenario}: {each.result.cell} ({each.result.expected})" for each in card.connections),
        states="".join(STATES[score_of(Summary.of((each.result,)))] for each in card.connections),
        features=tuple(
            RecordedFeature(feature, titles.get(feature, OTHER.title), tuple(numbers))
            for feature, numbers in shown.items()
        ),
        versions=dict(card.versions),
    )


def compare_conformance(
    record: ConformanceRecord, past: Sequence[ConformanceRecord], against: str, fail_on: FailOn
) -> Comparison:
    """Hold ``record`` against ``past`` runs, the latest first. ``against`` names them in words."""
    changes = _changes(past[0], record) if past else ()
    standings = tuple(
        _standing(feature, departing, record, past, changes)
        for feature in record.features
        if (departing := record.departing(feature))
    )
    return Comparison(against, fail_on, standings, tuple(_departed(record, past, changes)), changes)


def _changes(before: ConformanceRecord, after: ConformanceRecord) -> tuple[str, ...]:
    found = list(version_changes(before.versions, after.versions))
    if before.version != after.version:
        found.append(f"audit: {before.version} before, {after.version} now")
    return tuple(found)


def _standing(
    feature: RecordedFeature,
    departing: Sequence[str],
    record: ConformanceRecord,
    past: Sequence[ConformanceRecord],
    changes: tuple[str, ...],
) -> Standing:
    ages = {connection: _age(connection, past) for connection in departing}
    counts = Counter(ages.values())
    news = [connection for connection, age in ages.items() if age is not Age.KNOWN]
    since, nights = record.began, 1
    for earlier in past:
        shown = departs_in(departing, earlier)
        if shown is False:
            break
        if shown:
            since, nights = earlier.began, nights + 1
    lost = counts[Age.NEW] == len(ages)
    return Standing(
        finding_id("conformance", (feature.feature,)),
        "departs",
        f"{feature.title}, which conformed before" if lost else feature.title,
        counts,
        fingerprint(departing),
        since,
        nights,
        tuple(news[:MOST_EXAMPLES]),
        changes=changes if news else (),
    )


def _age(connection: str, past: Iterable[ConformanceRecord]) -> Age:
    states = (record.state_of.get(connection, NO_VERDICT) for record in past)
    latest = next((state for state in states if state not in WITHOUT_VERDICT), NO_VERDICT)
    return {DEPARTS: Age.KNOWN, AS_EXPECTED: Age.NEW}.get(latest, Age.INCOMPARABLE)


def departs_in(connections: Iterable[str], record: ConformanceRecord) -> bool | None:
    """Whether any of ``connections`` departs in ``record``; None where it had a verdict on none."""
    states = {record.state_of.get(connection, NO_VERDICT) for connection in connections}
    return True if DEPARTS in states else False if AS_EXPECTED in states else None


def _departed(
    record: ConformanceRecord, past: Sequence[ConformanceRecord], changes: tuple[str, ...]
) -> Iterator[Departed]:
    """The features of ``past`` that departed in the latest run with a verdict on them, and of which no connection
    departs now.
    """
    standing = {each.feature for each in record.features if record.departing(each)}
    seen: set[str] = set()
    for number, earlier in enumerate(past):
        for feature in earlier.features:
            still = [each for each in earlier.departing(feature) if _open_since(each, past[:number])]
            if not still or feature.feature in standing | seen:
                continue
            seen.add(feature.feature)
            reasons = Counter(filter(None, (_unseen(each, record) for each in still)))
            yield Departed(
                finding_id("conformance", (feature.feature,)),
                "departs",
                feature.title,
                Age.INCOMPARABLE if reasons else Age.GONE,
                earlier.began,
                tuple(reason for reason, _ in reasons.most_common(MOST_EXAMPLES)),
                changes,
            )


def _open_since(connection: str, later: Iterable[ConformanceRecord]) -> bool:
    return all(record.state_of.get(connection, NO_VERDICT) in WITHOUT_VERDICT for record in later)


def _unseen(connection: str, record: ConformanceRecord) -> str:
    """Why nobody can say that ``connection`` is as expected now; empty where that was seen."""
    scenario = connection.partition(":")[0]
    if connection not in record.state_of:
        was_run = any(each.startswith(f"{scenario}:") for each in record.connections)
        return f"{scenario} has other connections now" if was_run else f"{scenario} was not run"
    return f"{scenario} got no verdict" if record.state_of[connection] in WITHOUT_VERDICT else ""


@dataclass(frozen=True, slots=True)
class ConformanceInBrief:
    """What a run came to: how many features conform, depart or have no verdict (by the names of scores), and how many
    depart anew, can't be compared or conform again since the runs before it.
    """

    run: str
    began: str
    conclusion: str
    behaviour: str
    features: Mapping[str, int] = field(hash=False)
    new: int = 0
    incomparable: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class ConformanceTrend:
    """The runs, the latest first, and the features that any of them shows departing: those that do still, then the
    others.
    """

    runs: tuple[ConformanceInBrief, ...]
    features: tuple[Course, ...]


def conformance_trend_of(records: Sequence[ConformanceRecord], last: int) -> ConformanceTrend:
    """The trend of the latest ``last`` of ``records``, which are given the latest first."""
    told = records[:last]
    brief = tuple(_brief(record, records[number + 1 :][:LOOKED_BACK]) for number, record in enumerate(told))
    titles: dict[str, str] = {}
    for record in told:
        for feature in record.features:
            if record.departing(feature):
                titles.setdefault(feature.feature, feature.title)
    courses = [_course(feature, title, told) for feature, title in titles.items()]
    return ConformanceTrend(brief, tuple(sorted(courses, key=lambda each: not each.stands)))


def _brief(record: ConformanceRecord, past: Sequence[ConformanceRecord]) -> ConformanceInBrief:
    compared = compare_conformance(record, past, "", FailOn.NEW)
    scores = Counter(_score(record.of(feature), record) for feature in record.features if feature.feature)
    return ConformanceInBrief(
        record.run,
        record.began,
        record.conclusion,
        record.behaviour,
        {score.value: scores[score] for score in (Score.CONFORMS, Score.DEPARTS, Score.INCONCLUSIVE)},
        compared.of_age(Age.NEW),
        compared.of_age(Age.INCOMPARABLE) if past else 0,
        compared.of_age(Age.GONE),
    )


def _score(connections: Iterable[str], record: ConformanceRecord) -> Score:
    """As ``score_of`` has it."""
    states = {record.state_of[each] for each in connections}
    found = (score for score in (Score.DEPARTS, Score.INCONCLUSIVE, Score.CONFORMS) if STATES[score] in states)
    return next(found, Score.SKIPPED)


def _course(name: str, title: str, records: Sequence[ConformanceRecord]) -> Course:
    marks = {True: "+", False: "-", None: "?"}
    course = [
        next((marks[departs_in(each.of(known), each)] for known in each.features if known.feature == name), "?")
        for each in records
    ]
    return course_of(finding_id("conformance", (name,)), "departs", title, course, [each.began for each in records])
