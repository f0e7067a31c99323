"""What there is, where a selector matches nothing: the labels that pods and namespaces have instead."""

from __future__ import annotations

from auditor.lint.area import Area
from auditor.lint.listing import listed
from auditor.lint.policy_index import PolicyIndex
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.notation import peer_yaml
from auditor.model.policy import Peer

MOST_VALUES = 8
COMMON_VALUES = frozenset({"", "true", "false", "enabled", "default"})


def labels_seen(selector: LabelSelector, area: Area) -> str:
    """The values that the labels which ``selector`` reads have on the pods of ``area``."""
    keys = [key for key, _ in selector.match_labels] + [requirement.key for requirement in selector.match_expressions]
    lines = []
    for key in dict.fromkeys(keys):
        values = area.pods.of(area, key)
        lines.append(
            f"Pods of {area} have {key}: {listed(values, MOST_VALUES)}"
            if values
            else f"No pod of {area} has the label {key}"
        )
    return "\n".join(lines)


def looks_misspelt(policy_index: PolicyIndex, selector: LabelSelector, area: Area) -> bool:
    """Whether a pod of ``area`` meets all of ``selector`` but for a slip in one label: its value is one written much
    alike, or stands under another key.

    Otherwise pods that it matches may well come later: those of a job that runs at night, of what is scaled to zero or
    not installed yet. So they may where some other pod or a Service has the very label that is asked for.
    """
    return any(
        _is_slip(policy_index, selector, area, key, value)
        for key, value in _asked(selector)
        if not area.pods.has(key, value) and (key, value) not in policy_index.labels_of_services
    )


def _is_slip(policy_index: PolicyIndex, selector: LabelSelector, area: Area, key: str, value: str) -> bool:
    alike = area.pods.like(area, key, value)
    if alike:
        rest = _without(selector, key)
        if any(area.pods.any_matching(area, rest, _having(key, other)) for other in alike):
            return True
    keys = () if value in COMMON_VALUES or not policy_index.is_final else area.pods.other_keys(area, key, value)
    if not keys:
        return False
    rest, lacking = _without(selector, key), LabelSelector((), (Requirement(key, Operator.DOES_NOT_EXIST),))
    return any(area.pods.any_matching(area, rest, _having(other, value), lacking) for other in keys)


def _having(key: str, value: str) -> LabelSelector:
    return LabelSelector(((key, value),))


def _without(selector: LabelSelector, key: str) -> LabelSelector:
    """What ``selector`` asks of other labels than ``key``."""
    return LabelSelector(
        tuple(pair for pair in selector.match_labels if pair[0] != key),
        tuple(requirement for requirement in selector.match_expressions if requirement.key != key),
    )


def _asked(selector: LabelSelector) -> list[tuple[str, str]]:
    several = [
        (requirement.key, value)
        for requirement in selector.match_expressions
        if requirement.operator is Operator.IN
        for value in requirement.values
    ]
    return [*selector.match_labels, *several]


def namespace_hint(policy_index: PolicyIndex, peer: Peer, selector: LabelSelector) -> str:
    """What the author of a namespaceSelector that matches no namespace may have meant."""
    known = [name for name in dict.fromkeys(_named_namespaces(selector)) if name in policy_index.namespaces]
    if known:
        exist = "Namespace {} exists, but has" if len(known) == 1 else "Namespaces {} exist, but have"
        return (
            f"{exist.format(listed(known))} no such label. "
            "Every namespace has its name in "
            f"{NAMESPACE_NAME_LABEL}:\n{peer_yaml(Peer(peer.pod_selector, _called(known)))}"
        )
    keys = sorted(selector.keys)
    lines = []
    for key in keys:
        values = policy_index.namespace_values(key)
        lines.append(
            f"Namespaces have {key}: {listed(values, MOST_VALUES)}" if values else f"No namespace has the label {key}"
        )
    if keys == [NAMESPACE_NAME_LABEL]:
        return "\n".join(lines)
    return "\n".join([*lines, f"Label the namespace, or select it by {NAMESPACE_NAME_LABEL}."])


def _called(names: list[str]) -> LabelSelector:
    """The selector of the namespaces called ``names``."""
    if len(names) == 1:
        return _having(NAMESPACE_NAME_LABEL, names[0])
    return LabelSelector(match_expressions=(Requirement(NAMESPACE_NAME_LABEL, Operator.IN, tuple(names)),))


def _named_namespaces(selector: LabelSelector) -> list[str]:
    """The values that ``selector`` asks for: often names of namespaces."""
    return [value for _, value in _asked(selector)]


def names_a_namespace(policy_index: PolicyIndex, selector: LabelSelector) -> bool:
    """Whether ``selector`` asks for the name of a namespace of which all labels are known, under another label than the
    one that carries names.
    """
    names = (policy_index.namespaces.get(name) for name in _named_namespaces(selector))
    return any(namespace is not None and namespace.known for namespace in names)
