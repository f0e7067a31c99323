"""What there is, where a selector matches nothing: the labels that pods and namespaces have instead."""

from __future__ import annotations

from auditor.diagnosis.lint.notation import peer_yaml
from auditor.diagnosis.lint.scene import Scene, listed
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator
from auditor.model.policy import Peer

MOST_VALUES = 8


def labels_seen(scene: Scene, selector: LabelSelector, pods: int, where: str) -> str:
    """The values that the labels which ``selector`` reads have on ``pods``."""
    keys = [key for key, _ in selector.match_labels] + [requirement.key for requirement in selector.match_expressions]
    members = list(scene.members(pods))
    lines = []
    for key in dict.fromkeys(keys):
        values = sorted({pod.labels[key] for pod in members if key in pod.labels})
        lines.append(f"Pods of {where} have {key}: {listed(values, MOST_VALUES)}" if values else f"No pod of {where} has the label {key}")
    return "\n".join(lines)


def namespace_hint(scene: Scene, peer: Peer, selector: LabelSelector) -> str:
    """What the author of a namespaceSelector that matches no namespace may have meant."""
    named = _named_namespaces(selector)
    known = [name for name in named if name in scene.namespaces]
    if known:
        pairs = ((NAMESPACE_NAME_LABEL, known[0]),)
        fixed = Peer(peer.pod_selector, LabelSelector(pairs))
        return (
            f"Namespace {known[0]} exists, but has no such label. "
            f"Every namespace has its name in {NAMESPACE_NAME_LABEL}:\n{peer_yaml(fixed)}"
        )
    keys = sorted({key for key, _ in selector.match_labels} | {requirement.key for requirement in selector.match_expressions})
    lines = []
    for key in keys:
        values = sorted({namespace.labels[key] for namespace in scene.namespaces.values() if key in namespace.labels})
        lines.append(f"Namespaces have {key}: {listed(values, MOST_VALUES)}" if values else f"No namespace has the label {key}")
    return "\n".join([*lines, "Label the namespace, or select it by kubernetes.io/metadata.name."])


def _named_namespaces(selector: LabelSelector) -> list[str]:
    """The values that ``selector`` asks for: often names of namespaces."""
    listed_values = [
        value for requirement in selector.match_expressions if requirement.operator is Operator.IN for value in requirement.values
    ]
    return [value for _, value in selector.match_labels] + listed_values


def names_a_namespace(scene: Scene, selector: LabelSelector) -> bool:
    """Whether ``selector`` asks for the name of a known namespace under another label than the one that carries names."""
    return any(name in scene.namespaces for name in _named_namespaces(selector))
