"""Checks of a policy's own part: which pods it selects, and for which directions."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.lint.finding import Check, Remark, policy_place
from auditor.lint.hints import labels_seen, looks_misspelt
from auditor.lint.listing import listed
from auditor.lint.policy_index import PolicyIndex
from auditor.model.lint import Severity
from auditor.model.notation import scalar
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.words import pluralize

SELECTORS_PAGE = "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"
RESOURCE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource"
HOST_NETWORK = (
    "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-and-hostnetwork-pods"
)


def selects_no_pod(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Policies that select none of the pods of their namespace, and look like a slip."""
    for policy in _idle(policy_index):
        elsewhere = _elsewhere(policy_index, policy)
        area = policy_index.area(policy.namespace)
        if not elsewhere and not looks_misspelt(policy_index, policy.pod_selector, area):
            continue
        message = (
            f"podSelector {policy.pod_selector} selects no pod of namespace {policy.namespace}, so the policy "
            "does nothing"
        )
        instead = labels_seen(policy.pod_selector, area)
        if elsewhere:
            instead = (
                f"Pods with these labels are in {listed(elsewhere)}. A policy acts on its own namespace only:\n"
                f"metadata: {{name: {scalar(policy.name)}, namespace: {scalar(elsewhere[0])}}}"
            )
        yield Remark(policy_place(policy, "spec.podSelector"), message, instead, *_selected(policy))


def selects_no_pod_yet(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Policies that select none of the pods of their namespace, and may be for pods that come later."""
    for policy in _idle(policy_index):
        area = policy_index.area(policy.namespace)
        if not policy_index.has_its_pods(policy.namespace):
            continue
        if not _elsewhere(policy_index, policy) and not looks_misspelt(policy_index, policy.pod_selector, area):
            message = (
                f"podSelector {policy.pod_selector} selects none of the present pods of namespace {policy.namespace}"
            )
            hint = labels_seen(policy.pod_selector, area)
            yield Remark(policy_place(policy, "spec.podSelector"), message, hint, *_selected(policy))


def _selected(policy: NetworkPolicy) -> tuple[str, str]:
    """The selector of ``policy``, which is the cause of what is found wherever it is used."""
    return str(policy.pod_selector), str(policy.pod_selector)


def _elsewhere(policy_index: PolicyIndex, policy: NetworkPolicy) -> list[str]:
    """The namespaces that have what ``policy`` selects, where its own is the one that is meant."""
    if not policy_index.is_placed(policy.namespace):
        return []
    found = policy_index.namespaces_of(policy_index.groups.with_labels(policy.pod_selector))
    return [name for name in found if policy_index.is_placed(name)]


def _idle(policy_index: PolicyIndex) -> Iterator[NetworkPolicy]:
    """The policies that select no pod, none with hostNetwork either, and none whose labels nobody can know.

    None of namespaces of which no pod is known.
    """
    for policy, subjects in zip(policy_index.snapshot.policies, policy_index.subjects, strict=True):
        if (
            not subjects
            and policy_index.pods_in(policy.namespace)
            and not _on_host_network(policy_index, policy)
            and policy_index.unknown_labels.isdisjoint(policy.pod_selector.keys)
        ):
            yield policy


def _on_host_network(policy_index: PolicyIndex, policy: NetworkPolicy) -> list[str]:
    """The hostNetwork pods that ``policy`` would select."""
    return policy_index.on_host_network(policy.pod_selector, policy_index.area(policy.namespace))


def selects_host_network(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Policies of which every selected pod is on its node's network, where most network plugins apply no policy. One
    for all pods of its namespace is there for whatever comes.
    """
    for policy, subjects in zip(policy_index.snapshot.policies, policy_index.subjects, strict=True):
        idle = not subjects and not policy.pod_selector.is_empty
        pods = _on_host_network(policy_index, policy) if idle else []
        if pods:
            message = (
                f"podSelector {policy.pod_selector} selects only pods with hostNetwork ({listed(pods)}); "
                "what a policy means for these is undefined, and mostly nothing"
            )
            yield Remark(
                policy_place(policy, "spec.podSelector"),
                message,
                "Run the pods without hostNetwork, or filter on the node.",
                *_selected(policy),
            )


def section_without_policy_type(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Sections with rules whose direction is not among policyTypes: they mean nothing."""
    for policy in policy_index.snapshot.policies:
        for direction, section in ((Direction.INGRESS, policy.ingress), (Direction.EGRESS, policy.egress)):
            if section and direction not in policy.directions:
                word = direction.lower()
                message = (
                    f"{pluralize(len(section), 'rule')} in {word}, but policyTypes leaves {direction} out: "
                    f"{'it means' if len(section) == 1 else 'they mean'} nothing, and {word} is not isolated by "
                    "this policy"
                )
                place = policy_place(policy, f"spec.{word}", section[0].line)
                yield Remark(place, message, "policyTypes: [Ingress, Egress]")


CHECKS = (
    Check(
        "section-without-policy-type",
        Severity.ERROR,
        "Rules in a section whose direction is not among policyTypes",
        "policyTypes says for which directions a policy holds. Rules of a direction that it leaves out are stored "
        "and ignored, so the "
        "author believes in rules that do not exist.",
        section_without_policy_type,
        RESOURCE,
    ),
    Check(
        "selects-no-pod",
        Severity.WARNING,
        "A policy that selects no pod",
        "A policy acts on the pods that its podSelector matches in its own namespace. One that matches none "
        "protects nothing. Here pods "
        "of another namespace have these labels, or pods of this one nearly the same: a typing error, or the wrong "
        "namespace.",
        selects_no_pod,
        SELECTORS_PAGE,
    ),
    Check(
        "selects-no-pod-yet",
        Severity.INFO,
        "A policy that selects no pod at present",
        "The policy does nothing until there are such pods. That is as it should be where they come later: those of "
        "a job that runs at "
        "night, or of something that is scaled to zero or not installed yet. Otherwise a label is misspelt.",
        selects_no_pod_yet,
        SELECTORS_PAGE,
    ),
    Check(
        "selects-host-network",
        Severity.WARNING,
        "A policy that selects nothing but hostNetwork pods",
        "Traffic of a hostNetwork pod is its node's; network plugins mostly can't tell it apart and apply no policy "
        "to it.",
        selects_host_network,
        HOST_NETWORK,
    ),
)
