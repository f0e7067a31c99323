"""Policies of a CNI's own kinds: which pods they are for, where that can be read. Their rules are not evaluated, and
may decide anything for these pods, before every NetworkPolicy or after.

Staged policies of Calico are none of them: they are never in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from auditor.model.admin_policy import AdminTier
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import NOT_EVALUATED, UnknownPolicy

_Conditions: TypeAlias = list[Requirement]
_Subject: TypeAlias = tuple[_Conditions, _Conditions]
"""What the labels of the namespace have to meet, and those of the pod."""

NAMESPACED = ("CiliumNetworkPolicy", "NetworkPolicy", "ApplicationNetworkPolicy")
SHARED_NAMES = ("ClusterNetworkPolicy", "NetworkPolicy")
"""Kinds that several API groups have."""
CILIUM_SOURCES = ("k8s:", "any:")
CILIUM_NAMESPACE = "io.kubernetes.pod.namespace"
CILIUM_NAMESPACE_LABEL = "io.cilium.k8s.namespace.labels."
CILIUM_OWN = ("io.cilium.", "io.kubernetes.", "reserved")
CALICO_NAMESPACE, CALICO_NAME, CALICO_OWN = ("projectcalico.org/" + word for word in ("namespace", "name", ""))
CALICO_CONDITION = re.compile(
    r"""\s*(?:
        (?P<all>all\(\s*\))
        | (?P<absent>!?)\s*has\(\s*(?P<has>[\w./-]+)\s*\)
        | (?P<key>[\w./-]+)\s*(?P<equal>==|!=)\s*(?P<value>'[^']*'|"[^"]*")
        | (?P<member>[\w./-]+)\s+(?P<among>in|not\s+in)\s*\{(?P<values>[^{}]*)\}
    )\s*\Z""",
    re.VERBOSE,
)


class _UnreadableError(Exception):
    """A part says something that is not understood here."""


def other_policy(group: str, kind: str, value: Mapping[str, Any], default_namespace: str = "") -> UnknownPolicy | None:
    """The policy ``value`` of a CNI's ``kind`` with the pods that it is for; None where it is none, or says that in a
    way that can't be read.
    """
    reader = _READERS.get((group, kind))
    metadata, several = value.get("metadata"), value.get("specs") or []
    # Cilium's kinds may have either, or both.
    specs = [*filter(None, [value.get("spec")]), *(several if isinstance(several, list) else [several])]
    if reader is None or not isinstance(metadata, dict) or not specs:
        return None
    namespace = str(metadata.get("namespace") or default_namespace) if kind in NAMESPACED else ""
    try:
        namespaces, pods = _all_or_one([reader(_mapping(each)) for each in specs])
    except _UnreadableError:
        return None
    if namespace:
        namespaces = [Requirement(NAMESPACE_NAME_LABEL, Operator.IN, (namespace,))]
    place = f"{namespace}/{metadata.get('name')}" if namespace else str(metadata.get("name"))
    name = f"{kind} of {group} {place}" if kind in SHARED_NAMES else f"{kind} {place}"
    selectors = (LabelSelector((), tuple(conditions)) for conditions in (pods, namespaces))
    pod_selector, namespace_selector = selectors
    return UnknownPolicy("", name, pod_selector, NOT_EVALUATED, AdminTier.ADMIN, namespace_selector)


def _all_or_one(subjects: list[_Subject]) -> _Subject:
    """The subject; all pods where there are several."""
    return subjects[0] if len(subjects) == 1 else ([], [])


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _UnreadableError
    return value


def _items(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if found is not None and not isinstance(found, list):
        raise _UnreadableError
    return found or []


def _conditions(selector: Any) -> _Conditions:
    """Those of a label selector; None of one that isn't there, which is every pod."""
    if selector is None:
        return []
    known = _mapping(selector)
    if known.keys() - {"matchLabels", "matchExpressions"}:
        raise _UnreadableError
    found = [Requirement(key, Operator.IN, (value,)) for key, value in _mapping(known.get("matchLabels") or {}).items()]
    for each in map(_mapping, _items(known, "matchExpressions")):
        try:
            found.append(Requirement(each["key"], Operator(each["operator"]), tuple(_items(each, "values"))))
        except (KeyError, TypeError, ValueError) as error:
            raise _UnreadableError from error
    if not all(isinstance(text, str) for each in found for text in (each.key, *each.values)):
        raise _UnreadableError
    return found


def _of_cilium(spec: Mapping[str, Any]) -> _Subject:
    """Keys may say where labels come from, and some stand for the namespace and its labels."""
    if "endpointSelector" not in spec:
        raise _UnreadableError
    namespaces, pods = [], []
    for each in _conditions(spec["endpointSelector"]):
        key = each.key
        for source in CILIUM_SOURCES:
            key = key.removeprefix(source)
        if key == CILIUM_NAMESPACE:
            namespaces.append(Requirement(NAMESPACE_NAME_LABEL, each.operator, each.values))
        elif key.startswith(CILIUM_NAMESPACE_LABEL):
            own = key.removeprefix(CILIUM_NAMESPACE_LABEL)
            namespaces.append(Requirement(own, each.operator, each.values))
        elif key.startswith(CILIUM_OWN) or ":" in key:
            raise _UnreadableError
        else:
            pods.append(Requirement(key, each.operator, each.values))
    return namespaces, pods


def _of_calico(spec: Mapping[str, Any]) -> _Subject:
    """Selectors are texts in a language of their own, of which all is read that has no "or" and no parts of words."""
    if not all(isinstance(spec.get(rules, []), list) for rules in ("ingress", "egress", "types")):
        raise _UnreadableError
    namespaces = [_calico_name(each, CALICO_NAME) for each in _calico_conditions(spec.get("namespaceSelector"))]
    pods = []
    for each in _calico_conditions(spec.get("selector")):
        if each.key == CALICO_NAMESPACE:
            namespaces.append(_calico_name(each, CALICO_NAMESPACE))
        elif each.key.startswith(CALICO_OWN):
            raise _UnreadableError
        else:
            pods.append(each)
    return namespaces, pods


def _calico_name(condition: Requirement, key: str) -> Requirement:
    """``condition`` about a namespace, of which ``key`` is the name."""
    if condition.key == key:
        return Requirement(NAMESPACE_NAME_LABEL, condition.operator, condition.values)
    if condition.key.startswith(CALICO_OWN):
        raise _UnreadableError
    return condition


def _calico_conditions(selector: Any) -> _Conditions:
    if selector is None or selector == "":
        return []
    if not isinstance(selector, str):
        raise _UnreadableError
    found = []
    for part in selector.split("&&"):
        read = CALICO_CONDITION.match(part)
        if read is None:
            raise _UnreadableError
        if read["has"]:
            found.append(Requirement(read["has"], Operator.DOES_NOT_EXIST if read["absent"] else Operator.EXISTS))
        elif read["key"]:
            operator = Operator.IN if read["equal"] == "==" else Operator.NOT_IN
            found.append(Requirement(read["key"], operator, (read["value"][1:-1],)))
        elif read["member"]:
            values = tuple(each.strip()[1:-1] for each in read["values"].split(","))
            found.append(Requirement(read["member"], Operator.IN if read["among"] == "in" else Operator.NOT_IN, values))
    return found


def _of_aws(spec: Mapping[str, Any]) -> _Subject:
    subject = _mapping(spec.get("subject"))
    if subject.keys() == {"namespaces"}:
        return _conditions(subject["namespaces"]), []
    if subject.keys() == {"pods"}:
        pods = _mapping(subject["pods"])
        return _conditions(pods.get("namespaceSelector")), _conditions(pods.get("podSelector"))
    raise _UnreadableError


def _of_aws_applications(spec: Mapping[str, Any]) -> _Subject:
    """A NetworkPolicy in all but its rules, which may name domains."""
    if "podSelector" not in spec:
        raise _UnreadableError
    return [], _conditions(spec["podSelector"])


def _of_antrea(spec: Mapping[str, Any]) -> _Subject:
    applied = spec.get("appliedTo")
    if not isinstance(applied, list) or not applied:
        raise _UnreadableError
    subjects = []
    for each in map(_mapping, applied):
        if not each or each.keys() - {"podSelector", "namespaceSelector"}:
            raise _UnreadableError
        subjects.append((_conditions(each.get("namespaceSelector")), _conditions(each.get("podSelector"))))
    return _all_or_one(subjects)


_READERS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], _Subject]] = {
    ("cilium.io", "CiliumNetworkPolicy"): _of_cilium,
    ("cilium.io", "CiliumClusterwideNetworkPolicy"): _of_cilium,
    ("crd.projectcalico.org", "NetworkPolicy"): _of_calico,
    ("crd.projectcalico.org", "GlobalNetworkPolicy"): _of_calico,
    ("projectcalico.org", "NetworkPolicy"): _of_calico,
    ("projectcalico.org", "GlobalNetworkPolicy"): _of_calico,
    ("networking.k8s.aws", "ClusterNetworkPolicy"): _of_aws,
    ("networking.k8s.aws", "ApplicationNetworkPolicy"): _of_aws_applications,
    ("crd.antrea.io", "NetworkPolicy"): _of_antrea,
    ("crd.antrea.io", "ClusterNetworkPolicy"): _of_antrea,
}
