"""A NetworkPolicy as a manifest: what ``auditor.parsing`` reads, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditor.model.labels import Labels, LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule


def policy_manifest(policy: NetworkPolicy, labels: Labels) -> dict[str, Any]:
    """The manifest of ``policy`` with ``labels`` of its own. An empty list is left out where Kubernetes
    takes it for "every".
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace, "labels": dict(labels)},
        "spec": {
            "podSelector": _selector(policy.pod_selector),
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
        **({} if peer.pod_selector is None else {"podSelector": _selector(peer.pod_selector)}),
        **({} if peer.namespace_selector is None else {"namespaceSelector": _selector(peer.namespace_selector)}),
    }


def _port(port: PolicyPort) -> dict[str, Any]:
    number: int | str | None = port.name or port.number
    return {
        "protocol": str(port.protocol),
        **({} if number is None else {"port": number}),
        **({} if port.end_port is None else {"endPort": port.end_port}),
    }


def _selector(selector: LabelSelector) -> dict[str, Any]:
    expressions: Sequence[dict[str, Any]] = [
        {"key": each.key, "operator": str(each.operator), **({"values": list(each.values)} if each.values else {})}
        for each in selector.match_expressions
    ]
    return {
        **({"matchLabels": dict(selector.match_labels)} if selector.match_labels else {}),
        **({"matchExpressions": expressions} if expressions else {}),
    }
