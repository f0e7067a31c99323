"""Many cells in few words: the cells of one finding, or of one reason, gathered so that a person can read them.

Cells that differ in their port only share a line; lines that then differ in their source only are joined, then those
that differ in their destination only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol as Shape
from typing import TypeVar

from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Note, Observation


class Observable(Shape):
    """A connection, whatever way it took, and what was observed of it."""

    @property
    def observation(self) -> Observation: ...


Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Seen = TypeVar("Seen", bound=Observable)

PROTOCOL_ORDER = tuple(Protocol)
OUTCOMES = {"token": "answered", "connected-no-token": "connected, but no answer"}
"""Raw outcomes with a word of the wire format in them, in words for people."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Cells with one expectation and one observation: every one of ``sources`` to every one of ``destinations`` on all
    of ``ports``.
    """

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    ports: str
    expected: str
    observed: str


def traffic(cells: Iterable[CellResult], position: Callable[[str], int], *, families: bool) -> list[Traffic]:
    """``cells`` gathered, in the order of ``position`` of their endpoints' names. ``families``: whether to name address
    families.
    """
    ordered = sorted(cells, key=lambda each: cell_order(each.cell, position))
    by_pair = _gather(
        ordered,
        lambda each: (each.cell.source, each.cell.destination, expectation(each), observation(each.observation)),
    )
    lines = [
        Traffic(
            (source,), (destination,), ports_text([each.cell for each in group], families=families), expected, observed
        )
        for (source, destination, expected, observed), group in by_pair.items()
    ]
    by_destination = _gather(lines, lambda line: (line.destinations, line.ports, line.expected, line.observed))
    lines = [Traffic(tuple(line.sources[0] for line in group), *key) for key, group in by_destination.items()]
    by_sources = _gather(lines, lambda line: (line.sources, line.ports, line.expected, line.observed))
    return [
        Traffic(sources, tuple(line.destinations[0] for line in group), ports, expected, observed)
        for (sources, ports, expected, observed), group in by_sources.items()
    ]


def cell_order(cell: Cell, position: Callable[[str], int]) -> tuple[int, int, int, int, int]:
    """A sort key: by source and destination as ``position`` orders them, then by protocol, port and family."""
    return (
        position(cell.source),
        position(cell.destination),
        PROTOCOL_ORDER.index(cell.protocol),
        cell.port,
        cell.family,
    )


def ports_text(cells: Sequence[Cell], *, families: bool) -> str:
    """The ports of ``cells`` such as ``TCP/80,443 UDP/53``; by address family, with its name behind, where ``families``
    asks for it.
    """
    parts: list[str] = []
    for family, of_family in sorted(_gather(cells, lambda cell: cell.family if families else 0).items()):
        for protocol in Protocol:
            numbers = sorted({cell.port for cell in of_family if cell.protocol is protocol})
            if numbers:
                parts.append(f"{protocol}/{','.join(map(str, numbers))}")
        if families:
            parts.append(f"({Family(family)})")
    return " ".join(parts)


def expectation(each: CellResult) -> str:
    """What was expected, and why it may not hold: ``denied (cni-dependent)``."""
    notes = ", ".join(note.value for note in each.notes if note is not Note.SELF_ALLOWED)
    return f"{each.expected} ({notes})" if notes else str(each.expected)


def in_words(outcome: str) -> str:
    """A raw outcome for people: what only the wire format calls a token is an answer."""
    name, colon, detail = outcome.partition(":")
    return OUTCOMES.get(name, name) + colon + detail


def observation(seen: Observation) -> str:
    """The verdict with its outcome and tries: ``dropped (timeout, 3 tries)``; ``dropped (timeout; tries: allowed,
    dropped)``.
    """
    outcome, tries = in_words(seen.outcome), len(seen.history)
    if len(set(seen.history)) > 1:
        return f"{seen.verdict} ({outcome}; tries: {', '.join(seen.history)})"
    if not tries:
        return f"{seen.verdict} ({outcome})"
    return f"{seen.verdict} ({outcome}, {tries} {'try' if tries == 1 else 'tries'})"


def by_reason(cells: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Cells without a verdict by the reason for that, the most frequent first."""
    groups = _gather(cells, lambda each: each.observation.outcome)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _gather(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
