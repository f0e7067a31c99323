"""Pods that have numbers, of a StatefulSet or an Indexed Job: which of them there are, with their names and labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from auditor.model.labels import LabelSelector
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Endpoint
from auditor.parsing.pods import Ordinals, Workload

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
JOB_INDEX = "batch.kubernetes.io/job-completion-index"
MOST_NUMBERED = 10_000


def values_asked_for(policies: Iterable[NetworkPolicy]) -> frozenset[str]:
    """The values by which ``policies`` ask for single pods of a StatefulSet, or of an Indexed Job."""
    selectors = {policy.pod_selector for policy in policies}
    selectors |= {
        peer.pod_selector
        for policy in policies
        for rule in (*policy.ingress, *policy.egress)
        for peer in rule.peers
        if peer.pod_selector is not None
    }
    return frozenset(value for selector in selectors for value in _values(selector))


def _values(selector: LabelSelector) -> Iterable[str]:
    keys = (POD_NAME, POD_INDEX, JOB_INDEX)
    yield from (value for key, value in selector.match_labels if key in keys)
    for requirement in selector.match_expressions:
        if requirement.key in keys:
            yield from requirement.values


def numbered_pods(workload: Workload, ordinals: Ordinals, most: int, asked: Collection[str]) -> list[Endpoint]:
    """The first ``most`` of the pods of ``workload``, and those that are ``asked`` for by name or number."""
    template, first = workload.template, ordinals.start
    total = workload.replicas or 0
    numbers = [
        number
        for number in range(first, first + min(total, MOST_NUMBERED))
        if number < first + most or {str(number), f"{workload.name}-{number}"} & set(asked)
    ]
    alone = len(numbers) == 1 and not ordinals.names_pods
    return [
        replace(
            template,
            name=template.name if alone else f"{template.name}-{number}",
            labels={**template.labels, **_own_labels(workload.name, ordinals, number)},
        )
        for number in numbers
    ]


def _own_labels(name: str, ordinals: Ordinals, number: int) -> Mapping[str, str]:
    if ordinals.names_pods:
        return {POD_NAME: f"{name}-{number}", POD_INDEX: str(number)}
    return {JOB_INDEX: str(number)}
