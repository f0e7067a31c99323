"""Addresses and networks of either family."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

EVERYTHING: Mapping[int, IPNetwork] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""All addresses of a family, by its version."""


def unmapped(address: IPAddress) -> IPAddress:
    """``address``, as IPv4 where it is an IPv4 address inside IPv6."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
