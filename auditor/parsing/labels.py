"""Labels and label selectors, checked as the API server checks them
(k8s.io/apimachinery/pkg/apis/meta/v1/validation).
"""

from __future__ import annotations

import re

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.parsing.fields import Fields

LONGEST_NAME = 63
LONGEST_PREFIX = 253
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")
PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")
_GOOD_KEYS: set[str] = set()
_GOOD_VALUES: set[str] = {""}
MOST_REMEMBERED = 100_000

SELECTOR_FIELDS = ("matchLabels", "matchExpressions")
SELECTOR_HINTS = {
    "namespaceSelector": "namespaceSelector stands beside podSelector in a peer, not inside it",
    "podSelector": "podSelector stands beside namespaceSelector in a peer, not inside it",
    "ports": "ports stands beside from or to in a rule",
    "ipBlock": "ipBlock is a peer of its own",
    "ingress": "ingress stands beside podSelector in spec, not inside it",
    "egress": "egress stands beside podSelector in spec, not inside it",
    "policyTypes": "policyTypes stands beside podSelector in spec, not inside it",
}
EXPRESSION_FIELDS = ("key", "operator", "values")


def key_error(key: str) -> str:
    """What is wrong with a label key; empty when nothing is."""
    if key in _GOOD_KEYS:
        return ""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or len(prefix) > LONGEST_PREFIX or not PREFIX.match(prefix)):
        return f"the prefix {prefix!r} of label key {key!r} is not a valid DNS name"
    if not name or len(name) > LONGEST_NAME or not NAME.match(name):
        return (
            f"label key {key!r} must be at most {LONGEST_NAME} letters, digits, '-', '_' and '.', with a letter "
            "or digit at both ends"
        )
    if len(_GOOD_KEYS) < MOST_REMEMBERED:
        _GOOD_KEYS.add(key)
    return ""


def value_error(value: str) -> str:
    """What is wrong with a label value; empty when nothing is."""
    if value in _GOOD_VALUES:
        return ""
    if len(value) > LONGEST_NAME or not NAME.match(value):
        return (
            f"label value {value!r} must be at most {LONGEST_NAME} letters, digits, '-', '_' and '.', with a "
            "letter or digit at both ends"
        )
    if len(_GOOD_VALUES) < MOST_REMEMBERED:
        _GOOD_VALUES.add(value)
    return ""


def read_labels(fields: Fields, key: str) -> dict[str, str]:
    """The map of labels at ``key``; a null value is an error since nobody can mean it."""
    labels: dict[str, str] = {}
    section = fields.map(key)
    if section is None:
        return labels
    for name, value in section.value.items():
        if value is None:
            section.note('is null: write "" if the empty value is meant', name)
            continue
        if not isinstance(value, str):
            section.wrong_type(value, str, name)
            continue
        said = key_error(name) or value_error(value)
        if said:
            section.note(said, name)
        labels[name] = value
    return labels


def read_selector(fields: Fields) -> LabelSelector:
    """The label selector that ``fields`` are."""
    fields.refuse_unknown(SELECTOR_FIELDS, SELECTOR_HINTS, "labels belong inside matchLabels")
    expressions = [
        requirement for item in fields.maps("matchExpressions") if (requirement := _read_requirement(item)) is not None
    ]
    return LabelSelector(tuple(sorted(read_labels(fields, "matchLabels").items())), tuple(expressions))


def _read_requirement(fields: Fields) -> Requirement | None:
    fields.refuse_unknown(EXPRESSION_FIELDS)
    key, operator = fields.text("key"), fields.text("operator")
    values = fields.texts("values")
    if not key:
        fields.note("needs a key")
    elif said := key_error(key):
        fields.note(said, "key")
    for number, value in enumerate(values):
        if said := value_error(value):
            fields.note(said, "values", number)
    if operator not in tuple(Operator):
        fields.note(
            f"operator must be one of {', '.join(Operator)}" + (f", not {operator!r}" if operator else ""), "operator"
        )
        return None
    if operator in (Operator.IN, Operator.NOT_IN) and not fields.items("values"):
        fields.note(f"operator {operator} needs values", "values")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and fields.items("values"):
        fields.note(f"operator {operator} takes no values", "values")
    return Requirement(key or "", Operator(operator), tuple(sorted(values)))
