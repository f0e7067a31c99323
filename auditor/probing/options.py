"""How patient probing is, and how it reports what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProbingOptions:
    """Timeouts and retries. The defaults suit a cluster whose round trips stay under a quarter of a second.

    ``timeout``: seconds until silence counts as dropped; above 1.0 the kernel's first SYN retransmission falls inside
    it. ``datagrams``: how many UDP datagrams one attempt spreads over the first half of its timeout. ``retests``: how
    often, at least, a mismatch is tried again with fresh connections before it is reported. ``settle``: seconds for
    which a mismatch must persist before it is reported, while nothing else changes; a CNI that is slow to program gets
    this long for the next pod, up to six times as long in all. ``window``: attempts younger than 0.15 s under way at
    once, over all agents together. ``late_isolation``: for how many seconds after the start of the younger end, or
    after the first attempts where that is not new, what is to be denied may still be open; more is a finding (None:
    however long).
    """

    timeout: float = 1.3
    datagrams: int = 3
    retests: int = 2
    settle: float = 5.0
    window: int = 1024
    late_isolation: float | None = None


class ProbingProgress(Protocol):
    """Where probing reports how far it is. Calls are cheap and come in order; a phase ends when the next begins."""

    def phase(self, name: str, attempts: int) -> None:
        """A phase of ``attempts`` attempts begins; 0 when their number is not known."""

    def advance(self, attempts: int) -> None:
        """So many further attempts of this phase have a result."""


class NoProgress:
    """Tells nobody."""

    def phase(self, name: str, attempts: int) -> None:
        """Nothing."""

    def advance(self, attempts: int) -> None:
        """Nothing."""
