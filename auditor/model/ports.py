"""Protocols, ports and port atoms."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

FIRST_PORT = 1
LAST_PORT = 65535
EVERY_PORT = "every port"
"""All ports of all protocols, in what people read."""


class Protocol(StrEnum):
    """The transport protocols that a NetworkPolicy can name (k8s.io/api/core/v1 Protocol)."""

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


def split_protocol(text: str) -> tuple[str | None, str]:
    """The protocol of a port, None where it has none, and the rest: of ``TCP/80`` as of ``80/tcp`` and ``tcp:80``."""
    before, divider, after = text.strip().replace(":", "/", 1).rpartition("/")
    if not divider:
        return None, after
    is_behind = after.upper() in tuple(Protocol) and before.upper() not in tuple(Protocol)
    return (after, before) if is_behind else (before, after)


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """The ports ``first`` to ``last``, both included, of one protocol. A port atom is such a range that no
    rule splits.
    """

    protocol: Protocol
    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return (
            f"{self.protocol}/{self.first}" if self.first == self.last else f"{self.protocol}/{self.first}-{self.last}"
        )


def numbers_in_words(first: int, last: int) -> str:
    """The ports ``first`` to ``last`` without their protocol: ``80``, ``8000-8080``, and ``*`` for all of them."""
    if (first, last) == (FIRST_PORT, LAST_PORT):
        return "*"
    return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True, order=True)
class ContainerPort:
    """A port that a pod declares. ``name`` is empty for an unnamed one; ``host_port`` is where its node listens for it,
    0 for nowhere. That is a way to the pod and means nothing to policies.
    """

    protocol: Protocol
    number: int
    name: str = ""
    host_port: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class PortRequest:
    """A port that a person asked for: by ``number``, or by ``name``, which each destination pod resolves for itself.

    Exactly one of the two is set; ``number`` is 0 for a named request.
    """

    protocol: Protocol
    number: int = 0
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> PortRequest:
        """Read ``TCP/80``, ``TCP/http``, ``80/tcp`` as kubectl and Docker write it, or ``tcp:80``; without a protocol,
        it is TCP.

        Raises ValueError, with a text for the user, when it is none of these.
        """
        return cls._parse(text, Protocol.TCP)

    @classmethod
    def parse_list(cls, text: str) -> list[PortRequest]:
        """Read ports with commas between them. A protocol holds for what follows without one: ``UDP/53,9999`` are two
        UDP ports, as reports write them.

        Raises ValueError as ``parse`` does.
        """
        requests: list[PortRequest] = []
        for part in text.split(","):
            requests.append(cls._parse(part, requests[-1].protocol if requests else Protocol.TCP))
        return requests

    @classmethod
    def _parse(cls, text: str, otherwise: Protocol) -> PortRequest:
        """Read one port; without a protocol, ``otherwise`` is it."""
        protocol_text, port_text = split_protocol(text)
        try:
            protocol = otherwise if protocol_text is None else Protocol(protocol_text.upper())
        except ValueError:
            raise ValueError(f"unknown protocol {protocol_text!r} in {text!r}: write TCP, UDP or SCTP") from None
        if port_text.isascii() and port_text.isdigit():
            number = int(port_text)
            if not FIRST_PORT <= number <= LAST_PORT:
                raise ValueError(f"port {number} in {text!r} is outside {FIRST_PORT}-{LAST_PORT}")
            return cls(protocol, number=number)
        first, dash, last = port_text.partition("-")
        if dash and port_text.isascii() and first.isdigit() and last.isdigit():
            raise ValueError(f"{text!r} is a range of ports: name single ones, such as TCP/80,443")
        if not port_text or not all(c.isascii() and (c.isalnum() or c == "-") for c in port_text):
            raise ValueError(
                f"{text!r} is not a valid port: write PROTOCOL/NUMBER or PROTOCOL/NAME, such as TCP/80 or TCP/http"
            )
        return cls(protocol, name=port_text)

    def __str__(self) -> str:
        return f"{self.protocol}/{self.name or self.number}"
