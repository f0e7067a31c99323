"""What is to be tried: each scenario under names of its own, with the changes that lead up to it.

A few scenarios do not begin as they are written: a pod comes later or takes another's place, a pod or a namespace has
other labels at first, a pod that a rule is about is still there, or other policies are in force. What is judged in the
end is always the scenario as written, whose truth table is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.labels import Labels
from auditor.model.policy import NetworkPolicy, Rule
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
GONE = "last-peer"
"""What the pod is called that a rule was about."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change: how the scenario stands ``before`` and ``after`` it."""

    change: ChangeKind
    before: Snapshot
    after: Snapshot

    @property
    def is_at_new_pod(self) -> bool:
        """Whether it makes a pod, so that it has to be made before agents are started."""
        return self.change in (ChangeKind.POD_CREATED, ChangeKind.POD_REPLACED)


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
    def pods(self) -> list[Endpoint]:
        """Its pods in the end, without those of hostNetwork."""
        return [endpoint for endpoint in self.snapshot.endpoints if endpoint.selectable]

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


def apart_by_tiers(scenarios: Iterable[Scenario]) -> tuple[list[Scenario], list[Scenario]]:
    """Those of ``scenarios`` that namespaces of their own can hold, and those with policies of administrators."""
    apart: tuple[list[Scenario], list[Scenario]] = ([], [])
    for scenario in scenarios:
        apart[bool(scenario.snapshot.admin_policies)].append(scenario)
    return apart


def skipped(scenarios: Sequence[Scenario], why: str) -> tuple[str, ...]:
    """A line about ``scenarios`` that are not run, where there are any."""
    names = ", ".join(scenario.name for scenario in scenarios)
    return (f"SKIPPED {pluralize(len(scenarios), 'scenario')} ({names}): {why}",) if scenarios else ()


def refuse_nothing(run: Sequence[object], said: Iterable[str]) -> None:
    """Raise UsageError where nothing is left to ``run``, with what was ``said`` of what is left out."""
    if not run:
        raise UsageError(f"nothing to run: {'; '.join(said)}")


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

    Scenarios that have other policies before get these, and those with a rule whose peers match nobody such a peer at
    first. Else the first scenarios are taken in which a change of that kind changes verdicts.
    """
    steps: dict[str, Step] = {}
    for scenario in scenarios:
        if scenario.previous_policies is not None:
            before = replace(scenario.snapshot, policies=scenario.previous_policies)
            steps[scenario.name] = Step(ChangeKind.POLICIES_CHANGED, before, scenario.snapshot)
        elif step := _step(scenario, ChangeKind.LAST_PEER_DELETED):
            steps[scenario.name] = step
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
    wasn't there. Where a rule has lost its last peer, nothing may change: those that it would open if it meant
    everybody.
    """
    if step.change is ChangeKind.LAST_PEER_DELETED:
        widened = evaluate(
            replace(step.after, policies=tuple(_widened(policy, step) for policy in step.after.policies))
        )
        return [cell for cell, verdict in truth.items() if widened.verdict(*cell) is not verdict]
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
    elif change is ChangeKind.LAST_PEER_DELETED:
        for pod in _lost_peers(snapshot):
            yield replace(snapshot, endpoints=(*snapshot.endpoints, pod))
    elif change is ChangeKind.NAMESPACE_RELABELLED:
        yield from _with_other_namespaces(snapshot)
    elif change is not ChangeKind.POLICIES_CHANGED:
        yield from _with_other_labels(snapshot, pods)
    elif snapshot.policies:
        yield replace(snapshot, policies=())


def _with_other_labels(snapshot: Snapshot, pods: Sequence[Endpoint]) -> Iterator[Snapshot]:
    for pod in pods:
        for labels in _others(pod.labels, [other.labels for other in pods]):
            yield replace(
                snapshot, endpoints=tuple(_labelled(endpoint, pod, labels) for endpoint in snapshot.endpoints)
            )


def _with_other_namespaces(snapshot: Snapshot) -> Iterator[Snapshot]:
    given = {name: namespace.own_labels for name, namespace in snapshot.namespaces.items()}
    for name, own in given.items():
        for labels in _others(own, list(given.values())):
            yield replace(snapshot, namespaces={**snapshot.namespaces, name: Namespace.of(name, labels)})


def _lost_peers(snapshot: Snapshot) -> Iterator[Endpoint]:
    """Pods that are not there any more, each of which was the only one that a rule's peers matched."""
    for policy in snapshot.policies:
        neighbours = [pod for pod in snapshot.endpoints if pod.selectable and pod.namespace == policy.namespace]
        rules = [rule for direction in policy.directions for rule in policy.rules(direction)]
        for peer in (peer for rule in rules if _matches_nobody(rule, policy, snapshot) for peer in rule.peers):
            selector = peer.pod_selector
            if neighbours and selector is not None and peer.namespace_selector is None and selector.match_labels:
                model = neighbours[-1]
                pod = replace(model, name=f"{policy.namespace}/{GONE}", labels=dict(selector.match_labels), ports=())
                if selector.matches(pod.labels) and all(end.name != pod.name for end in snapshot.endpoints):
                    yield replace(pod, addresses=tuple(map(_beside, model.addresses)))


def _beside(address: IPAddress) -> IPAddress:
    """An address of the same network that no pod of a scenario has."""
    return type(address)(int(address) | 0xF0)


def _matches_nobody(rule: Rule, policy: NetworkPolicy, snapshot: Snapshot) -> bool:
    """Whether the peers of ``rule`` are selectors of pods of the policy's namespace alone, and none is there."""
    labels = [pod.labels for pod in snapshot.endpoints if pod.selectable and pod.namespace == policy.namespace]
    selectors = [peer.pod_selector for peer in rule.peers if peer.namespace_selector is None]
    return len(selectors) == len(rule.peers) > 0 and not any(
        selector is None or any(map(selector.matches, labels)) for selector in selectors
    )


def _widened(policy: NetworkPolicy, step: Step) -> NetworkPolicy:
    """``policy`` with every peer for a rule whose peers match nobody after ``step``."""

    def widened(rules: Iterable[Rule]) -> tuple[Rule, ...]:
        return tuple(replace(rule, peers=()) if _matches_nobody(rule, policy, step.after) else rule for rule in rules)

    return replace(policy, ingress=widened(policy.ingress), egress=widened(policy.egress))


def _others(own: Labels, known: Sequence[Labels]) -> list[Labels]:
    """Labels that are not ``own``."""
    found: list[Labels] = []
    for labels in ({}, *known):
        if labels != own and labels not in found:
            found.append(labels)
    return found


def _labelled(endpoint: Endpoint, chosen: Endpoint, labels: Labels) -> Endpoint:
    return replace(endpoint, labels=labels) if endpoint is chosen else endpoint
