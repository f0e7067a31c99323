"""Who reaches pods from outside, and by which objects, in words and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auditor.model.ways_in import WayIn, WaysIn
from auditor.model.words import in_brief

HEADING = "From outside, by objects that lead in"
MOST_REASONS = 2


def way_in_lines(found: WaysIn, most: int | None = None) -> Iterator[str]:
    """A heading, and a line for each way, with the reason where it is not open; nothing where nothing leads in. At most
    ``most`` ways, or all.
    """
    if not found.ways and not found.dead_ends:
        return
    yield f"{HEADING}:"
    for way in found.ways[:most]:
        yield f"  {way.word}  {way}{_why(way)}"
    if more := len(found.ways[most:]) if most else 0:
        yield f"  and {more:,} more; -o json has all"
    for line in found.dead_ends[:most]:
        yield f"  {line}"


def _why(way: WayIn) -> str:
    if way.doubt:
        return f": {way.doubt}"
    return "" if way.word == "allowed" else f": {in_brief(way.because, MOST_REASONS)}"


def way_in_item(way: WayIn) -> dict[str, Any]:
    """A way in for programs."""
    route = way.route
    return {
        "kind": route.kind,
        "name": f"{route.namespace}/{route.name}",
        "hosts": list(route.hosts),
        "service": way.service.removeprefix("service/"),
        "pod": way.pod,
        "protocol": way.protocol.value,
        "port": way.port,
        "controller_pods": list(way.by),
        "verdict": way.verdict.value,
        "in_doubt": bool(way.doubt),
        **({"doubt": way.doubt} if way.doubt else {}),
        "because": list(way.because),
    }
