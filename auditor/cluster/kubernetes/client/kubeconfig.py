"""The kubeconfig files, merged as kubectl merges them.

Done here and not by the client library: that lets the last file's current-context win where kubectl takes the first,
and meets an empty or malformed file with a traceback. What comes out is one context with its cluster and user, every
path in it absolute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.model.errors import InputError, Problem, UsageError
from auditor.parsing.documents import read_documents
from auditor.parsing.fields import Fields
from auditor.parsing.source import Source

SECTIONS = {"contexts": "context", "clusters": "cluster", "users": "user"}
FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields that hold a path, relative to the file that they stand in."""
TEXTS = (
    *(f"{name}-data" for name in FILES[:3]),
    *(
        "server",
        "tls-server-name",
        "proxy-url",
        "cluster",
        "user",
        "namespace",
        "token",
        "username",
        "password",
        "as",
        "as-uid",
    ),
)


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """One context of the kubeconfig: names, and the fields of its cluster and user without the empty ones."""

    name: str
    cluster: dict[str, Any]
    user: dict[str, Any] = field(default_factory=dict)
    namespace: str = ""


@dataclass
class _Merged:
    """What the files say together: for each section the entries by name, the first of a name winning."""

    current: str = ""
    entries: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {section: {} for section in SECTIONS})
    files: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return ":".join(self.files)


def read_context(paths: Sequence[str], context: str | None = None) -> ContextConfig | None:
    """The context called ``context``, or the current one, of the files at ``paths``; None when none of the files is
    there.

    Raises UsageError for a file that can't be read and a context that isn't there, InputError for what is wrong inside
    a file.
    """
    merged = _Merged()
    for path in paths:
        data = _read(path)
        if data is not None:
            merged.files.append(path)
            _merge(merged, path, data)
    return _choose(merged, context) if merged.files else None


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"kubeconfig {path}: {reason.lower()}") from error


def _merge(merged: _Merged, path: str, data: bytes) -> None:
    documents, problems = read_documents(Source(path, data))
    if len(documents) > 1:
        problems.append(Problem("a kubeconfig is one document: remove the others", path))
    for document in documents[:1]:
        if not isinstance(document.value, dict):
            problems.append(
                document.problem((), "is not a kubeconfig, which is a mapping with clusters, users and contexts")
            )
            continue
        fields = Fields(document, problems, (), document.value)
        merged.current = merged.current or fields.text("current-context") or ""
        base = Path(path).absolute().parent
        for section, key in SECTIONS.items():
            for name, values in _entries(fields, section, key, base):
                merged.entries[section].setdefault(name, values)
    if problems:
        raise InputError(problems)


def _entries(fields: Fields, section: str, key: str, base: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in fields.maps(section):
        name = entry.text("name")
        if not name:
            entry.note("needs a name")
            continue
        inner = entry.section(key)
        values = {field_name: value for field_name, value in inner.value.items() if value not in (None, "")}
        for field_name in TEXTS:
            inner.text(field_name)
        for field_name in FILES:
            if path := inner.text(field_name):
                values[field_name] = str(base / path)
        _resolve_command(inner, values, base)
        yield name, values


def _resolve_command(inner: Fields, values: dict[str, Any], base: Path) -> None:
    """A log-in plugin given with a slash stands relative to the file (client-go, clientcmd)."""
    plugin = inner.map("exec")
    command = plugin.text("command") if plugin else None
    if command and "/" in command:
        values["exec"] = {**values["exec"], "command": str(base / command)}


def _choose(merged: _Merged, context: str | None) -> ContextConfig:
    contexts = merged.entries["contexts"]
    name = context or merged.current
    known = ", ".join(sorted(contexts))
    if not contexts:
        raise UsageError(f"kubeconfig {merged.place}: has no contexts: give another one with --kubeconfig")
    if not name:
        raise UsageError(f"kubeconfig {merged.place}: no current-context: name one with --context ({known})")
    if name not in contexts:
        said = "context" if context else "current-context"
        raise UsageError(f"kubeconfig {merged.place}: there is no {said} {name!r}: there is {known}")
    chosen = contexts[name]
    cluster = _entry(merged, name, "clusters", "cluster", chosen)
    user = _entry(merged, name, "users", "user", chosen) if chosen.get("user") else {}
    if not str(cluster.get("server", "")).startswith(("https://", "http://")):
        raise UsageError(
            f"kubeconfig {merged.place}: cluster {chosen['cluster']!r} needs a server that starts with https:// or "
            "http://"
        )
    return ContextConfig(name, cluster, user, chosen.get("namespace", ""))


def _entry(merged: _Merged, context: str, section: str, key: str, chosen: dict[str, Any]) -> dict[str, Any]:
    name = chosen.get(key)
    if not name:
        raise UsageError(f"kubeconfig {merged.place}: context {context!r} names no {key}")
    if name not in merged.entries[section]:
        known = ", ".join(sorted(merged.entries[section])) or "none"
        raise UsageError(
            f"kubeconfig {merged.place}: context {context!r} names the {key} {name!r}, but there is {known}"
        )
    return merged.entries[section][name]
