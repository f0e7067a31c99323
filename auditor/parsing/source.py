"""What is read: bytes with the name that messages call them by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A file or standard input: ``name`` as messages give it, and its content.

    ``found``: nobody named it, it was found in a directory, and need not be a manifest at all.
    """

    name: str
    data: bytes
    found: bool = False
