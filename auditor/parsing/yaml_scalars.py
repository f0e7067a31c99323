"""YAML's scalars: what a piece of text without quotes is, and what tags make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
AS_WRITTEN = tuple(TAG + kind for kind in ("str", "timestamp", "value", "binary"))
"""Tags of scalars whose text is the value: a Kubernetes timestamp is text too."""
_SCALARS = yaml.constructor.SafeConstructor()
CONSTRUCTED: dict[str, Callable[[yaml.ScalarNode], Any]] = {
    f"{TAG}null": lambda _: None,
    f"{TAG}bool": _SCALARS.construct_yaml_bool,
    f"{TAG}int": _SCALARS.construct_yaml_int,
    f"{TAG}float": _SCALARS.construct_yaml_float,
}
_IMPLICIT: dict[str, list[tuple[str, Any]]] = yaml.SafeLoader.yaml_implicit_resolvers


def plain_value(text: str) -> Any:
    """What a scalar without quotes and tag is: YAML 1.1's rules, as ``kubectl`` has them, but for numbers
    to the base 60.
    """
    for tag, pattern in _IMPLICIT.get(text[:1], ()):
        if pattern.match(text):
            return constructed(tag, text) if tag in CONSTRUCTED and ":" not in text else text
    return text


def constructed(tag: str, text: str) -> Any:
    """The value of ``text`` by a tag of ``CONSTRUCTED``; infinity for too many digits, ``text`` itself
    where it doesn't fit its tag.
    """
    try:
        return CONSTRUCTED[tag](yaml.ScalarNode(tag, text))
    except (ValueError, KeyError):
        # More digits than Python turns into an int; or text that isn't what its tag says.
        return float("inf") if text.lstrip("+-").isdigit() else text
