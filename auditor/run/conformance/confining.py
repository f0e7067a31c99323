"""Policies of administrators that stand in no namespace, held to the pods of one scenario by labels of its own.

A namespace of such a scenario has the run's label and one of the scenario's, its pods have the run's, and every subject
and every peer asks for them, beside what the scenario asks for. A scenario means the same afterwards, cell by cell, and
several can stand side by side. Networks, nodes and names of domains can't be held to anything so: peers that are made
of these are for clusters with nothing else in them, such as a lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from auditor.cluster.kubernetes.objects import NAME, RUN_LABEL
from auditor.model.admin_policy import NAMED_DEFAULT, AdminPeer, AdminPolicy, AdminRule
from auditor.model.labels import Labels, LabelSelector
from auditor.model.policy import Direction
from auditor.model.scenario import Scenario
from auditor.model.snapshot import Endpoint, Namespace, Snapshot
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.renaming import Renaming, selector_in_namespaces

SCENARIO_LABEL = "netpol-audit/scenario"


@dataclass(frozen=True, slots=True)
class Confinement:
    """The scenario ``number`` of the run ``run_id``."""

    run_id: str
    number: int

    @property
    def of_pods(self) -> Labels:
        """What its pods have, and selectors of pods ask for."""
        return {RUN_LABEL: self.run_id}

    @property
    def of_namespaces(self) -> Labels:
        """What its namespaces have, and selectors of namespaces ask for."""
        return {RUN_LABEL: self.run_id, SCENARIO_LABEL: f"{self.run_id}-{self.number}"}

    def name(self, policy: AdminPolicy) -> str:
        """What ``policy`` is called, as nothing else in the cluster is."""
        return "default" if policy.kind == NAMED_DEFAULT else f"{NAME}-{self.run_id}-{self.number}-{policy.name}"

    def policy(self, policy: AdminPolicy, called: Callable[[str], str]) -> AdminPolicy:
        """``policy`` for the scenario's own pods alone; its namespaces are ``called`` otherwise."""

        def selectors(namespaces: LabelSelector, pods: LabelSelector) -> tuple[LabelSelector, LabelSelector]:
            asked = _asking(selector_in_namespaces(namespaces, called), self.of_namespaces)
            return asked, pods if pods.is_empty else _asking(pods, self.of_pods)

        def peer(old: AdminPeer) -> AdminPeer:
            if old.namespace_selector is None or old.pod_selector is None:
                return old
            namespaces, pods = selectors(old.namespace_selector, old.pod_selector)
            return AdminPeer(namespaces, pods)

        def rules(old: Iterable[AdminRule]) -> tuple[AdminRule, ...]:
            return tuple(replace(rule, peers=tuple(map(peer, rule.peers))) for rule in old)

        namespaces, pods = selectors(policy.namespace_selector, policy.pod_selector)
        confined = replace(policy, namespace_selector=namespaces, pod_selector=pods, file="", line=0)
        return replace(confined, name=self.name(policy), ingress=rules(policy.ingress), egress=rules(policy.egress))

    def snapshot(self, snapshot: Snapshot, names: Renaming) -> Snapshot:
        """``snapshot`` under other ``names``, with policies that reach nothing beyond it."""
        renamed = names.snapshot(snapshot)
        policies = [self.policy(policy, lambda name: names.prefix + name) for policy in snapshot.admin_policies]
        return replace(
            renamed,
            namespaces={
                name: Namespace.of(name, {**each.own_labels, **self.of_namespaces})
                for name, each in renamed.namespaces.items()
            },
            endpoints=tuple(map(self._endpoint, renamed.endpoints)),
            admin_policies=tuple(policies),
        )

    def _endpoint(self, endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, labels={**endpoint.labels, **self.of_pods}) if endpoint.selectable else endpoint


def _asking(selector: LabelSelector, labels: Labels) -> LabelSelector:
    """``selector`` that asks for ``labels``, too."""
    return replace(selector, match_labels=tuple(sorted((*selector.match_labels, *labels.items()))))


def reaches_beyond(policies: Iterable[AdminPolicy]) -> bool:
    """Whether any of ``policies`` has a peer that is not known by labels of pods, and so can't be confined."""
    rules = (rule for policy in policies for direction in Direction for rule in policy.rules(direction))
    return any(peer.namespace_selector is None or peer.pod_selector is None for rule in rules for peer in rule.peers)


def prepare_confined(scenarios: Sequence[Scenario], prefix: str, run_id: str, first: int) -> list[PreparedScenario]:
    """One prepared scenario for each of ``scenarios``, numbered from ``first`` on, in which nothing changes.

    ``prefix`` is as ``prepare_scenarios`` takes it.
    """
    found = []
    for number, scenario in enumerate(scenarios, first):
        names = Renaming(prefix.format(name=scenario.name, number=number))
        snapshot = Confinement(run_id, number).snapshot(scenario.snapshot, names)
        truth = {names.cell(cell): verdict for cell, verdict in scenario.truth.items()}
        found.append(PreparedScenario(scenario, names, snapshot, truth))
    return found
