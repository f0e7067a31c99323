"""The ways in which one direction of a policy could be ignored or misread, each as the policy that an enforcer takes it
for.

They are those of the dialects, and for each part of the policy as it is written, that this one part is overlooked.
What comes to the same as another, or as the policy itself, is left out: what is listed differs in what it says, though
it may come to the same for the pods of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from auditor.diagnosis.dialects import SPECS
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule

Item = TypeVar("Item")

MOST_ITEMS = 100
"""So many of the rules of a policy, and of the peers and ports of a rule, are looked at one by one."""
NOBODY = LabelSelector()


@dataclass(frozen=True, slots=True)
class Reading:
    """One direction of a policy as somebody reads it: whether it isolates the pods that ``selector`` matches, and its
    rules. All that do not isolate are equal.
    """

    isolates: bool
    selector: LabelSelector
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, policy: NetworkPolicy | None, direction: Direction) -> Reading:
        """``policy`` as it is written; None: nobody takes notice of it."""
        if policy is None or direction not in policy.directions:
            return cls(False, NOBODY, ())
        return cls(True, policy.pod_selector, policy.rules(direction))


@dataclass(frozen=True, slots=True)
class Misreading:
    """``what`` is wrong, in words, with the ``reading`` of a policy."""

    what: str
    reading: Reading


def misreadings(policy: NetworkPolicy, direction: Direction) -> Iterator[Misreading]:
    """Those of ``policy`` in ``direction``, in which it need not isolate."""
    ways = (*_by_dialects(policy), *_by_parts(policy, direction))
    readings = ((what, Reading.of(changed, direction)) for what, changed in ways)
    for what, reading in told_apart(Reading.of(policy, direction), readings):
        yield Misreading(what, reading)


def told_apart(written: Item, readings: Iterable[tuple[str, Item]]) -> Iterator[tuple[str, Item]]:
    """Those of ``readings``, each after what is wrong with it, that are not as it is ``written``: each once."""
    seen = {written}
    for what, reading in readings:
        if reading not in seen:
            seen.add(reading)
            yield what, reading


def _by_dialects(policy: NetworkPolicy) -> Iterator[tuple[str, NetworkPolicy | None]]:
    for spec in SPECS.values():
        if spec.rewrite is not None and spec.timing is None:
            yield spec.phrase, spec.rewrite(policy)


def _by_parts(policy: NetworkPolicy, direction: Direction) -> Iterator[tuple[str, NetworkPolicy]]:
    if direction not in policy.directions:
        return
    for what, selector in looser(policy.pod_selector, "podSelector"):
        yield what, replace(policy, pod_selector=selector)
    rules = policy.rules(direction)
    for number, rule in enumerate(rules[:MOST_ITEMS]):
        for what, changed in _rules_read_otherwise(rule, direction, f"{direction.lower()}[{number}]"):
            new = (*rules[:number], *changed, *rules[number + 1 :])
            yield what, policy.with_rules(direction, new)


def _rules_read_otherwise(rule: Rule, direction: Direction, where: str) -> Iterator[tuple[str, tuple[Rule, ...]]]:
    """What is wrong, and the rules that ``rule``, which stands at ``where``, is taken for."""
    peers, ports = f"{where}.{'from' if direction is Direction.INGRESS else 'to'}", f"{where}.ports"
    yield f"{where} is overlooked", ()
    if rule.peers:
        yield f"{peers} is overlooked", (replace(rule, peers=()),)
    if rule.ports:
        yield f"{ports} is overlooked", (replace(rule, ports=()),)
    for what, several in items_read_otherwise(rule.peers, _other_peers, peers):
        yield what, (replace(rule, peers=several),)
    for what, some in items_read_otherwise(rule.ports, other_ports, ports):
        yield what, (replace(rule, ports=some),)


def items_read_otherwise(
    items: tuple[Item, ...], others: Callable[[Item, str], Iterator[tuple[str, Item]]], where: str
) -> Iterator[tuple[str, tuple[Item, ...]]]:
    """For each of ``items`` the list without it, unless that were empty, and with each of ``others`` in its place."""
    for number, item in enumerate(items[:MOST_ITEMS]):
        before, after = items[:number], items[number + 1 :]
        if len(items) > 1:
            yield f"{where}[{number}] ({item}) is overlooked", (*before, *after)
        for what, other in others(item, f"{where}[{number}]"):
            yield what, (*before, other, *after)


def _other_peers(peer: Peer, where: str) -> Iterator[tuple[str, Peer]]:
    if peer.ip_block is not None:
        for number, network in enumerate(peer.ip_block.excepts[:MOST_ITEMS]):
            block = replace(peer.ip_block, excepts=without(peer.ip_block.excepts, number))
            yield f"{where}: except {network} is overlooked", replace(peer, ip_block=block)
        return
    if peer.pod_selector is not None:
        for what, selector in looser(peer.pod_selector, f"{where}.podSelector"):
            yield what, replace(peer, pod_selector=selector)
    if peer.namespace_selector is not None:
        for what, selector in looser(peer.namespace_selector, f"{where}.namespaceSelector"):
            yield what, replace(peer, namespace_selector=selector)


def other_ports(port: PolicyPort, where: str) -> Iterator[tuple[str, PolicyPort]]:
    """What is wrong, and what ``port``, which stands at ``where``, is taken for."""
    if port.end_port is not None:
        yield f"{where}: endPort {port.end_port} is overlooked", replace(port, end_port=None)


def looser(selector: LabelSelector, where: str) -> Iterator[tuple[str, LabelSelector]]:
    """What is wrong, and ``selector``, which stands at ``where``, without each of its conditions."""
    labels, expressions = selector.match_labels, selector.match_expressions
    for number, (key, value) in islice(enumerate(labels), MOST_ITEMS):
        yield f"{where}: {key}={value} is overlooked", LabelSelector(without(labels, number), expressions)
    for number, requirement in islice(enumerate(expressions), MOST_ITEMS):
        yield f"{where}: {requirement} is overlooked", LabelSelector(labels, without(expressions, number))


def without(items: Sequence[Item], number: int) -> tuple[Item, ...]:
    """All but the one with this ``number``."""
    return (*items[:number], *items[number + 1 :])
