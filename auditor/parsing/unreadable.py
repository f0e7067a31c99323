"""Policies that are there, and can't be read: what they may decide is in doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from auditor.model.admin_policy import CURRENT, NAMED_DEFAULT, AdminPolicy, AdminTier
from auditor.model.errors import Problem
from auditor.model.labels import LabelSelector
from auditor.model.policy import UnknownPolicy
from auditor.parsing.admin_policy import has_one_subject, read_pods
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_selector

SOMEWHERE = "?"
"""The name of a policy of which nothing is known but that it may exist."""


def unreadable_policy(fields: Fields, namespace: str, name: str, problems: Sequence[Problem]) -> UnknownPolicy:
    """The policy that ``fields`` are, which has ``problems``; with the pods that it selects where it says which."""
    why = f"can't be read: {problems[0]}"
    return UnknownPolicy(namespace, name or SOMEWHERE, selected_by(fields), why)


def selected_by(fields: Fields) -> LabelSelector | None:
    """What selects the pods of the policy that ``fields`` are; None where that can't be read for certain."""
    found: list[Problem] = []
    spec = Fields(fields.document, found, fields.path, fields.value).map("spec")
    selector = spec.map("podSelector") if spec else None
    read = read_selector(selector) if selector else None
    return None if found or is_doubtful(fields) else read


def unreadable_admin_policy(fields: Fields, kind: str, name: str, problems: Sequence[Problem]) -> UnknownPolicy:
    """The policy of ``kind``, one for the whole cluster, that ``fields`` are, which has ``problems``."""
    namespaces, pods = subject_of(fields)
    first = problems[0]
    return UnknownPolicy(
        "", f"{kind} {name or SOMEWHERE}", pods, f"can't be read: {first}", tier_of(fields, kind), namespaces
    )


def unknown_admin_policy(first: AdminPolicy, second: AdminPolicy, why: str) -> UnknownPolicy:
    """What is known of a policy that is there twice, as ``first`` and differently as ``second``: what the two share."""
    same = (first.namespace_selector, first.pod_selector) == (second.namespace_selector, second.pod_selector)
    tier = first.tier if first.tier is second.tier else AdminTier.ADMIN
    namespaces, pods = (first.namespace_selector, first.pod_selector) if same else (None, None)
    return UnknownPolicy("", first.full_name, pods, why, tier, namespaces)


def tier_of(fields: Fields, kind: str) -> AdminTier:
    """The tier that the policy ``fields`` of ``kind`` is in; the mightier one where that can't be read."""
    spec = fields.value.get("spec")
    tier = spec.get("tier") if isinstance(spec, dict) and kind == CURRENT else None
    baseline = kind == NAMED_DEFAULT or tier == AdminTier.BASELINE
    return AdminTier.BASELINE if baseline else AdminTier.ADMIN


def subject_of(fields: Fields) -> tuple[LabelSelector | None, LabelSelector | None]:
    """What selects the namespaces and the pods of the policy that ``fields`` are; None both where that can't be read
    for certain.
    """
    found: list[Problem] = []
    spec = Fields(fields.document, found, fields.path, fields.value).map("spec")
    subject = spec.map("subject") if spec else None
    if subject is None or not has_one_subject(subject) or found or is_doubtful(fields):
        return None, None
    selectors = read_pods(subject, next(iter(subject.value)))
    return (None, None) if found else selectors


def is_doubtful(fields: Fields) -> bool:
    """Whether something in the part of its document that ``fields`` are can be read in two ways."""
    return any(doubt.path[: len(fields.path)] == fields.path for doubt in fields.document.doubts)


def may_be_in(files: Iterable[str], namespaces: Collection[str]) -> Iterator[UnknownPolicy]:
    """What ``files``, which can't be read, may hold: policies in any of ``namespaces``."""
    for file in dict.fromkeys(files):
        for name in namespaces:
            yield UnknownPolicy(name, SOMEWHERE, None, f"may be in {file}, which can't be read")
