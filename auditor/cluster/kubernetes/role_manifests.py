"""Roles, their bindings and the service account that has them as YAML, with the reason beside each rule."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.cluster.kubernetes.roles import PURPOSES, RULES, Role, Rule

GROUP = "rbac.authorization.k8s.io"
PLAIN = re.compile(r"[a-z][-a-z0-9./]+\Z")
READ_AS_ANOTHER_TYPE = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
"""Words that some reader of YAML takes for no text."""
SEPARATOR = "---\n"
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Account:
    """The service account that gets the roles; cluster-wide objects have names that begin with its own."""

    namespace: str = "netpol-audit"
    name: str = "netpol-audit"


@dataclass(frozen=True, slots=True)
class Grant:
    """``role``, bound in ``namespaces`` alone, or in none and yet everywhere (None)."""

    role: Role
    namespaces: tuple[str, ...] | None = None


def account_manifests(account: Account, *, with_namespace: bool) -> list[str]:
    """The service account, and before it the namespace that it is in, which must not be there already."""
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {scalar(account.namespace)}\n"
    of_it = f"  name: {scalar(account.name)}\n  namespace: {scalar(account.namespace)}\n"
    return [*([namespace] if with_namespace else []), f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n{of_it}"]


def role_manifest(role: Role, account: Account, rules: Sequence[Rule] = ()) -> str:
    """The ClusterRole for ``role``, with ``rules`` in the place of its usual ones where there are any."""
    head = [*_comment(PURPOSES[role], 0), f"apiVersion: {GROUP}/v1", "kind: ClusterRole", "metadata:"]
    return (
        "\n".join([*head, f"  name: {role_name(role, account)}", "rules:", *rule_lines(rules or RULES[role], 2)]) + "\n"
    )


def binding_manifests(grant: Grant, account: Account) -> list[str]:
    """What binds the role of ``grant``: a ClusterRoleBinding, or a RoleBinding in each namespace."""
    places: Sequence[str | None] = [None] if grant.namespaces is None else grant.namespaces
    return [_binding(role_name(grant.role, account), namespace, account) for namespace in places]


def role_name(role: Role, account: Account) -> str:
    """What the ClusterRole and its bindings are called, in YAML."""
    return scalar(f"{account.name}-{role.value}")


def rule_lines(rules: Iterable[Rule], indent: int) -> Iterator[str]:
    """``rules`` as a YAML list, its dashes after ``indent`` spaces."""
    margin = " " * indent
    for rule in rules:
        yield from _comment(rule.why, indent)
        yield f"{margin}- apiGroups: {_listed(rule.groups)}"
        yield f"{margin}  resources: {_listed(rule.resources)}"
        if rule.names:
            yield f"{margin}  resourceNames: {_listed(rule.names)}"
        yield f"{margin}  verbs: {_listed(rule.verbs)}"


def scalar(text: str) -> str:
    """``text`` in YAML, in quotes unless every reader takes it for text without them."""
    return text if PLAIN.match(text) and text not in READ_AS_ANOTHER_TYPE else json.dumps(text)


def _binding(role: str, namespace: str | None, account: Account) -> str:
    kind = "ClusterRoleBinding" if namespace is None else "RoleBinding"
    lines = [f"apiVersion: {GROUP}/v1", f"kind: {kind}", "metadata:", f"  name: {role}"]
    lines += [] if namespace is None else [f"  namespace: {scalar(namespace)}"]
    subject = f"kind: ServiceAccount, name: {scalar(account.name)}, namespace: {scalar(account.namespace)}"
    lines += [f"roleRef: {{apiGroup: {GROUP}, kind: ClusterRole, name: {role}}}", f"subjects: [{{{subject}}}]"]
    return "\n".join(lines) + "\n"


def _listed(words: Iterable[str]) -> str:
    return f"[{', '.join(map(scalar, words))}]"


def _comment(text: str, indent: int) -> list[str]:
    margin = " " * indent + "# "
    return textwrap.wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin)
