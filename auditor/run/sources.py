"""Where the input lies: files, directories, standard input, and the scenarios that come with the package.

Reading is pure and takes bytes; this is the one place that opens files for it, and that says what is wrong with a path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import auditor
from auditor.model.errors import UsageError
from auditor.model.scenario import Scenario
from auditor.parsing.scenario import read_scenario
from auditor.parsing.source import Source

STDIN = "-"
STDIN_NAME = "<stdin>"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""What is read of a directory, as ``kubectl apply -f DIRECTORY`` does."""
LARGEST = 256 << 20
"""Bytes of one file: some thousand pods take a tenth of it, and reading it takes forty times as much memory."""


def load_sources(paths: Sequence[str], *, recursive: bool = False) -> list[Source]:
    """The files at ``paths``, those of directories in order of their names; ``-`` is standard input.

    Raises UsageError for a path that can't be read or holds too much, for a directory without a file to read, and for
    standard input asked for twice.
    """
    if paths.count(STDIN) > 1:
        raise UsageError(f"{STDIN}: standard input can be read once only")
    return [source for path in paths for source in _load(path, recursive=recursive)]


def _load(path: str, *, recursive: bool) -> Iterator[Source]:
    if path == STDIN:
        with _said_plainly(STDIN_NAME):
            data = sys.stdin.buffer.read(LARGEST + 1)
        yield _bounded(STDIN_NAME, data)
        return
    with _said_plainly(path):
        is_directory = Path(path).is_dir()
        files = sorted(_files(Path(path), recursive=recursive)) if is_directory else [Path(path)]
    if not files:
        below = "" if recursive else " (--recursive reads the directories below it, too)"
        raise UsageError(f"{path}: no {', '.join(sorted(SUFFIXES))} file in this directory{below}")
    yield from map(_read, map(str, files) if is_directory else [path])


def _files(directory: Path, *, recursive: bool) -> Iterator[Path]:
    for entry in directory.iterdir():
        if entry.suffix in SUFFIXES and entry.is_file():
            yield entry
        elif recursive and entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, recursive=True)


def _read(path: str) -> Source:
    with _said_plainly(path), Path(path).open("rb") as file:
        data = file.read(LARGEST + 1)
    return _bounded(path, data)


def _bounded(name: str, data: bytes) -> Source:
    if len(data) > LARGEST:
        raise UsageError(f"{name}: more than {LARGEST >> 20} MiB: give the objects of fewer namespaces at a time")
    return Source(name, data)


@contextmanager
def _said_plainly(path: str) -> Iterator[None]:
    """Turn whatever the system says of ``path`` into a UsageError that names it first."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UsageError(f"{path!r}: no path of a file") from error


def scenario_directory() -> Path:
    """Where the scenarios of this installation lie: inside the package or, in a checkout, beside it."""
    package = Path(auditor.__file__).parent
    inside = package / "scenarios"
    return inside if inside.is_dir() else package.parent / "scenarios"


def scenario_names() -> list[str]:
    """The names of the scenarios that come with the package, sorted."""
    directory = scenario_directory()
    return sorted(path.stem for path in directory.glob("*.yaml")) if directory.is_dir() else []


def load_scenario(text: str) -> Scenario:
    """The scenario called ``text``, or in the file at the path ``text``.

    Raises UsageError when there is none, InputError when it can't be read as a scenario.
    """
    source = _read(_scenario_path(text))
    return read_scenario(source, manifests_beside(source.name))


def manifests_beside(scenario_file: str) -> Callable[[str], Source]:
    """How the manifests that a scenario names are loaded: relative to the scenario's own file."""
    return lambda name: _read(str(Path(scenario_file).parent / name))


def _scenario_path(text: str) -> str:
    names = scenario_names()
    if text in names:
        return _short(scenario_directory() / f"{text}.yaml")
    if "/" in text or Path(text).suffix in SUFFIXES:
        return text
    close = get_close_matches(text, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "'audit scenarios' lists them; a path works as well"
    raise UsageError(f"no scenario is called {text!r}: {hint}")


def _short(path: Path) -> str:
    """``path`` as a person in the working directory would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # elsewhere, or in a directory that is gone
        return str(path)
