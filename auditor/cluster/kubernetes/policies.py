"""NetworkPolicies of a live cluster, read as strictly as those of files; but one that can't be read stops nothing.

The input can't be edited here, so such a policy is handed on with its problems, and with the pods that it selects as
far as that is known: what these may do is then uncertain, and only that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditor.model.errors import Problem
from auditor.model.labels import LabelSelector
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.parsing.documents import Document
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_selector
from auditor.parsing.network_policy import API_VERSION, read_policy

UNSAVED = ("managedFields", "annotations")


@dataclass(frozen=True, slots=True)
class UnreadablePolicy:
    """A NetworkPolicy with ``problems``. ``pod_selector`` None: not even the pods that it selects are known, so all of
    its namespace.
    """

    namespace: str
    name: str
    problems: tuple[Problem, ...]
    pod_selector: LabelSelector | None

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"


def read_live_policy(item: Mapping[str, Any]) -> NetworkPolicy | UnreadablePolicy:
    """The policy that ``item`` of a list is; items of lists have no kind and apiVersion."""
    metadata = item.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    namespace, name = str(known.get("namespace", "")), str(known.get("name", ""))
    problems: list[Problem] = []
    value = {"apiVersion": API_VERSION, "kind": "NetworkPolicy", **item}
    document = Document(f"NetworkPolicy {namespace}/{name}", value, lambda _: 0)
    policy = read_policy(Fields(document, problems, (), value), namespace, name)
    if not problems:
        return policy
    return UnreadablePolicy(namespace, name, tuple(problems), _pod_selector(document))


def unknown_policy(policy: UnreadablePolicy) -> UnknownPolicy:
    """``policy`` as a snapshot has it: with its first problem in words."""
    first = policy.problems[0]
    more = f" (and {len(policy.problems) - 1} more)" if len(policy.problems) > 1 else ""
    where = f"{first.path}: " if first.path else ""
    return UnknownPolicy(
        policy.namespace, policy.name, policy.pod_selector, f"can't be read: {where}{first.message}{more}"
    )


def _pod_selector(document: Document) -> LabelSelector | None:
    problems: list[Problem] = []
    spec = Fields(document, problems, (), document.value).map("spec")
    selector = spec.map("podSelector") if spec else None
    read = read_selector(selector) if selector else LabelSelector()
    return None if problems or spec is None else read


def saved_policy(item: Mapping[str, Any], *, readable: bool) -> dict[str, Any]:
    """``item`` as a manifest. One that can't be read keeps all but the noise: anyone who reads it again is to find the
    same problems.
    """
    metadata = item.get("metadata") or {}
    if readable:
        kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
        return {"apiVersion": API_VERSION, "kind": "NetworkPolicy", "metadata": kept, "spec": item.get("spec")}
    kept = {key: value for key, value in metadata.items() if key not in UNSAVED}
    return {"apiVersion": API_VERSION, "kind": "NetworkPolicy", **item, "metadata": kept}
