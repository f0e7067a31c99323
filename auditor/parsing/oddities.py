"""What is valid in a NetworkPolicy, and mostly not meant: lists and selectors that are written and empty, as a template
leaves them, and CIDRs that Kubernetes takes no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from auditor.model.policy import Oddity, OddityKind
from auditor.parsing.fields import Fields

SIDES = (("ingress", "from"), ("egress", "to"))
SELECTORS = ("podSelector", "namespaceSelector")


def oddities(spec: Fields) -> tuple[Oddity, ...]:
    """Those of a policy's ``spec``, in order."""
    found = [*_of_selector(spec, "podSelector")]
    for section, side in SIDES:
        for number, rule in enumerate(_items(spec.value.get(section))):
            if rule is None:
                found.append(_oddity(spec, (section, number), OddityKind.NULL_RULE, ""))
            elif isinstance(rule, dict):
                found += _of_rule(Fields(spec.document, [], (*spec.path, section, number), rule), side)
    return tuple(found)


def _of_rule(rule: Fields, side: str) -> Iterator[Oddity]:
    for key in (side, "ports"):
        if key in rule.value and not rule.value[key] and rule.value[key] in (None, []):
            kind = OddityKind.NULL_LIST if rule.value[key] is None else OddityKind.EMPTY_LIST
            yield _oddity(rule, (key,), kind, key)
    for number, peer in enumerate(_items(rule.value.get(side))):
        if isinstance(peer, dict):
            yield from _of_peer(Fields(rule.document, [], (*rule.path, side, number), peer))


def _of_peer(peer: Fields) -> Iterator[Oddity]:
    for key in SELECTORS:
        yield from _of_selector(peer, key)
    block = peer.value.get("ipBlock")
    if isinstance(block, dict):
        excepts = enumerate(_items(block.get("except")))
        written = [(("ipBlock", "cidr"), block.get("cidr")), *((("ipBlock", "except", n), text) for n, text in excepts)]
        for steps, text in written:
            if _has_host_bits(text):
                yield _oddity(peer, steps, OddityKind.HOST_BITS, text)


def _of_selector(fields: Fields, key: str) -> Iterator[Oddity]:
    value = fields.value.get(key, {})
    if value is None:
        yield _oddity(fields, (key,), OddityKind.NULL_SELECTOR, key)
    elif isinstance(value, dict) and value.get("matchLabels", {}) is None:
        yield _oddity(fields, (key, "matchLabels"), OddityKind.NULL_SELECTOR, "matchLabels")


def _oddity(fields: Fields, steps: tuple[str | int, ...], kind: OddityKind, text: str) -> Oddity:
    path = (*fields.path, *steps)
    start = path.index("spec")
    named = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[start:]).lstrip(".")
    return Oddity(kind, text, named, fields.document.lines(path))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_host_bits(text: Any) -> bool:
    """Whether ``text`` is a network with bits beyond its prefix, such as 10.0.0.1/8."""
    if not isinstance(text, str):
        return False
    try:
        return ip_network(text, strict=False).network_address != ip_address(text.partition("/")[0])
    except ValueError:
        return False
