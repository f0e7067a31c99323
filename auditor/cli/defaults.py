"""Defaults of options that a project writes down: ``[tool.netpol-audit.COMMAND]`` in the pyproject.toml of the working
directory or, where there is one, ``[COMMAND]`` in its netpol-audit.toml.

    [tool.netpol-audit.lint]
    fail-on = "warning"

They are for commands that read files. Which cluster is meant, and what is put into it, never comes from a file that may
have been checked out from anywhere; the environment (``AUDIT_RUN_CONTEXT``) and @FILE can say that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from auditor.cli.connection import CONNECTION
from auditor.model.errors import UsageError, system_reason

OWN, SHARED, SECTION = "netpol-audit.toml", "pyproject.toml", "netpol-audit"
FOR_FILES = ("diff", "expect", "explain", "intent", "lint", "test")
"""The commands that may have defaults."""
NEVER = (*CONNECTION, "output_file", "all_namespaces", "image", "all_pods", "lab")
"""Parameters that a file has no say in."""


def defaults_of(name: str, command: click.Command) -> Mapping[str, Any]:
    """The defaults of ``command``, by parameter. Raises UsageError for a file that can't be read so."""
    file, tables = _tables()
    for other in tables:
        if other not in FOR_FILES:
            raise UsageError(f"{file}: [{other}]: only {', '.join(FOR_FILES)} have defaults from a file")
    given = tables.get(name, {})
    if not isinstance(given, dict):
        raise UsageError(f"{file}: {name} must be a table of options, such as [{name}]")
    known = {
        option.removeprefix("--"): each.name
        for each in command.params
        for option in each.opts
        if option.startswith("--") and each.name not in NEVER
    }
    return {_named(file, name, key, known): value for key, value in given.items()}


def _named(file: str, command: str, key: str, known: Mapping[str, str | None]) -> str:
    found = known.get(key)
    if found is None:
        raise UsageError(f"{file}: [{command}] {key}: not an option that it can set: {_listed(known)}")
    return found


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _tables() -> tuple[str, Mapping[str, Any]]:
    """The name of the file that is there, and its tables by command; none without a file."""
    for file in (OWN, SHARED):
        try:
            data = Path(file).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(f"{file}: {system_reason(error)}") from error
        if file == SHARED and SECTION.encode() not in data:
            continue
        found = _parsed(file, data)
        tables = found if file == OWN else found.get("tool", {}).get(SECTION, {})
        if tables:
            return file, tables
    return "", {}


def _parsed(file: str, data: bytes) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not TOML: {error}") from error
