"""Sets of IP addresses as ranges of integers.

A rule's peers mix pods' addresses with blocks and their exceptions; as ranges all of that is plain union and
difference, and what is left is just what an interval set of nftables takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.snapshot import Family

Span: TypeAlias = tuple[int, int]
"""First and last integer of a range, both included."""


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same integers as sorted spans that neither overlap nor touch."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def difference(spans: Iterable[Span], removed: Iterable[Span]) -> tuple[Span, ...]:
    """The integers of ``spans`` that are in none of ``removed``."""
    left = list(union(spans))
    for hole_first, hole_last in removed:
        pieces: list[Span] = []
        for first, last in left:
            if hole_last < first or last < hole_first:
                pieces.append((first, last))
                continue
            if first < hole_first:
                pieces.append((first, hole_first - 1))
            if hole_last < last:
                pieces.append((hole_last + 1, last))
        left = pieces
    return tuple(left)


@dataclass(frozen=True, slots=True)
class AddressSet:
    """Addresses of both families, each as spans in the form that ``union`` gives."""

    ipv4: tuple[Span, ...] = ()
    ipv6: tuple[Span, ...] = ()

    @classmethod
    def of(cls, items: Iterable[IPAddress | IPNetwork]) -> AddressSet:
        """Every address among ``items``, and every address of every network among them."""
        spans: dict[int, list[Span]] = {4: [], 6: []}
        for item in items:
            if isinstance(item, IPv4Address | IPv6Address):
                spans[item.version].append((int(item), int(item)))
            else:
                spans[item.version].append((int(item.network_address), int(item.broadcast_address)))
        return cls(union(spans[4]), union(spans[6]))

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet(union(self.ipv4 + other.ipv4), union(self.ipv6 + other.ipv6))

    def __sub__(self, other: AddressSet) -> AddressSet:
        return AddressSet(difference(self.ipv4, other.ipv4), difference(self.ipv6, other.ipv6))

    def __contains__(self, address: IPAddress) -> bool:
        return any(first <= int(address) <= last for first, last in self.spans(Family(address.version)))

    def spans(self, family: Family) -> tuple[Span, ...]:
        """The spans of one family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def texts(self, family: Family) -> tuple[str, ...]:
        """Elements for an interval set of nftables, such as ``10.0.0.1`` and ``10.0.0.4-10.0.0.9``."""
        kind = IPv4Address if family is Family.IPV4 else IPv6Address
        return tuple(
            str(kind(first)) if first == last else f"{kind(first)}-{kind(last)}" for first, last in self.spans(family)
        )
