"""What kustomization files say of the files beside them: which of them are patches, and where to render."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from auditor.parsing.documents import parse_documents, utf_8
from auditor.parsing.found import KUSTOMIZATIONS
from auditor.parsing.headings import may_have
from auditor.parsing.source import Source

PATCHES = ("patches", "patchesStrategicMerge", "patchesJson6902")


def patch_files(sources: Sequence[Source]) -> frozenset[str]:
    """The names of those of ``sources`` that a kustomization uses as patches."""
    return frozenset(name for source in sources if is_kustomization(source) for name in _patches_of(source))


def is_kustomization(source: Source) -> bool:
    """Whether ``source`` is a kustomization file, by its name, that was found in a directory."""
    return source.found and posixpath.basename(source.name).lower() in KUSTOMIZATIONS


def _patches_of(source: Source) -> Iterator[str]:
    directory = posixpath.dirname(source.name)
    if not may_have(utf_8(source.data), (b"patches",)):  # as all of PATCHES begin
        return
    for document in parse_documents(source)[0]:
        for given in _lists(document.value, PATCHES):
            path = given.get("path") if isinstance(given, dict) else given
            if isinstance(path, str) and "\n" not in path:
                yield posixpath.normpath(posixpath.join(directory, path))


def _lists(value: Any, keys: Iterable[str]) -> Iterator[Any]:
    for key in keys:
        items = value.get(key) if isinstance(value, dict) else None
        yield from items if isinstance(items, list) else ()
