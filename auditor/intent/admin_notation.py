"""Policies of administrators, and rules of them, as the YAML to write; the words are those of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import indent

from auditor.model.admin_policy import CURRENT, EVERY_LABEL, NAMED_DEFAULT, Action, AdminPeer, AdminPolicy, AdminRule
from auditor.model.labels import LabelSelector
from auditor.model.notation import SIDES, scalar, selector_yaml
from auditor.model.policy import Direction, PolicyPort
from auditor.model.ports import FIRST_PORT, LAST_PORT

VERSIONS = {CURRENT: "v1beta1", "AdminNetworkPolicy": "v1alpha1", NAMED_DEFAULT: "v1alpha1"}


def admin_rule_yaml(rule: AdminRule, kind: str, direction: Direction) -> str:
    """``rule`` as an item of ``ingress`` or ``egress`` in a policy of ``kind``."""
    elder = kind != CURRENT
    action = "Allow" if elder and rule.action is Action.ACCEPT else str(rule.action)
    lines = [f"name: {scalar(rule.name)}"] if rule.name else []
    lines += [f"action: {action}", f"{SIDES[direction]}:", *map(_peer, rule.peers)]
    if rule.ports:
        lines += ["ports:" if elder else "protocols:", *_ports(rule.ports, elder=elder)]
    return "- " + indent("\n".join(lines), "  ").lstrip()


def admin_policy_yaml(policy: AdminPolicy) -> str:
    """A whole policy, of a kind that says its priority, as a manifest."""
    lines = [
        f"apiVersion: policy.networking.k8s.io/{VERSIONS[policy.kind]}",
        f"kind: {policy.kind}",
        f"metadata: {{name: {scalar(policy.name)}}}",
        "spec:",
        *([f"  tier: {policy.tier}"] if policy.kind == CURRENT else []),
        f"  priority: {policy.priority}",
        f"  subject: {{{_pods(policy.namespace_selector, policy.pod_selector)}}}",
    ]
    for direction in Direction:
        if rules := policy.rules(direction):
            lines.append(f"  {direction.lower()}:")
            lines += [indent(admin_rule_yaml(rule, policy.kind, direction), "  ") for rule in rules]
    return "\n".join(lines)


def _peer(peer: AdminPeer) -> str:
    if peer.networks:
        return "- networks: [" + ", ".join(f'"{network}"' for network in peer.networks) + "]"
    return f"- {_pods(peer.namespace_selector or EVERY_LABEL, peer.pod_selector or EVERY_LABEL)}"


def _pods(namespaces: LabelSelector, pods: LabelSelector) -> str:
    if pods == EVERY_LABEL:
        return f"namespaces: {selector_yaml(namespaces)}"
    return f"pods: {{namespaceSelector: {selector_yaml(namespaces)}, podSelector: {selector_yaml(pods)}}}"


def _ports(ports: Iterable[PolicyPort], *, elder: bool) -> Iterator[str]:
    names = dict.fromkeys(port.name for port in ports if port.name is not None)
    yield from (f"- {'namedPort' if elder else 'destinationNamedPort'}: {scalar(name)}" for name in names)
    for port in ports:
        if port.name is None:
            first, last = port.bounds if port.number is not None else (FIRST_PORT, LAST_PORT)
            yield _elder(port, first, last) if elder else _current(port, first, last)


def _elder(port: PolicyPort, first: int, last: int) -> str:
    if first == last:
        return f"- portNumber: {{protocol: {port.protocol}, port: {first}}}"
    return f"- portRange: {{protocol: {port.protocol}, start: {first}, end: {last}}}"


def _current(port: PolicyPort, first: int, last: int) -> str:
    number = f"number: {first}" if first == last else f"range: {{start: {first}, end: {last}}}"
    return f"- {port.protocol.lower()}: {{destinationPort: {{{number}}}}}"
