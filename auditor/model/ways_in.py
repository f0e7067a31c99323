"""Who reaches pods from outside, by which objects, and what policies make of it."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.model.entries import Route
from auditor.model.ports import Protocol
from auditor.model.verdict import Verdict
from auditor.model.words import in_brief

MOST_NAMED = 2


@dataclass(frozen=True, slots=True)
class WayIn:
    """One object that leads to ``pod`` on ``port``, and what policies make of it.

    ``by`` are the pods of the controller, ``unknown`` says why it is not known which these are. ``doubt`` says why the
    verdict is not certain; empty where it is. ``because`` has a line for each thing that decided.
    """

    route: Route
    service: str
    pod: str
    protocol: Protocol
    port: int
    verdict: Verdict
    by: tuple[str, ...] = ()
    doubt: str = ""
    because: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The verdict for people."""
        return "in doubt" if self.doubt else self.verdict.value

    def __str__(self) -> str:
        hosts = f" ({in_brief(self.route.hosts, MOST_NAMED)})" if self.route.hosts else ""
        by = f", by {in_brief(self.by, MOST_NAMED)}" if self.by else ""
        return f"{self.route.full_name}{hosts} to {self.pod} {self.protocol}/{self.port}{by}"


@dataclass(frozen=True, slots=True)
class WaysIn:
    """What leads in, whether or not it leads to any pod: ``dead_ends`` say in words where it doesn't."""

    ways: tuple[WayIn, ...] = ()
    dead_ends: tuple[str, ...] = ()


NO_WAYS = WaysIn()
