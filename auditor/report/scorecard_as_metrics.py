"""The scorecard for Prometheus, as ``as_metrics`` has it; its labels are scores, ages and the names of features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import nan
from typing import TextIO

from auditor import __version__
from auditor.history.identity import finding_id
from auditor.model.scorecard import FeatureScore, Score, Scorecard
from auditor.model.standing import Age
from auditor.model.verdict import Result
from auditor.report.as_metrics import NOT_COMPARED, Family, Labels, lines_of, times, write_lines

PREFIX = "conformance_"
CONCLUSIONS = (Score.CONFORMS, Score.DEPARTS, Score.INCONCLUSIVE)


def render(card: Scorecard, stream: TextIO) -> None:
    """Write ``card`` to ``stream``."""
    write_lines(card_lines(card), stream)


def card_lines(card: Scorecard) -> Iterator[str]:
    """The lines of the document."""
    return lines_of(_families(card))


def _families(card: Scorecard) -> Iterator[Family]:
    results = Counter(each.result.result for each in card.connections)
    yield Family(f"{PREFIX}cells", "Connections, by result.", [({"result": each}, results[each]) for each in Result])
    said = "1 for a feature that conforms, 0 for one that departs, NaN without a verdict."
    yield Family(f"{PREFIX}feature", said, [({"feature": each.feature}, _as_number(each)) for each in card.features])
    yield Family(f"{PREFIX}departing_features", "Features that depart, by age.", _departing(card))
    yield from times(
        PREFIX, card.began, sum(card.seconds.values()), conclusive=card.score in (Score.CONFORMS, Score.DEPARTS)
    )
    conclusions = [({"conclusion": each}, float(each is card.score)) for each in CONCLUSIONS]
    yield Family(f"{PREFIX}conclusion", "1 for what the run comes to.", conclusions)
    yield Family(f"{PREFIX}info", "The auditor and the run.", [({"version": __version__, "run": card.run_id}, 1)])


def _as_number(feature: FeatureScore) -> float:
    return {Score.CONFORMS: 1.0, Score.DEPARTS: 0.0}.get(feature.score, nan)


def _departing(card: Scorecard) -> Sequence[tuple[Labels, float]]:
    """Each feature that departs with its age; one sample that is 0 where none does, since a Pushgateway keeps the last
    series of a name until it gets others.
    """
    standings = card.comparison.standings if card.comparison is not None else ()
    ages = {each.id: each.age.value for each in standings}
    found = [
        ({"feature": each.feature, "age": ages.get(finding_id("conformance", (each.feature,)), NOT_COMPARED)}, 1)
        for each in card.features
        if each.score is Score.DEPARTS
    ]
    return found or [({"feature": "", "age": NOT_COMPARED if card.comparison is None else Age.NEW.value}, 0)]
