"""Changes that might close what is open and was meant denied, the smallest first. Whether they do is found out by
evaluating them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditor.intent.carving import Carver, narrowed, opposites
from auditor.intent.causes import PeerPlace
from auditor.intent.drafts import (
    Draft,
    demanded_rules,
    ends_of,
    in_two,
    new_policies,
    rewritten,
    selectors_named,
    together,
    with_all_rules,
)
from auditor.intent.notation import EVERY_POD
from auditor.intent.resolved_intent import ResolvedIntent
from auditor.intent.violations import Violation
from auditor.model.intent import IntentRule
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRange
from auditor.model.reasons import Grant
from auditor.model.snapshot import Endpoint


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
            yield together(drafts)


def _without(rule: Rule, gone: set[int | None]) -> Rule | None:
    if None in gone or len(gone) == len(rule.peers) > 0:
        return None
    return replace(rule, peers=tuple(peer for number, peer in enumerate(rule.peers) if number not in gone))


def carving(
    resolved: ResolvedIntent,
    direction: Direction,
    places: Sequence[PeerPlace],
    violation: Sequence[Violation],
    rule: IntentRule,
) -> Iterator[Draft]:
    """Every policy rule that opens any of ``violation`` without those whom ``rule`` means denied: on all of its ports,
    then on those of the violation alone.
    """
    texts = ends_of(rule, direction)[1]
    if not texts:
        return
    carver = Carver(resolved.snapshot, texts)
    by_policy: dict[NetworkPolicy, set[int]] = {}
    for policy, number, _ in places:
        by_policy.setdefault(policy, set()).add(number)
    for all_ports in (True, False):
        drafts = []
        for policy, numbers in by_policy.items():
            rules: list[Rule] = []
            for number, each in enumerate(policy.rules(direction)):
                carved = carver.carved(each, policy.namespace) if number in numbers else each
                if number in numbers and not all_ports and (others := _other_ports(resolved, violation, each)):
                    rules.append(replace(each, ports=others))
                rules += [carved] if carved is not None else []
            if tuple(rules) != policy.rules(direction):
                drafts.append(with_all_rules(policy, direction, tuple(rules)))
        if drafts:
            yield together(drafts)


def parting(
    resolved: ResolvedIntent,
    direction: Direction,
    places: Sequence[PeerPlace],
    violation: Sequence[Violation],
    rule: IntentRule,
) -> Iterator[Draft]:
    """Every policy that opens any of ``violation`` in two: for other pods as it is, and for those that ``rule`` names
    without what it means denied.
    """
    own, texts = ends_of(rule, direction)
    gone: dict[NetworkPolicy, set[int]] = {}
    for policy, number, _ in places:
        gone.setdefault(policy, set()).add(number)
    carver = Carver(resolved.snapshot, texts) if texts else None
    parted: list[Draft] = []
    for policy, numbers in gone.items():
        pods = [pod for pod in _pods(violation, direction) if pod.namespace == policy.namespace]
        selectors = selectors_named(resolved, own, pods) if pods else ()
        buts = [opposites(selector) for selector in selectors]
        if not pods or EVERY_POD in selectors or any(len(each) != 1 for each in buts):
            return
        rules = [
            each if number not in numbers else carver.carved(each, policy.namespace) if carver else None
            for number, each in enumerate(policy.rules(direction))
        ]
        meant = demanded_rules(resolved, direction, pods, policy.namespace)
        kept = tuple(dict.fromkeys((*(each for each in rules if each is not None), *meant)))
        others = policy.pod_selector
        for (but,) in buts:
            others = narrowed(others, but)
        parted.append(in_two(resolved, policy, direction, others=others, selectors=selectors, rules=kept))
    if parted:
        yield together(parted)


def isolating(
    resolved: ResolvedIntent, direction: Direction, namespace: str, violation: Sequence[Violation], rule: IntentRule
) -> Iterator[Draft]:
    """New policies that isolate the pods of ``violation``, as ``rule`` calls them, and allow what is meant.

    Or everybody but those whom the rule means denied, and what is meant; or every port but those of the violation.
    """
    pods = [pod for pod in _pods(violation, direction) if pod.namespace == namespace]
    yield from new_policies(resolved, direction, pods, rule)
    meant = demanded_rules(resolved, direction, pods, namespace)
    others = _other_ports(resolved, violation, Rule())
    open_ports = (Rule((), others),) if others else ()
    if texts := ends_of(rule, direction)[1]:
        carver = Carver(resolved.snapshot, texts)
        carved = carver.carved(Rule(), namespace)
        left = (carved,) if carved is not None else ()
        for given in dict.fromkeys((left, left + meant, open_ports + left, open_ports + left + meant)):
            for draft in new_policies(resolved, direction, pods, rule, given=given):
                yield replace(draft, title=f"{draft.title}{carver.assumption}")
    if open_ports:
        yield from new_policies(resolved, direction, pods, rule, given=open_ports + meant)


def _other_ports(resolved: ResolvedIntent, violation: Sequence[Violation], rule: Rule) -> tuple[PolicyPort, ...]:
    """The ports of ``rule`` but those of ``violation``."""
    atoms = resolved.ports_at(rule.ports, violation[0].destination.example)
    for each in violation:
        for mask in each.atoms.values():
            atoms &= ~mask
    return tuple(_policy_port(ports) for ports in resolved.atoms.joined(atoms))


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
