"""Label selectors against labels, as meta/v1 LabelSelector defines them, and what a selector misses where it fails."""

from __future__ import annotations

from auditor.model.labels import Labels, LabelSelector, Operator, Requirement


def matches(selector: LabelSelector, labels: Labels) -> bool:
    """Whether ``labels`` meet every condition of ``selector``; the empty selector matches everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels) and all(
        meets(requirement, labels) for requirement in selector.match_expressions
    )


def meets(requirement: Requirement, labels: Labels) -> bool:
    """Whether ``labels`` meet one condition. NotIn and DoesNotExist hold where the key is missing, In and
    Exists don't.
    """
    match requirement.operator:
        case Operator.IN:
            return requirement.key in labels and labels[requirement.key] in requirement.values
        case Operator.NOT_IN:
            return requirement.key not in labels or labels[requirement.key] not in requirement.values
        case Operator.EXISTS:
            return requirement.key in labels
        case Operator.DOES_NOT_EXIST:
            return requirement.key not in labels


def unmet(selector: LabelSelector, labels: Labels) -> list[str]:
    """What ``labels`` lack for ``selector``, one phrase for each condition that fails: ``has no label
    name``, ``has role=web``.
    """
    failing = [key for key, value in selector.match_labels if labels.get(key) != value]
    failing += [requirement.key for requirement in selector.match_expressions if not meets(requirement, labels)]
    return [f"has {key}={labels[key]}" if key in labels else f"has no label {key}" for key in dict.fromkeys(failing)]
