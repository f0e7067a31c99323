"""Any JSON document as YAML, for those who read it: the same fields and values in the same order."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, TypeVar

import yaml

from auditor.model.printable import dangers
from auditor.report.documents import write_text

if TYPE_CHECKING:
    _Base = yaml.SafeDumper
else:
    _Base = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Value = TypeVar("Value")
WIDTH = 2**31 - 1
"""No line is folded."""


class _Dumper(_Base):
    """Texts in which anything must not be printed as it is are in double quotes, where there are escapes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    text = text.encode("utf-8", "backslashreplace").decode()  # no half of a surrogate pair
    style = '"' if "\n" in text or dangers(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def as_yaml(as_json: Callable[[Value, TextIO], None], value: Value, stream: TextIO) -> None:
    """Write to ``stream`` what ``as_json`` writes of ``value``."""
    text = io.StringIO()
    as_json(value, text)
    document = json.loads(text.getvalue())
    shown: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=WIDTH)
    write_text(shown.rstrip("\n").replace("##", "#\\x23"), stream)
