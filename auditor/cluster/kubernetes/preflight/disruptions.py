"""What makes a probe pod dangerous to the workload whose labels it carries: judged from objects of the cluster, without
asking it anything.

A Service that publishes addresses which are not ready would send it traffic. A PodDisruptionBudget that has to know the
scale of the pods' controllers can't be computed while a probe pod matches it, and then allows no eviction at all. A
required anti-affinity keeps real pods off the probe pod's node, and the probe pod off theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.model.labels import Labels, LabelSelector, Operator, Requirement
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Namespace, Service

MOST_NAMED = 3


class Expression(Record, frozen=True):
    """metav1 LabelSelectorRequirement."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Selector(Record, frozen=True):
    """metav1 LabelSelector."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[Expression, ...] = ()

    def value(self) -> LabelSelector:
        requirements = (
            Requirement(item.key, Operator(item.operator), tuple(sorted(item.values)))
            for item in self.match_expressions
        )
        return LabelSelector(tuple(sorted(self.match_labels.items())), tuple(requirements))


class Named(Record, frozen=True):
    """metav1 ObjectMeta, as far as it says which object it is."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class BudgetSpec(Record, frozen=True):
    """policy/v1 PodDisruptionBudgetSpec. Numbers are absolute, text is a percentage."""

    selector: Selector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None


class Budget(Record, frozen=True):
    """policy/v1 PodDisruptionBudget."""

    metadata: Named
    spec: BudgetSpec = BudgetSpec()

    def covers(self, namespace: str, labels: Labels) -> bool:
        """A null selector selects nothing, an empty one everything (policy/v1)."""
        selector = self.spec.selector
        return self.metadata.namespace == namespace and selector is not None and selector.value().matches(labels)

    @property
    def needs_scale(self) -> bool:
        """Whether the disruption controller has to find the controller of each pod that it covers
        (getExpectedPodCount).
        """
        return self.spec.max_unavailable is not None or isinstance(self.spec.min_available, str)


class AffinityTerm(Record, frozen=True):
    """v1 PodAffinityTerm. What matchLabelKeys add to its selector is written there by the API server."""

    topology_key: str = ""
    label_selector: Selector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: Selector | None = None

    def covers(self, owner: str, namespace: Namespace, labels: Labels) -> bool:
        """Whether it concerns a pod with ``labels`` in ``namespace``, when it stands in a pod of the namespace
        ``owner``.
        """
        if self.label_selector is None or not self.label_selector.value().matches(labels):
            return False
        if not self.namespaces and self.namespace_selector is None:
            return namespace.name == owner
        selector = self.namespace_selector
        return namespace.name in self.namespaces or (
            selector is not None and selector.value().matches(namespace.labels)
        )


class AntiAffinity(Record, frozen=True):
    """v1 PodAntiAffinity."""

    required: tuple[AffinityTerm, ...] = msgspec.field(
        default=(), name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(Record, frozen=True):
    """v1 Affinity."""

    pod_anti_affinity: AntiAffinity | None = None


class Spread(Record, frozen=True):
    """v1 TopologySpreadConstraint."""

    when_unsatisfiable: str = ""
    label_selector: Selector | None = None


class SchedulingSpec(Record, frozen=True):
    """What of a v1 PodSpec concerns other pods' places."""

    affinity: Affinity | None = None
    topology_spread_constraints: tuple[Spread, ...] = ()
    node_name: str = ""


class Phase(Record, frozen=True):
    """The part of a v1 PodStatus that shows whether it takes a place."""

    phase: str = ""


class ScheduledPod(Record, frozen=True):
    """v1 Pod."""

    metadata: Named
    spec: SchedulingSpec = SchedulingSpec()
    status: Phase = Phase()

    @property
    def full_name(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_choosy(self) -> bool:
        """Whether it can be disturbed at all."""
        affinity = self.spec.affinity
        return bool(affinity and affinity.pod_anti_affinity and affinity.pod_anti_affinity.required) or bool(
            self.spec.topology_spread_constraints
        )

    def repels(self, namespace: Namespace, labels: Labels) -> bool:
        anti = self.spec.affinity.pod_anti_affinity if self.spec.affinity else None
        return anti is not None and any(
            term.covers(self.metadata.namespace, namespace, labels) for term in anti.required
        )

    def counts(self, namespace: str, labels: Labels) -> bool:
        """Whether a spread constraint that can keep pods from being scheduled counts a pod with ``labels``."""
        return self.metadata.namespace == namespace and any(
            spread.when_unsatisfiable == "DoNotSchedule"
            and spread.label_selector is not None
            and spread.label_selector.value().matches(labels)
            for spread in self.spec.topology_spread_constraints
        )


def publishing_service(services: Iterable[Service], probe: ProbePod) -> str:
    """Why a Service would send traffic to ``probe``; empty when none would."""
    for service in services:
        if service.publish_not_ready and service.selector and service.namespace == probe.namespace:
            wanted = LabelSelector(tuple(sorted(service.selector.items())))
            if wanted.matches(probe.labels):
                return (
                    f"Service {service.namespace}/{service.name} selects it and publishes addresses that are not ready"
                )
    return ""


def budget_in_the_way(budgets: Iterable[Budget], probe: ProbePod) -> str:
    """Why ``probe`` would stop a PodDisruptionBudget from working; empty when it would not."""
    for budget in budgets:
        if budget.needs_scale and budget.covers(probe.namespace, probe.labels):
            name = f"PodDisruptionBudget {budget.metadata.namespace}/{budget.metadata.name}"
            return (
                f"{name} selects it and could not be computed beside it, so that nothing could be evicted: "
                "--accept pdb does it anyway"
            )
    return ""


def repelled_by(pods: Iterable[ScheduledPod], namespaces: Mapping[str, Namespace], probe: ProbePod) -> str:
    """Why ``probe`` would keep real pods of its own namespace off its node; empty when it would not.

    Pods of another namespace have no say in what may run in this one: see ``remarks_on``.
    """
    namespace = namespaces.get(probe.namespace) or Namespace.of(probe.namespace)
    for pod in pods:
        if pod.metadata.namespace == probe.namespace and pod.repels(namespace, probe.labels):
            said = f"pod {pod.full_name} requires that no pod with such labels runs beside it"
            return f"{said}: --accept anti-affinity tries it anyway, for as long as the run lasts"
    return ""


def remarks_on(
    budgets: Sequence[Budget],
    pods: Sequence[ScheduledPod],
    namespaces: Mapping[str, Namespace],
    probes: Sequence[ProbePod],
) -> tuple[str, ...]:
    """What is harmless and yet seen: lines in the order of their objects."""
    lines = [
        f"PodDisruptionBudget {budget.metadata.namespace}/{budget.metadata.name} counts probe pods among its "
        "expected pods during the run"
        for budget in budgets
        if not budget.needs_scale and any(budget.covers(probe.namespace, probe.labels) for probe in probes)
    ]
    spread = {_workload(pod) for pod in pods for probe in probes if pod.counts(probe.namespace, probe.labels)}
    lines += [f"topologySpreadConstraints of {workload} count probe pods during the run" for workload in sorted(spread)]
    return (*lines, *_repelled_from_elsewhere(pods, namespaces, probes))


def _repelled_from_elsewhere(
    pods: Iterable[ScheduledPod], namespaces: Mapping[str, Namespace], probes: Sequence[ProbePod]
) -> Iterator[str]:
    """What the anti-affinity of pods comes to that reaches into namespaces of others."""
    found: dict[str, dict[str, None]] = {}
    for pod in pods:
        for probe in probes:
            namespace = namespaces.get(probe.namespace) or Namespace.of(probe.namespace)
            if pod.metadata.namespace != probe.namespace and pod.repels(namespace, probe.labels):
                found.setdefault(_workload(pod), {})[probe.name] = None
    for workload, names in sorted(found.items()):
        yield (
            f"pods of {workload} require that no pod with such labels runs beside them, in other namespaces either: "
            "they find no place "
            f"beside the probe pods of {_some(sorted(names))} during the run, and these none beside them"
        )


def _some(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _workload(pod: ScheduledPod) -> str:
    """``NAMESPACE/NAME`` with what a ReplicaSet adds cut off, so that its pods are one line."""
    labels: Mapping[str, Any] = pod.metadata.labels
    stem, found, _ = pod.full_name.partition(f"-{labels.get('pod-template-hash', '/')}-")
    return stem if found else pod.full_name
