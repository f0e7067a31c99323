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


@pytest.mark.parametrize("small", [json_values.SMALL, 20, 0])
@given(value=VALUES, indent=st.sampled_from([0, 1, 4]))
def test_every_part_stands_where_yaml_finds_it(small: int, value: Any, indent: int) -> None:
    text = json.dumps({"value": value, "last": []}, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "SMALL", small)
        patch.setattr(json_values, "STRETCH", 16)
        [as_json], problems = read_json("f", text)
        [as_yaml], _ = read_yaml("f", text.encode())
        assert problems == []
        assert [as_json.lines(path) for path in paths(as_json.value)] == [
            as_yaml.lines(path) for path in paths(as_json.value)
        ]
        assert as_json.lines(("value", "no such part")) == as_json.lines(("value",))


def test_a_part_deep_down_is_not_read_once_for_each_level_above(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Any = ["x"]
    for _ in range(30):
        deep = {"a": deep}
    text = json.dumps({"items": [deep] * 1000}, indent=1)
    read = 0

    def counting(text: str, at: int) -> tuple[Any, int]:
        nonlocal read
        value, end = skip(text, at)
        read += end - at
        return value, end

    skip = json_values.SKIP_VALUE
    monkeypatch.setattr(json_values, "SKIP_VALUE", counting)
    [document], _ = read_json("f", text)
    assert [document.lines(("items", number, *["a"] * 30, 0)) for number in (0, 999)] == [34, 62971]
    for number in range(1000):
        document.lines(("items", number, *["a"] * 30))
    assert read <= 2 * len(text)
