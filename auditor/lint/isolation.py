"""Checks of namespaces: pods that their namespace's policies leave out, and no default deny."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.lint.finding import Check, Remark
from auditor.lint.listing import listed
from auditor.lint.policy_index import IN_EVERY_CLUSTER, PolicyIndex
from auditor.model.labels import LabelSelector
from auditor.model.lint import Place, Severity
from auditor.model.notation import scalar
from auditor.model.policy import Direction
from auditor.policy.bits import union

DEFAULT_DENY = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies"


SYSTEM_NAMESPACES = frozenset(IN_EVERY_CLUSTER) - {"default"}


def _namespaces(policy_index: PolicyIndex) -> list[str]:
    """The namespaces with a policy that selects a pod, in the order of their policies; none where policies of files are
    still to be rendered, which may be for any of them.
    """
    if policy_index.lacks_policies:
        return []
    return list(
        dict.fromkeys(
            policy.namespace
            for policy, subjects in zip(policy_index.snapshot.policies, policy_index.subjects, strict=True)
            if subjects
        )
    )


def _isolated(policy_index: PolicyIndex) -> int:
    """The pods that some policy isolates in some direction."""
    return policy_index.isolated[Direction.INGRESS] | policy_index.isolated[Direction.EGRESS]


def _under_administrators(policy_index: PolicyIndex) -> int:
    """The pods that policies of administrators select: these may close what no NetworkPolicy does."""
    groups = policy_index.groups
    return union(
        groups.in_namespaces(policy.namespace_selector) & groups.with_labels(policy.pod_selector)
        for policy in policy_index.snapshot.admin_policies
    )


def unprotected_pods(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Pods that no policy selects, in a namespace where policies select others."""
    for namespace in _namespaces(policy_index):
        others = _isolated(policy_index) | policy_index.uncertain | _under_administrators(policy_index)
        if left := policy_index.pods_in(namespace) & ~others:
            message = f"no policy selects {policy_index.names(left)}: open in both directions"
            hint = "Write a policy that selects them, or a default deny for the namespace."
            yield Remark(Place(namespace), message, hint, cause="unprotected")


def no_default_deny(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Directions in which a namespace has no policy for all of its pods, so that new pods, or some of the present ones,
    are open.
    """
    covered = {
        (policy.namespace, direction)
        for policy in policy_index.snapshot.policies
        if policy.pod_selector == LabelSelector()
        for direction in policy.directions
    }
    for namespace in _namespaces(policy_index):
        missing = [direction for direction in Direction if (namespace, direction) not in covered]
        if missing and not policy_index.pods_in(namespace) & policy_index.uncertain:
            message = (
                f"no policy isolates every pod of namespace {namespace} for {listed([each.value for each in missing])}"
            )
            message += _consequence(policy_index, namespace)
            yield Remark(Place(namespace), message, default_deny(namespace, missing), cause=f"for {missing}")


def namespaces_without_policy(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Namespaces with pods and no policy, while others have some; the cluster's own namespaces are left alone.

    Of files, only where most have some: else policies are not what is expected of each.
    """
    with_policies = {policy.namespace for policy in policy_index.snapshot.policies}
    without = policy_index.pod_endpoints.keys() - with_policies - SYSTEM_NAMESPACES
    is_expected = policy_index.complete or len(without) <= len(with_policies)
    if policy_index.lacks_policies:
        return
    for namespace in sorted(without) if with_policies and is_expected else ():
        pods = policy_index.pods_in(namespace)
        if pods & ~policy_index.uncertain:
            message = (
                f"no policy is in namespace {namespace}, so all of its pods ({policy_index.names(pods)}) are "
                "open: policies are per namespace"
            )
            yield Remark(Place(namespace), message, default_deny(namespace, list(Direction)), cause="no policy")


def _consequence(policy_index: PolicyIndex, namespace: str) -> str:
    """What is open today because of it."""
    pods = policy_index.pods_in(namespace)
    may_send = pods & policy_index.isolated[Direction.INGRESS] & ~policy_index.isolated[Direction.EGRESS]
    may_receive = pods & policy_index.isolated[Direction.EGRESS] & ~policy_index.isolated[Direction.INGRESS]
    parts = []
    if may_send:
        parts.append(
            f"{policy_index.names(may_send)} may open any connection: a policy for Ingress says nothing about egress"
        )
    if may_receive:
        parts.append(
            f"{policy_index.names(may_receive)} may be reached by everyone: a policy for Egress says nothing about "
            "ingress"
        )
    return "; " + "; ".join(parts) if parts else "; pods that are created with other labels are open"


def default_deny(namespace: str, directions: list[Direction]) -> str:
    """A policy that isolates every pod of ``namespace``."""
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: default-deny, namespace: {scalar(namespace)}}}\n"
        f"spec: {{podSelector: {{}}, policyTypes: [{', '.join(directions)}]}}  # first allow what must stay open"
    )


CHECKS = (
    Check(
        "unprotected-pod",
        Severity.INFO,
        "Pods that no policy selects, beside others that are protected",
        "A pod that no policy selects is open in both directions. Where its neighbours are protected, it was likely "
        "forgotten, or has a "
        "misspelt label; and it may be a way around their protection.",
        unprotected_pods,
        DEFAULT_DENY,
    ),
    Check(
        "namespace-without-policy",
        Severity.INFO,
        "A namespace without any policy, while others have some",
        "A policy acts on its own namespace and on no other. A default deny in "
        "one namespace does nothing for the next.",
        namespaces_without_policy,
        DEFAULT_DENY,
    ),
    Check(
        "no-default-deny",
        Severity.INFO,
        "A namespace with policies and no default deny",
        "Isolation is by pod and by direction: whatever no policy for that direction selects is open. With a policy "
        "for all pods of the "
        "namespace, whatever is created next starts closed.",
        no_default_deny,
        DEFAULT_DENY,
    ),
)
