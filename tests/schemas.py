"""The schemas of the reports, for tests."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import jsonschema


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Whether the schema itself is a valid one is asked by one test: that takes longer than what it is used for."""
    schema = json.loads(files("auditor").joinpath("schemas", name).read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
