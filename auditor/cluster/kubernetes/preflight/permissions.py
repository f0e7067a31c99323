"""What a run may do in each namespace that it creates something in, asked before it creates anything and reported all
at once.

One SelfSubjectRulesReview for each namespace answers it for authorizers that can list their rules; what that leaves
open is asked with one SelfSubjectAccessReview for each right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, Question

GROUP = "/apis/authorization.k8s.io/v1"
ANY = "*"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (``pods/exec`` with its subresource) of an API group, ``""`` for the core group."""

    group: str
    resource: str
    verb: str


def _rights(group: str, resource: str, *verbs: str) -> tuple[Right, ...]:
    return tuple(Right(group, resource, verb) for verb in verbs)


READING_IN_NAMESPACES = (
    *_rights("", "pods", "list"),
    *_rights("", "services", "list"),
    *_rights("networking.k8s.io", "networkpolicies", "list"),
)
READING_CLUSTER = (*_rights("", "namespaces", "list"), *_rights("", "nodes", "list"))
"""What reading a cluster needs: in all namespaces, or in each that is read; and for what stands in none."""
NAMED = Right("", "namespaces", "get")
"""What reading a single namespace needs there, beside ``READING_IN_NAMESPACES``."""

PROBING = (
    *_rights("", "pods", "create", "deletecollection", "list", "watch"),
    *_rights("", "pods/exec", "create", "get"),
    *_rights("", "configmaps", "create"),
    *_rights("coordination.k8s.io", "leases", "create", "delete", "get", "list", "update"),
    *_rights("discovery.k8s.io", "endpointslices", "list"),
    *_rights("policy", "poddisruptionbudgets", "list"),
)
"""What a run needs in every namespace where it creates probe pods. Exec by websocket is a GET to some versions, a POST
to others.
"""

EXPOSING = _rights("", "services", "create")
"""What a run needs besides, where it makes Services of its own."""

JOINING = (
    *_rights("", "pods", "get"),
    *_rights("", "pods/ephemeralcontainers", "patch"),
    *_rights("", "pods/exec", "create", "get"),
    *_rights("coordination.k8s.io", "leases", "create", "delete", "get", "list", "update"),
)
"""What a run needs in every namespace where it probes from inside the pods themselves."""


class ResourceRule(Record, frozen=True):
    """authorization/v1 ResourceRule. Without ``resource_names`` it holds for every object."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()

    def gives(self, right: Right) -> bool:
        return (
            not self.resource_names
            and not {ANY, right.verb}.isdisjoint(self.verbs)
            and not {ANY, right.group}.isdisjoint(self.api_groups)
            and not {ANY, right.resource, f"*/{right.resource.partition('/')[2]}"}.isdisjoint(self.resources)
        )


class RulesStatus(Record, frozen=True):
    """authorization/v1 SubjectRulesReviewStatus."""

    resource_rules: tuple[ResourceRule, ...] = ()


class RulesReview(Record, frozen=True):
    """authorization/v1 SelfSubjectRulesReview."""

    status: RulesStatus = RulesStatus()


class AccessStatus(Record, frozen=True):
    """authorization/v1 SubjectAccessReviewStatus."""

    allowed: bool = False


class AccessReview(Record, frozen=True):
    """authorization/v1 SelfSubjectAccessReview."""

    status: AccessStatus = AccessStatus()


async def missing_rights(
    api: ApiServer, namespaces: Iterable[str], needed: Sequence[Right] = PROBING
) -> Mapping[str, tuple[Right, ...]]:
    """Those of ``needed`` that we don't have, by namespace; nothing for a namespace where we have them all."""
    names = sorted(set(namespaces))
    found = await asyncio.gather(*(_missing(api, name, needed) for name in names))
    return {name: rights for name, rights in zip(names, found, strict=True) if rights}


async def _missing(api: ApiServer, namespace: str, needed: Sequence[Right]) -> tuple[Right, ...]:
    question = Question(f"{GROUP}/selfsubjectrulesreviews", "create", "selfsubjectrulesreviews.authorization.k8s.io")
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    rules = decode(await api.send("POST", question, body), RulesReview, api, question).status.resource_rules
    open_ones = [right for right in needed if not any(rule.gives(right) for rule in rules)]
    return await _refused(api, namespace, open_ones)


async def _refused(api: ApiServer, namespace: str, rights: Sequence[Right]) -> tuple[Right, ...]:
    """Those of ``rights`` that we don't have in ``namespace``, empty for what stands in none, each asked about."""
    allowed = await asyncio.gather(*(_may(api, namespace, right) for right in rights))
    return tuple(right for right, may in zip(rights, allowed, strict=True) if not may)


async def missing_in_cluster(api: ApiServer, needed: Sequence[Right]) -> tuple[Right, ...]:
    """Those of ``needed`` that we don't have, on what stands in no namespace."""
    return await _refused(api, "", needed)


async def unreadable(api: ApiServer, namespaces: Sequence[str]) -> str:
    """In words, every right that we lack for reading ``namespaces`` (none: all of them), empty if there is none. Raises
    ClusterError.
    """
    asked = [(name, right) for name in namespaces or ("",) for right in READING_IN_NAMESPACES]
    asked += [(name, NAMED) for name in namespaces] or [("", right) for right in READING_CLUSTER]
    allowed = await asyncio.gather(*(_may(api, namespace, right) for namespace, right in asked))
    lacking: dict[str, list[Right]] = {}
    for (namespace, right), may in zip(asked, allowed, strict=True):
        if not may:
            lacking.setdefault(namespace, []).append(right)
    return "; ".join(
        as_rules(rights) + (f" in {namespace}" if namespace else "") for namespace, rights in lacking.items()
    )


async def _may(api: ApiServer, namespace: str, right: Right) -> bool:
    question = Question(f"{GROUP}/selfsubjectaccessreviews", "create", "selfsubjectaccessreviews.authorization.k8s.io")
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return decode(await api.send("POST", question, body), AccessReview, api, question).status.allowed


def as_rules(rights: Iterable[Right]) -> str:
    """``rights`` as rules of a Role, to be pasted: ``{apiGroups: [""], resources: [pods], verbs: [create,
    delete]}, …``.
    """
    rules = []
    for (group, resource), same in groupby(sorted(rights), key=lambda right: (right.group, right.resource)):
        verbs = ", ".join(right.verb for right in same)
        named = group or '""'
        rules.append(f"{{apiGroups: [{named}], resources: [{resource}], verbs: [{verbs}]}}")
    return ", ".join(rules)
