"""Policies of administrators as manifests, in the words of the kind and the version that the API server has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.cluster.kubernetes.admin_policies import ServedKind
from auditor.cluster.kubernetes.policies import selector_manifest
from auditor.model.admin_policy import CURRENT, NAMED_DEFAULT, Action, AdminPeer, AdminPolicy, AdminRule
from auditor.model.labels import Labels
from auditor.model.policy import PolicyPort
from auditor.parsing.admin_policy import GROUP


def admin_policy_manifest(
    policy: AdminPolicy, served: ServedKind, labels: Labels, owners: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The manifest of ``policy``, which is of the kind ``served``, with ``labels`` and ``owners`` of its own.

    Its peers are known by labels of pods.
    """
    is_new = served.kind == CURRENT
    spec = {
        **({"tier": str(policy.tier)} if is_new else {}),
        **({} if served.kind == NAMED_DEFAULT else {"priority": policy.priority}),
        "subject": _pods(AdminPeer(policy.namespace_selector, policy.pod_selector)),
        **({"ingress": [_rule(rule, "from", is_new=is_new) for rule in policy.ingress]} if policy.ingress else {}),
        **({"egress": [_rule(rule, "to", is_new=is_new) for rule in policy.egress]} if policy.egress else {}),
    }
    metadata = {"name": policy.name, "labels": dict(labels), **({"ownerReferences": list(owners)} if owners else {})}
    return {"apiVersion": f"{GROUP}/{served.version}", "kind": served.kind, "metadata": metadata, "spec": spec}


def _rule(rule: AdminRule, peers: str, *, is_new: bool) -> dict[str, Any]:
    """One item of ``ingress`` or ``egress``. A name of a port is written once for all protocols."""
    action = "Allow" if rule.action is Action.ACCEPT and not is_new else str(rule.action)
    ports = list(_new_ports(rule.ports) if is_new else _old_ports(rule.ports))
    return {
        **({"name": rule.name} if rule.name else {}),
        "action": action,
        peers: list(map(_pods, rule.peers)),
        **({"protocols" if is_new else "ports": ports} if ports else {}),
    }


def _pods(peer: AdminPeer) -> dict[str, Any]:
    assert peer.namespace_selector is not None  # noqa: S101 - no other peer is ever written
    assert peer.pod_selector is not None  # noqa: S101
    namespaces = selector_manifest(peer.namespace_selector)
    if peer.pod_selector.is_empty:
        return {"namespaces": namespaces}
    return {"pods": {"namespaceSelector": namespaces, "podSelector": selector_manifest(peer.pod_selector)}}


def _names(ports: Sequence[PolicyPort]) -> list[str]:
    return list(dict.fromkeys(port.name for port in ports if port.name is not None))


def _new_ports(ports: Sequence[PolicyPort]) -> Iterator[dict[str, Any]]:
    for port in ports:
        if port.name is None:
            first, last = port.bounds
            meant = {"number": first} if first == last else {"range": {"start": first, "end": last}}
            yield {port.protocol.lower(): {"destinationPort": meant}}
    yield from ({"destinationNamedPort": name} for name in _names(ports))


def _old_ports(ports: Sequence[PolicyPort]) -> Iterator[dict[str, Any]]:
    for port in ports:
        if port.name is None:
            first, last = port.bounds
            protocol = str(port.protocol)
            if first == last:
                yield {"portNumber": {"protocol": protocol, "port": first}}
            else:
                yield {"portRange": {"protocol": protocol, "start": first, "end": last}}
    yield from ({"namedPort": name} for name in _names(ports))
