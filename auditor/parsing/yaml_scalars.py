"""YAML's scalars: what a piece of text without quotes is, and what tags make of it.

Without a tag the rules are those of kubectl's parser (go-yaml v2, resolve.go), not PyYAML's: ``y`` is a boolean,
``1e3`` and ``08`` are numbers, and numbers to the base 60 are text.
"""

from __future__ import annotations

import re
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


def _in_three_cases(*words: str) -> list[str]:
    return [case for word in words for case in (word, word.capitalize(), word.upper())]


WORDS: dict[str, Any] = {
    **dict.fromkeys(_in_three_cases("y", "yes", "true", "on"), True),
    **dict.fromkeys(_in_three_cases("n", "no", "false", "off"), False),
    **dict.fromkeys(["", "~", *_in_three_cases("null")], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
    **dict.fromkeys([sign + word for sign in ("", "+") for word in (".inf", ".Inf", ".INF")], float("inf")),
    **dict.fromkeys([f"-{word}" for word in (".inf", ".Inf", ".INF")], float("-inf")),
}
MAY_BE_NUMBER = frozenset("+-.0123456789")
BASES = {"0x": 16, "0o": 8, "0b": 2}
INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)\Z")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
MOST_DIGITS = 400
"""A number with more digits is infinite: Python turns no text of thousands of digits into an int."""
EXACT = 1 << 53
"""Below it, every whole number is one of the floating-point numbers."""


def plain_value(text: str) -> Any:
    """What a scalar without quotes and tag is. A whole number is an int, however it is written, since kubectl hands it
    on as JSON.
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in MAY_BE_NUMBER:
        return text
    plain = text.replace("_", "")
    if INTEGER.match(plain):
        return _whole(plain)
    if FLOAT.match(plain) and (text[0] != "." or plain == text):
        value = float(plain)
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    return text


def _whole(plain: str) -> Any:
    if len(plain) > MOST_DIGITS:
        return float("inf")
    digits = plain.lstrip("+-").lower()
    base = BASES.get(digits[:2], 8 if digits.startswith("0") else 10)
    value = int(digits, base)
    return -value if plain.startswith("-") else value


def constructed(tag: str, text: str) -> Any:
    """The value of ``text`` by a tag of ``CONSTRUCTED``; infinity for too many digits, ``text`` itself where it doesn't
    fit its tag.
    """
    try:
        return CONSTRUCTED[tag](yaml.ScalarNode(tag, text))
    except (ValueError, KeyError):
        # More digits than Python turns into an int; or text that isn't what its tag says.
        return float("inf") if text.lstrip("+-").isdigit() else text
