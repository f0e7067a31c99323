"""What a conformance run says at its end: how an enforcer fares, feature by feature and scenario by scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auditor.model.diagnosis import Diagnosis
from auditor.model.report import CellResult, Summary
from auditor.model.standing import Comparison


class ChangeKind(StrEnum):
    """What may change in a cluster while policies are in force, so that an enforcer has to follow."""

    POD_CREATED = "pod created"
    POD_RELABELLED = "pod relabelled"
    NAMESPACE_RELABELLED = "namespace relabelled"
    POLICIES_CHANGED = "policies changed"
    POD_REPLACED = "pod replaced"
    """A pod goes and another one of other labels comes in its place, at its address where that is given anew."""
    LAST_PEER_DELETED = "last peer deleted"
    """The only pod that a rule's peers match goes."""


class Score(StrEnum):
    """How a feature or a scenario came out."""

    CONFORMS = "conforms"
    DEPARTS = "departs"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


def score_of(summary: Summary) -> Score:
    """What ``summary`` comes to: one fault departs, one cell without a verdict leaves it open; what is skipped counts
    for nothing.
    """
    if summary.faults:
        return Score.DEPARTS
    if summary.inconclusive:
        return Score.INCONCLUSIVE
    return Score.SKIPPED if summary.skipped == summary.cells else Score.CONFORMS


@dataclass(frozen=True, slots=True)
class FeatureScore:
    """One feature of NetworkPolicies. ``summary`` counts the cells that show it, which are those of ``scenarios`` that
    it decides.
    """

    feature: str
    title: str
    scenarios: tuple[str, ...]
    summary: Summary

    @property
    def score(self) -> Score:
        return score_of(self.summary)


@dataclass(frozen=True, slots=True)
class ScenarioScore:
    """One scenario. ``reason`` is why it was skipped as a whole or, mostly, why it is inconclusive.

    ``departures`` are the cells that make it fail, by the scenario's own names.
    """

    name: str
    title: str
    summary: Summary
    reason: str = ""
    departures: tuple[CellResult, ...] = ()

    @property
    def score(self) -> Score:
        return score_of(self.summary)


@dataclass(frozen=True, slots=True)
class ScenarioConnection:
    """One connection of a scenario, by the scenario's own names, and the features that it shows."""

    scenario: str
    result: CellResult
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Convergence:
    """How long one kind of change took to come into force: ``seconds`` for each scenario in which it did, ``late``
    where not in time.
    """

    change: ChangeKind
    seconds: Mapping[str, float] = field(hash=False)
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The result of one conformance run.

    ``behaviour`` is one sentence: what this enforcer behaves like. ``facts``, ``seconds``, ``attempts``, ``api`` and
    ``began`` are those of a Report. ``connections`` are those of all scenarios, ``versions`` what nodes run, by what
    it is of; ``comparison`` holds the features that depart against earlier runs, where somebody asked for that.
    """

    subject: str
    run_id: str
    behaviour: str
    features: tuple[FeatureScore, ...]
    scenarios: tuple[ScenarioScore, ...]
    convergence: tuple[Convergence, ...]
    summary: Summary
    diagnosis: Diagnosis | None = None
    facts: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    attempts: int = 0
    api: Mapping[str, int] = field(default_factory=dict, hash=False)
    began: str = ""
    connections: tuple[ScenarioConnection, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    comparison: Comparison | None = None

    @property
    def score(self) -> Score:
        """Conforms only if something was shown, and nothing departed or stayed open."""
        scores = {scenario.score for scenario in self.scenarios}
        scores |= {feature.score for feature in self.features if feature.score is Score.DEPARTS}
        for score in (Score.DEPARTS, Score.INCONCLUSIVE, Score.CONFORMS):
            if score in scores:
                return score
        return Score.INCONCLUSIVE
