"""NetworkPolicies of a live cluster, read as strictly as those of files, and written as manifests.

One that can't be read stops nothing. The input can't be edited here, so such a policy is handed on with its problems,
and with the pods that it selects as far as that is known: what these may do is then uncertain, and only that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.model.errors import Problem
from auditor.model.labels import Labels, LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule, UnknownPolicy
from auditor.parsing.documents import Document
from auditor.parsing.fields import Fields
from auditor.parsing.network_policy import API_VERSION, read_policy
from auditor.parsing.unreadable import selected_by

UNSAVED = ("managedFields", "annotations")


@dataclass(frozen=True, slots=True)
class UnreadablePolicy:
    """A policy with ``problems``. ``pod_selector`` None: not even the pods that it selects are known, so all of
    its namespace. ``tier`` and ``namespace_selector`` as in ``UnknownPolicy``.
    """

    namespace: str
    name: str
    problems: tuple[Problem, ...]
    pod_selector: LabelSelector | None
    tier: str = "NetworkPolicy"
    namespace_selector: LabelSelector | None = None

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def read_live_policy(item: Mapping[str, Any]) -> NetworkPolicy | UnreadablePolicy:
    """The policy that ``item`` of a list is; items of lists have no kind and apiVersion."""
    metadata = item.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    namespace, name = str(known.get("namespace", "")), str(known.get("name", ""))
    problems: list[Problem] = []
    value = {"apiVersion": API_VERSION, "kind": "NetworkPolicy", **item}
    document = Document(f"NetworkPolicy {namespace}/{name}", value, lambda _: 0)
    fields = Fields(document, problems, (), value)
    policy = read_policy(fields, namespace, name)
    if not problems:
        return policy
    return UnreadablePolicy(namespace, name, tuple(problems), selected_by(fields))


def unknown_policy(policy: UnreadablePolicy) -> UnknownPolicy:
    """``policy`` as a snapshot has it: with its first problem in words."""
    first = policy.problems[0]
    more = f" (and {len(policy.problems) - 1} more)" if len(policy.problems) > 1 else ""
    where = f"{first.path}: " if first.path else ""
    return UnknownPolicy(
        policy.namespace,
        policy.name,
        policy.pod_selector,
        f"can't be read: {where}{first.message}{more}",
        policy.tier,
        policy.namespace_selector,
    )


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


def policy_manifest(policy: NetworkPolicy, labels: Labels) -> dict[str, Any]:
    """The manifest of ``policy`` with ``labels`` of its own. An empty list is left out where Kubernetes
    takes it for "every".
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace, "labels": dict(labels)},
        "spec": {
            "podSelector": selector_manifest(policy.pod_selector),
            "policyTypes": [str(direction) for direction in Direction if direction in policy.directions],
            **({"ingress": [_rule(rule, "from") for rule in policy.ingress]} if policy.ingress else {}),
            **({"egress": [_rule(rule, "to") for rule in policy.egress]} if policy.egress else {}),
        },
    }


def _rule(rule: Rule, peers: str) -> dict[str, Any]:
    return {
        **({peers: list(map(_peer, rule.peers))} if rule.peers else {}),
        **({"ports": list(map(_port, rule.ports))} if rule.ports else {}),
    }


def _peer(peer: Peer) -> dict[str, Any]:
    if peer.ip_block is not None:
        excepts = {"except": list(map(str, peer.ip_block.excepts))} if peer.ip_block.excepts else {}
        return {"ipBlock": {"cidr": str(peer.ip_block.cidr), **excepts}}
    return {
        **({} if peer.pod_selector is None else {"podSelector": selector_manifest(peer.pod_selector)}),
        **(
            {} if peer.namespace_selector is None else {"namespaceSelector": selector_manifest(peer.namespace_selector)}
        ),
    }


def _port(port: PolicyPort) -> dict[str, Any]:
    number: int | str | None = port.name or port.number
    return {
        "protocol": str(port.protocol),
        **({} if number is None else {"port": number}),
        **({} if port.end_port is None else {"endPort": port.end_port}),
    }


def selector_manifest(selector: LabelSelector) -> dict[str, Any]:
    """``selector`` as policies write it."""
    expressions: Sequence[dict[str, Any]] = [
        {"key": each.key, "operator": str(each.operator), **({"values": list(each.values)} if each.values else {})}
        for each in selector.match_expressions
    ]
    return {
        **({"matchLabels": dict(selector.match_labels)} if selector.match_labels else {}),
        **({"matchExpressions": expressions} if expressions else {}),
    }
