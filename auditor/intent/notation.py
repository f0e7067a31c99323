"""Rules of policies, and whole policies, as the YAML to write; and endpoints as the selectors that mean them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from textwrap import indent

from auditor.model.errors import UsageError
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.notation import SIDES, peer_yaml, scalar, selector_yaml
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.selection import BY_LABELS, NAMESPACE_PREFIX, parse_selector, select
from auditor.probe_pods.labels import TOOL_KEYS, TOOL_PREFIXES

JOB_NAMES = ("batch.kubernetes.io/job-name", "job-name")
EVERY_POD = LabelSelector()


def rule_yaml(rule: Rule, direction: Direction) -> str:
    """A rule as an item of ``ingress`` or ``egress``."""
    parts = []
    if rule.peers:
        parts.append(f"{SIDES[direction]}:\n" + "\n".join(map(_peer, rule.peers)))
    if rule.ports:
        parts.append("ports:\n" + "\n".join(map(_port, rule.ports)))
    return "- " + indent("\n".join(parts), "  ").lstrip() if parts else "- {}"


def _peer(peer: Peer) -> str:
    if peer.ip_block is None:
        return peer_yaml(peer)
    excepts = f", except: [{', '.join(map(str, peer.ip_block.excepts))}]" if peer.ip_block.excepts else ""
    return f"- ipBlock: {{cidr: {_quoted(str(peer.ip_block.cidr))}{excepts}}}"


def _quoted(cidr: str) -> str:
    return f'"{cidr}"' if ":" in cidr else cidr


def _port(port: PolicyPort) -> str:
    number = scalar(port.name) if port.name is not None else port.number
    fields = [f"protocol: {port.protocol}", *([f"port: {number}"] if number is not None else [])]
    fields += [f"endPort: {port.end_port}"] if port.end_port is not None else []
    return f"- {{{', '.join(fields)}}}"


def policy_yaml(policy: NetworkPolicy) -> str:
    """A whole policy as a manifest."""
    directions = sorted(policy.directions, reverse=True)
    lines = [
        "apiVersion: networking.k8s.io/v1",
        "kind: NetworkPolicy",
        f"metadata: {{name: {scalar(policy.name)}, namespace: {scalar(policy.namespace)}}}",
        "spec:",
        f"  podSelector: {selector_yaml(policy.pod_selector)}",
        f"  {policy_types(policy)}",
    ]
    for direction in directions:
        if rules := policy.rules(direction):
            lines.append(f"  {direction.lower()}:")
            lines += [indent(rule_yaml(rule, direction), "  ") for rule in rules]
    return "\n".join(lines)


def policy_types(policy: NetworkPolicy) -> str:
    """The line of a policy's directions."""
    return f"policyTypes: [{', '.join(sorted(policy.directions, reverse=True))}]"


def namespace_called(name: str) -> LabelSelector:
    """The namespaceSelector that means one namespace."""
    return LabelSelector(((NAMESPACE_NAME_LABEL, name),))


def peers_for(texts: Sequence[str], snapshot: Snapshot, namespace: str) -> tuple[Peer, ...] | None:
    """The peers, in a policy of ``namespace``, that mean what the selections ``texts`` do; None where no peer can.

    None of ``texts`` means every peer: ``()``. Whether they mean more than that is for the one who uses them to find
    out.
    """
    peers: list[Peer] = []
    for text in texts:
        found = _peers_of(text, snapshot, namespace)
        if not found:
            return None
        peers += found
    return tuple(dict.fromkeys(peers))


def _peers_of(text: str, snapshot: Snapshot, namespace: str) -> list[Peer]:
    if (split := split_labels(text)) is not None:
        own, selector = split
        if own == namespace:
            return [Peer(selector)]
        return [Peer(selector, namespace_called(own) if own else EVERY_POD)]
    if text in snapshot.namespaces:
        return [Peer(EVERY_POD) if text == namespace else Peer(None, namespace_called(text))]
    return [
        peer
        for endpoint in select(snapshot.endpoints, text, snapshot.services)
        for peer in _exactly(endpoint, namespace)
    ]


def _exactly(endpoint: Endpoint, namespace: str) -> list[Peer]:
    if not endpoint.selectable:
        return [Peer(ip_block=IPBlock(ip_network(address))) for address in endpoint.addresses]
    selector = common_labels([endpoint])
    return [Peer(selector, None if endpoint.namespace == namespace else namespace_called(endpoint.namespace))]


def split_labels(text: str) -> tuple[str, LabelSelector] | None:
    """A selection by labels as its namespace, empty for any, and its selector; None for another kind of selection."""
    if not BY_LABELS.search(text):
        return None
    found = NAMESPACE_PREFIX.match(text)
    try:
        selector = parse_selector(found[2] if found else text)
    except UsageError:
        return None
    return (found[1] if found else "", _plain(selector))


def _plain(selector: LabelSelector) -> LabelSelector:
    """``selector`` with matchLabels where they say the same."""
    labels: dict[str, str] = dict(selector.match_labels)
    left: list[Requirement] = []
    for each in selector.match_expressions:
        if each.operator is Operator.IN and len(each.values) == 1 and each.key not in labels:
            labels[each.key] = each.values[0]
        else:
            left.append(each)
    return LabelSelector(tuple(sorted(labels.items())), tuple(left))


def common_labels(endpoints: Iterable[Endpoint]) -> LabelSelector:
    """The labels that all of ``endpoints`` have and are likely to keep; ``{}`` when there is none.

    Those that controllers and packaging tools make up change with the next pod or release. The name of a job, too, if
    there is another.
    """
    first, *others = endpoints
    shared = [
        (key, value)
        for key, value in sorted(first.labels.items())
        if all(other.labels.get(key) == value for other in others)
    ]
    kept = [pair for pair in shared if pair[0] not in TOOL_KEYS and not pair[0].startswith(TOOL_PREFIXES)]
    return LabelSelector(tuple(kept or [pair for pair in shared if pair[0] in JOB_NAMES]))


def object_name(words: str) -> str:
    """``words`` as the name of an object (RFC 1123), 50 characters at most."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:50].strip("-") or "intent"
