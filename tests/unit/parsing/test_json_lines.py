"""Where the parts of a JSON text stand: as YAML, which is read another way, says of the same text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.parsing import json_values
from auditor.parsing.json_values import read_json
from auditor.parsing.paths import Path
from auditor.parsing.yaml_values import read_yaml

KEYS = st.text("ab{}[]:, \"'\\#-", max_size=4) | st.sampled_from(["kind", "items", "x\ny"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """The path of every part of ``value``."""
    yield above
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in steps:
        yield from paths(part, (*above, step))


@given(value=VALUES, indent=st.sampled_from([0, 1, 4]))
def test_every_part_stands_where_yaml_finds_it(value: Any, indent: int) -> None:
    text = json.dumps({"value": value, "last": []}, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "STRETCH", 16)
        [as_json], problems = read_json("f", text)
        [as_yaml], _ = read_yaml("f", text.encode())
        assert problems == []
        assert [as_json.lines(path) for path in paths(as_json.value)] == [
            as_yaml.lines(path) for path in paths(as_json.value)
        ]
        assert as_json.lines(("value", "no such part")) == as_json.lines(("value",))


@given(value=VALUES, place=st.integers(0, 200), what=st.sampled_from(["", ",", ":", "]", "}", '"', "x", " ", "1"]))
def test_what_is_not_json_is_refused_as_the_json_module_does(value: Any, place: int, what: str) -> None:
    text = json.dumps({"items": [value, {"a": [value]}], "last": 1})
    spoilt = text[: place % len(text)] + what + text[place % len(text) + 1 :]
    try:
        expected, wrong = json.loads(spoilt), None
    except json.JSONDecodeError as error:
        expected, wrong = None, error
    if wrong is None:
        [read], _ = read_json("f", spoilt)
        assert read.doubts or read.value == expected
        return
    with pytest.raises(json.JSONDecodeError) as refused:
        read_json("f", spoilt)
    assert (refused.value.msg, refused.value.pos) == (wrong.msg, wrong.pos) or wrong.msg == "Extra data"
