"""Changes that might close what is open and was meant denied, the smallest first. Whether they do is found out by
evaluating them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditor.intent.causes import PeerPlace
from auditor.intent.drafts import Draft, demanded_rules, new_policies, rewritten, with_all_rules
from auditor.intent.resolved_intent import ResolvedIntent
from auditor.intent.violations import Violation
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRange
from auditor.model.snapshot import Endpoint
from auditor.policy.plain_reading import Grant


def narrowing(resolved: ResolvedIntent, grant: Grant, violation: Sequence[Violation]) -> Iterator[Draft]:
    """Ways to keep the rule of ``grant`` from opening ``wrong``."""
    policy, direction, number = grant.policy, grant.direction, grant.rule
    rule = policy.rules(direction)[number]
    meant = demanded_rules(resolved, direction, _pods(violation, direction), policy.namespace)
    if grant.peer is not None:
        yield from _merged(policy, direction, number, grant.peer)
    yield from _shortened(grant)
    ports = _ports_of(meant)
    if ports and ports != rule.ports:
        yield rewritten(policy, direction, number, replace(rule, ports=ports), "open only the ports that are meant")
    peers = tuple(dict.fromkeys(peer for each in meant for peer in each.peers))
    if meant and all(each.peers for each in meant):
        yield from _narrowed(policy, direction, number, grant.peer, peers)
        if ports:
            yield rewritten(
                policy, direction, number, Rule(peers, ports), "open only the peers and ports that are meant"
            )
    if len(meant) > 1:
        yield rewritten(policy, direction, number, meant, "one rule for each that is meant")


def _merged(policy: NetworkPolicy, direction: Direction, number: int, peer: Peer) -> Iterator[Draft]:
    """The rule with ``peer`` and another as one, where one selects pods and the other namespaces: the pitfall of the
    extra dash.
    """
    rule = policy.rules(direction)[number]
    for other in rule.peers:
        pods, namespaces = (peer, other) if peer.namespace_selector is None else (other, peer)
        if peer.ip_block or other.ip_block or pods.namespace_selector or namespaces.pod_selector or pods is namespaces:
            continue
        if pods.pod_selector is None or namespaces.namespace_selector is None:
            continue
        joint = Peer(pods.pod_selector, namespaces.namespace_selector, line=min(pods.line, namespaces.line))
        peers = tuple(joint if each is pods else each for each in rule.peers if each is not namespaces)
        words = f"merge its two peers {_with_line(pods)} and {_with_line(namespaces)} into one (one dash)"
        yield rewritten(policy, direction, number, replace(rule, peers=peers), words)


def _shortened(grant: Grant) -> Iterator[Draft]:
    """The rule without the peer, without the port, and not at all."""
    policy, direction, number = grant.policy, grant.direction, grant.rule
    rule = policy.rules(direction)[number]
    if grant.peer is not None and len(rule.peers) > 1:
        kept = tuple(peer for peer in rule.peers if peer is not grant.peer)
        yield rewritten(
            policy, direction, number, replace(rule, peers=kept), f"without the peer {_with_line(grant.peer)}"
        )
    if grant.port is not None and len(rule.ports) > 1:
        left = tuple(port for port in rule.ports if port is not grant.port)
        yield rewritten(policy, direction, number, replace(rule, ports=left), f"without the port {grant.port}")
    yield rewritten(policy, direction, number, None, "")


def _with_line(peer: Peer) -> str:
    return f"{peer} (line {peer.line})" if peer.line else str(peer)


def _narrowed(
    policy: NetworkPolicy, direction: Direction, number: int, peer: Peer | None, meant: tuple[Peer, ...]
) -> Iterator[Draft]:
    rule = policy.rules(direction)[number]
    kept = tuple(each for each in rule.peers if each is not peer)
    peers = tuple(dict.fromkeys((*kept, *meant)))
    if peers != rule.peers:
        words = f"instead of {peer or 'every peer'} only those that are meant"
        yield rewritten(policy, direction, number, replace(rule, peers=peers), words)


def _ports_of(rules: Sequence[Rule]) -> tuple[PolicyPort, ...]:
    """The ports of all ``rules``; none where one has every port, or there is no rule."""
    return (
        tuple(dict.fromkeys(port for rule in rules for port in rule.ports)) if all(rule.ports for rule in rules) else ()
    )


def removing(
    resolved: ResolvedIntent, direction: Direction, places: Sequence[PeerPlace], violation: Sequence[Violation]
) -> Iterator[Draft]:
    """All of ``places`` removed at once, where several open the same cells; then with what is meant in their place."""
    by_policy: dict[NetworkPolicy, dict[int, set[int | None]]] = {}
    for policy, number, peer in places:
        by_policy.setdefault(policy, {}).setdefault(number, set()).add(peer)
    for replaced in (False, True):
        drafts = []
        for policy, gone in by_policy.items():
            kept = tuple(_without(rule, gone.get(number, set())) for number, rule in enumerate(policy.rules(direction)))
            meant = (
                demanded_rules(resolved, direction, _pods(violation, direction), policy.namespace) if replaced else ()
            )
            drafts.append(with_all_rules(policy, direction, (*(rule for rule in kept if rule is not None), *meant)))
        if drafts:
            title = "; ".join(draft.title for draft in drafts)
            yield Draft(
                title,
                "\n---\n".join(draft.yaml for draft in drafts),
                tuple(edit for draft in drafts for edit in draft.edits),
            )


def _without(rule: Rule, gone: set[int | None]) -> Rule | None:
    if None in gone or len(gone) == len(rule.peers) > 0:
        return None
    return replace(rule, peers=tuple(peer for number, peer in enumerate(rule.peers) if number not in gone))


def isolating(
    resolved: ResolvedIntent, direction: Direction, namespace: str, violation: Sequence[Violation], name: str
) -> Iterator[Draft]:
    """New policies that isolate the pods of ``wrong`` and allow what is meant: those pods alone, then the whole
    namespace.

    Then the same with every port open but those of ``wrong``, which leaves what goes over the others as it is.
    """
    pods = [pod for pod in _pods(violation, direction) if pod.namespace == namespace]
    yield from new_policies(resolved, direction, pods, name)
    if others := _other_ports(resolved, violation):
        meant = demanded_rules(resolved, direction, pods, namespace)
        yield from new_policies(resolved, direction, pods, name, given=(Rule((), others), *meant))


def _other_ports(resolved: ResolvedIntent, violation: Sequence[Violation]) -> tuple[PolicyPort, ...]:
    """All ports but those of ``wrong``."""
    atoms = resolved.atoms.everything
    for each in violation:
        for mask in each.atoms.values():
            atoms &= ~mask
    return tuple(_policy_port(ports) for ports in resolved.ranges(atoms))


def _policy_port(ports: PortRange) -> PolicyPort:
    if (ports.first, ports.last) == (FIRST_PORT, LAST_PORT):
        return PolicyPort(ports.protocol)
    return PolicyPort(ports.protocol, ports.first, ports.last if ports.last > ports.first else None)


def _pods(violation: Sequence[Violation], direction: Direction) -> list[Endpoint]:
    """The members at the end at which ``direction`` filters."""
    cohorts = {
        cohort.number: cohort
        for each in violation
        for cohort in [each.destination if direction is Direction.INGRESS else each.source]
    }
    return [member for cohort in cohorts.values() for member in cohort.members]
