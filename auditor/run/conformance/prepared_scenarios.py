"""What is to be tried: each scenario under names of its own, with the changes that lead up to it.

A few scenarios do not begin as they are written: a pod comes later, a pod or a namespace has other labels at first, or
other policies are in force. What is judged in the end is always the scenario as written, whose truth table is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from auditor.model.errors import UsageError
from auditor.model.labels import NAMESPACE_NAME_LABEL, Labels
from auditor.model.policy import NetworkPolicy
from auditor.model.scenario import Scenario
from auditor.model.scorecard import ChangeKind
from auditor.model.snapshot import Endpoint, Namespace, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.renaming import Renaming

MOST_PREPARED = 4
"""In how many scenarios each kind of change is made."""
LEAST_CELLS = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One change: how the scenario stands ``before`` and ``after`` it."""

    change: ChangeKind
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True, slots=True)
class PreparedScenario:
    """One scenario, renamed by ``names``. ``snapshot`` and ``truth`` are those of the scenario as written, to which
    ``step`` leads.
    """

    scenario: Scenario
    names: Renaming
    snapshot: Snapshot
    truth: Mapping[Cell, Verdict]
    step: Step | None = None

    @property
    def start(self) -> Snapshot:
        """How it stands at first."""
        return self.snapshot if self.step is None else self.step.before

    @property
    def previous_policies(self) -> tuple[NetworkPolicy, ...] | None:
        """The policies before they changed; None if they never did."""
        return (
            self.step.before.policies
            if self.step is not None and self.step.change is ChangeKind.POLICIES_CHANGED
            else None
        )

    @property
    def changed(self) -> list[Cell]:
        """The cells that show whether its change has come into force."""
        return [] if self.step is None else changed_cells(self.step, self.truth)


def prepare_scenarios(scenarios: Sequence[Scenario], prefix: str) -> list[PreparedScenario]:
    """One prepared scenario for each of ``scenarios`` that has a truth table, and that namespaces can hold.

    ``prefix`` comes before the names of its namespaces and hosts; ``{name}`` and ``{number}`` in it are the scenario's.
    """
    shown = [scenario for scenario in scenarios if scenario.truth and not scenario.snapshot.admin_policies]
    steps = choose_steps(shown)
    return [
        _prepared(scenario, Renaming(prefix.format(name=scenario.name, number=n)), steps)
        for n, scenario in enumerate(shown)
    ]


def within_namespaces(scenarios: Sequence[Scenario]) -> tuple[Sequence[Scenario], tuple[str, ...]]:
    """Those of ``scenarios`` that namespaces of their own can hold, and what to say of the others: policies of
    administrators are for a whole cluster, where they would concern what is not theirs.

    Raises UsageError where none is left.
    """
    others = [scenario.name for scenario in scenarios if scenario.snapshot.admin_policies]
    if not others:
        return scenarios, ()
    kept = [scenario for scenario in scenarios if not scenario.snapshot.admin_policies]
    why = "policies of administrators are for a whole cluster, which scenarios share here; audit run --lab runs them"
    if not kept:
        raise UsageError(f"nothing to run: {', '.join(others)}: {why}")
    return kept, (f"SKIPPED {pluralize(len(others), 'scenario')} ({', '.join(others)}): {why}",)


def _prepared(scenario: Scenario, names: Renaming, steps: Mapping[str, Step]) -> PreparedScenario:
    snapshot = names.snapshot(scenario.snapshot)
    step = steps.get(scenario.name)
    return PreparedScenario(
        scenario=scenario,
        names=names,
        snapshot=snapshot,
        truth={names.cell(cell): verdict for cell, verdict in scenario.truth.items()},
        step=None if step is None else Step(step.change, names.snapshot(step.before), snapshot),
    )


def choose_steps(scenarios: Sequence[Scenario]) -> dict[str, Step]:
    """The changes, by the name of the scenario: few scenarios for each kind, and no scenario twice.

    Scenarios that have other policies before get these. Else the first scenarios are taken in which a change of that
    kind changes verdicts.
    """
    steps: dict[str, Step] = {}
    for scenario in scenarios:
        if scenario.previous_policies is not None:
            before = replace(scenario.snapshot, policies=scenario.previous_policies)
            steps[scenario.name] = Step(ChangeKind.POLICIES_CHANGED, before, scenario.snapshot)
    # In turn, so that the first kind doesn't take all of a few scenarios.
    for change in list(ChangeKind) * MOST_PREPARED:
        if sum(step.change is change for step in steps.values()) < MOST_PREPARED:
            unchanged = (scenario for scenario in scenarios if scenario.name not in steps)
            steps |= dict(
                islice(((each.name, step) for each in unchanged if (step := _step(each, change)) is not None), 1)
            )
    return steps


def _step(scenario: Scenario, change: ChangeKind) -> Step | None:
    for before in _beginnings(scenario.snapshot, change):
        step = Step(change, before, scenario.snapshot)
        verdicts = [scenario.truth[cell] for cell in changed_cells(step, scenario.truth)]
        if len(verdicts) >= LEAST_CELLS and (change is not ChangeKind.POD_CREATED or len(set(verdicts)) > 1):
            return step
    return None


def changed_cells(step: Step, truth: Mapping[Cell, Verdict]) -> list[Cell]:
    """The cells of ``truth`` that show whether ``step`` has come into force: they had another verdict, or an end that
    wasn't there.
    """
    matrix = evaluate(step.before)
    there = {endpoint.name for endpoint in step.before.endpoints}
    found = []
    for cell, verdict in truth.items():
        if cell.source in there and cell.destination in there:
            if matrix.verdict(*cell) is not verdict:
                found.append(cell)
        elif cell.source != cell.destination:
            found.append(cell)
    return found


def _beginnings(snapshot: Snapshot, change: ChangeKind) -> Iterator[Snapshot]:
    """How a scenario that becomes ``snapshot`` by ``change`` may begin."""
    pods = [endpoint for endpoint in snapshot.endpoints if endpoint.selectable]
    if change is ChangeKind.POD_CREATED:
        for pod in pods[1:]:
            yield replace(snapshot, endpoints=tuple(endpoint for endpoint in snapshot.endpoints if endpoint is not pod))
    elif change is ChangeKind.POD_RELABELLED:
        for pod in pods:
            for labels in _others(pod.labels, [other.labels for other in pods]):
                yield replace(
                    snapshot, endpoints=tuple(_labelled(endpoint, pod, labels) for endpoint in snapshot.endpoints)
                )
    elif change is ChangeKind.NAMESPACE_RELABELLED:
        given = {name: _own_labels(namespace) for name, namespace in snapshot.namespaces.items()}
        for name, own in given.items():
            for labels in _others(own, list(given.values())):
                yield replace(snapshot, namespaces={**snapshot.namespaces, name: Namespace.of(name, labels)})
    elif snapshot.policies:
        yield replace(snapshot, policies=())


def _others(own: Labels, known: Sequence[Labels]) -> list[Labels]:
    """Labels that are not ``own``."""
    found: list[Labels] = []
    for labels in ({}, *known):
        if labels != own and labels not in found:
            found.append(labels)
    return found


def _labelled(endpoint: Endpoint, chosen: Endpoint, labels: Labels) -> Endpoint:
    return replace(endpoint, labels=labels) if endpoint is chosen else endpoint


def _own_labels(namespace: Namespace) -> Labels:
    return {key: value for key, value in namespace.labels.items() if key != NAMESPACE_NAME_LABEL}
