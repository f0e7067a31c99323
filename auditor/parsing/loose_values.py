"""Parts of objects on which no verdict hangs: what is broken in them counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def part(value: object, key: str) -> Any:
    """What ``value`` has at ``key``; None where it has nothing there, or is not a mapping."""
    return value.get(key) if isinstance(value, Mapping) else None


def mapping(value: object, key: str) -> Mapping[str, Any]:
    """The mapping at ``key``; an empty one where there is none."""
    found = part(value, key)
    return found if isinstance(found, Mapping) else {}


def items(value: object, key: str) -> list[Any]:
    """The list at ``key``; an empty one where there is none."""
    found = part(value, key)
    return found if isinstance(found, list) else []


def mappings(value: object, key: str) -> list[Mapping[str, Any]]:
    """Those of the list at ``key`` that are mappings."""
    return [item for item in items(value, key) if isinstance(item, Mapping)]


def text(value: object, key: str) -> str:
    """The text at ``key``; empty where there is none."""
    found = part(value, key)
    return found if isinstance(found, str) else ""


def number(value: object, key: str) -> int | None:
    """The whole number at ``key``; None where there is none."""
    found = part(value, key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
