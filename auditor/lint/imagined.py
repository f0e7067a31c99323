"""Pods for namespaces of which the input has policies and no pods: what policies say of each other can be checked with
any that they select.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace

from auditor.lint.listing import listed
from auditor.model.labels import LabelSelector, Operator
from auditor.model.snapshot import Endpoint, EndpointKind, Snapshot


def namespaces_without_pods(snapshot: Snapshot) -> tuple[str, ...]:
    """The namespaces that have policies and no pods, in the order of their policies."""
    with_pods = {endpoint.namespace for endpoint in snapshot.endpoints if endpoint.kind is EndpointKind.POD}
    found = (policy.namespace for policy in snapshot.policies if policy.namespace not in with_pods)
    return tuple(dict.fromkeys(found))


ADD_PODS = "add the workloads, or what 'kubectl get ns,pods,svc,netpol -A -o yaml' prints"


def not_checked(snapshot: Snapshot) -> tuple[str, ...]:
    """What could not be checked, for want of what the input does not have; empty where everything was."""
    if not snapshot.number_of_policies:
        return ("no network policy is in the input: nothing was checked",)
    missing = namespaces_without_pods(snapshot)
    has_pods = any(endpoint.kind is EndpointKind.POD for endpoint in snapshot.endpoints)
    if snapshot.admin_policies and not (missing or has_pods):
        return (f"which pods administrators' policies are for: no pod is in the input; {ADD_PODS}",)
    if not missing:
        return ()
    where = listed(missing)
    if missing == _all_with_policies(snapshot):
        where = "any namespace with policies" if has_pods else "any namespace"
    said = f"which pods selectors match and which ports are served: no pod of {where} is in the input"
    return (f"{said}; {ADD_PODS}",)


def _all_with_policies(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(dict.fromkeys(policy.namespace for policy in snapshot.policies))


def with_imagined_pods(snapshot: Snapshot, namespaces: Collection[str]) -> Snapshot:
    """``snapshot`` with a pod in each of ``namespaces`` for each podSelector of its policies: ``prod/[app=web]``."""
    selectors: dict[str, dict[LabelSelector, None]] = defaultdict(dict)
    for policy in snapshot.policies:
        if policy.namespace in namespaces:
            selectors[policy.namespace][policy.pod_selector] = None
    imagined = tuple(
        _pod(namespace, selector, number)
        for namespace, each in selectors.items()
        for number, selector in enumerate(each)
    )
    return replace(snapshot, endpoints=(*snapshot.endpoints, *imagined))


def _pod(namespace: str, selector: LabelSelector, number: int) -> Endpoint:
    labels = dict(selector.match_labels) | dict(_labels_of(selector, number))
    text = "any pod" if selector.is_empty else str(selector)
    return Endpoint(f"{namespace}/[{text}]", EndpointKind.POD, namespace, labels)


def _labels_of(selector: LabelSelector, number: int) -> Iterator[tuple[str, str]]:
    """Labels that meet the expressions of ``selector``, so far as they ask for any; ``number`` is like no other."""
    for requirement in selector.match_expressions:
        if requirement.operator is Operator.IN:
            yield requirement.key, requirement.values[0]
        elif requirement.operator is Operator.EXISTS:
            yield requirement.key, f"imagined-{number}"
