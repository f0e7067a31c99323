"""Files of suppressions: what somebody has accepted, with an owner, a reason and a day on which that ends.

What can be accepted is each schema's own affair; that nothing is without owner, reason and expiry is the same for all.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from auditor.model.errors import InputError, Problem
from auditor.parsing.documents import Document, read_documents, refuse_other_kinds
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source

DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})\Z", re.ASCII)
Read = TypeVar("Read")


def read_suppression_file(
    source: Source,
    schema: str,
    required: Sequence[str],
    read: Callable[[Fields, dict[str, str]], Read],
    optional: Sequence[str] = (),
) -> tuple[Read, ...]:
    """What ``read`` makes of each suppression in ``source``: it gets its fields, with the texts of those ``required``.

    ``expires`` is one of those; it may have those that are ``optional``, too. Raises InputError with every problem.
    """
    documents, problems = read_documents(source)
    refuse_other_kinds(documents, schema, "suppressions")
    found = [
        _read_one(item, required, read, optional)
        for document in documents
        for item in _items(document, schema, problems)
    ]
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.line))
    return tuple(found)


def _items(document: Document, schema: str, problems: list[Problem]) -> Iterable[Fields]:
    if not isinstance(document.value, dict):
        problems.append(document.problem((), f"must be a mapping with schema: {schema} and suppressions"))
        return []
    fields = Fields(document, problems, (), document.value)
    fields.refuse_unknown(("schema", "suppressions"))
    if fields.text("schema") != schema:
        fields.note(f"must be {schema}", "schema")
    return fields.maps("suppressions")


def _read_one(
    fields: Fields,
    required: Sequence[str],
    read: Callable[[Fields, dict[str, str]], Read],
    optional: Sequence[str],
) -> Read:
    fields.refuse_unknown((*required, *optional))
    texts = {name: fields.text(name) or "" for name in required}
    missing = [
        name
        for name in required
        if fields.value.get(name) is None or (isinstance(fields.value[name], str) and not texts[name].strip())
    ]
    if missing:
        fields.note(f"a suppression needs {', '.join(missing)}")
    if texts["expires"] and not _is_day(texts["expires"]):
        fields.note(f"{texts['expires']!r} is not a valid date: write YYYY-MM-DD", "expires")
    return read(fields, texts)


def _is_day(text: str) -> bool:
    found = DAY.match(text)
    if not found:
        return False
    year, month, day = map(int, found.groups())
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
