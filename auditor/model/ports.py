"""Protocols, ports and port atoms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FIRST_PORT = 1
LAST_PORT = 65535


class Protocol(StrEnum):
    """The transport protocols that a NetworkPolicy can name (k8s.io/api/core/v1 Protocol)."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


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


@dataclass(frozen=True, slots=True, order=True)
class ContainerPort:
    """A port that a pod declares. ``name`` is empty for an unnamed one."""

    protocol: Protocol
    number: int
    name: str = ""


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
        """Read ``TCP/80``, ``UDP/53`` or ``TCP/http``; the protocol may be left out and is TCP then.

        Raises ValueError, with a text for the user, when it is none of these.
        """
        protocol_text, slash, port_text = text.strip().rpartition("/")
        try:
            protocol = Protocol(protocol_text.upper()) if slash else Protocol.TCP
        except ValueError:
            raise ValueError(f"unknown protocol {protocol_text!r} in {text!r}: write TCP, UDP or SCTP") from None
        if port_text.isascii() and port_text.isdigit():
            number = int(port_text)
            if not FIRST_PORT <= number <= LAST_PORT:
                raise ValueError(f"port {number} in {text!r} is outside {FIRST_PORT}-{LAST_PORT}")
            return cls(protocol, number=number)
        if not port_text or not all(c.isascii() and (c.isalnum() or c == "-") for c in port_text):
            raise ValueError(f"{text!r} is no port: write PROTOCOL/NUMBER or PROTOCOL/NAME, such as TCP/80 or TCP/http")
        return cls(protocol, name=port_text)

    def __str__(self) -> str:
        return f"{self.protocol}/{self.name or self.number}"
