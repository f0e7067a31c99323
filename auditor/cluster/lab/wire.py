"""The frames between the controller and the supervisor: four bytes of length, then that much JSON.

A request is an object with ``id`` and ``do``; its answer repeats the ``id`` and has ``error``, a text for the user,
when it failed. ``id`` 0 belongs to no request: the supervisor could not start. An ``open`` request carries one
descriptor on its first byte.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

_HEADER = 4


def encode(message: Message) -> bytes:
    """One frame."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(_HEADER, "big") + body


def decode(buffer: bytearray) -> Message | None:
    """Take the first whole frame out of ``buffer``; None when there is none yet."""
    if len(buffer) < _HEADER:
        return None
    end = _HEADER + int.from_bytes(buffer[:_HEADER], "big")
    if len(buffer) < end:
        return None
    message: Message = json.loads(buffer[_HEADER:end])
    del buffer[:end]
    return message
