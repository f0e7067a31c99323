"""Where the input lies: files, directories, standard input, what other programs render (kustomizations by kubectl or
kustomize, charts by helm), and the scenarios that come with the package.

Reading is pure and takes bytes; this is the one place that opens files for it, and that says what is wrong with a path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import auditor
from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError, system_reason
from auditor.model.scenario import Scenario
from auditor.model.snapshot import EndpointKind, Family
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.placement import place
from auditor.parsing.scenario import DEFAULT_NODES, REPLICAS, read_scenario
from auditor.parsing.source import Source
from auditor.run.directories import SUFFIXES, is_excluded, nothing_to_read, too_large
from auditor.run.revisions import PREFIX, read_revision, reader_beside

STDIN = "-"
STDIN_NAME = "<stdin>"
LARGEST = 256 << 20
"""Bytes of one file: some thousand pods take a tenth of it, and reading it takes forty times as much memory."""
COMMON = 1 << 16
"""Bytes that few files of a directory have."""


def load_sources(paths: Sequence[str], *, recursive: bool = False, exclude: Sequence[str] = ()) -> list[Source]:
    """The files at ``paths``, those of directories in order of their names; ``-`` is standard input, and
    ``git:REV:PATH`` what is at a path in a revision of the git repository around.

    Of directories, what matches a glob of ``exclude`` is left out: a name, or a path below the directory.

    Raises UsageError for a path that can't be read or holds too much, for a directory without a file to read, and for
    standard input asked for twice.
    """
    if paths.count(STDIN) > 1:
        raise UsageError(f"{STDIN}: standard input can be read once only")
    return [source for path in paths for source in _load(path, recursive=recursive, exclude=exclude)]


def _load(path: str, *, recursive: bool, exclude: Sequence[str]) -> Iterator[Source]:
    if not path:
        raise UsageError("an empty path: name a file or a directory, '.' for this one")
    if path.startswith(PREFIX):
        yield from read_revision(path, LARGEST, recursive=recursive, exclude=exclude)
        return
    if path == STDIN:
        with _said_plainly(STDIN_NAME):
            data = sys.stdin.buffer.read(LARGEST + 1)
        yield _bounded(STDIN_NAME, data)
        return
    with _said_plainly(path):
        is_directory = Path(path).is_dir()
        wanted = _Wanted(str(Path(path)), recursive=recursive, exclude=exclude)
        files = sorted(wanted.files(wanted.root), key=lambda file: file.split("/")) if is_directory else [path]
    if not files:
        raise nothing_to_read(path, recursive=recursive, exclude=exclude)
    if is_directory:
        yield from (_read(file, found=True) for file in files)
    else:
        yield _read(path)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of a directory is read."""

    root: str
    recursive: bool
    exclude: Sequence[str]

    def files(self, directory: str) -> Iterator[str]:
        """The paths of files in ``directory``, which is the root or below it, as ``Path`` writes them."""
        before = "" if directory == "." else directory.rstrip("/") + "/"
        with os.scandir(directory) as entries:
            for entry in entries:
                path = before + entry.name
                if self._excluded(path):
                    continue
                if _suffix(entry.name) in SUFFIXES and entry.is_file():
                    yield path
                elif self.recursive and entry.is_dir(follow_symlinks=False):
                    yield from self.files(path)

    def _excluded(self, path: str) -> bool:
        return bool(self.exclude) and is_excluded(Path(path).relative_to(self.root).as_posix(), self.exclude)


def _suffix(name: str) -> str:
    """As ``Path.suffix``: a dot at the beginning, or at the end, of a name begins none."""
    stem, dot, last = name.rpartition(".")
    return dot + last if stem and last else ""


def _read(path: str, *, found: bool = False) -> Source:
    with _said_plainly(path), Path(path).open("rb") as file:
        data = file.read(COMMON)
        if len(data) == COMMON:  # read() takes room for all that it is asked for
            data += file.read(LARGEST + 1 - COMMON)
    return _bounded(path, data, found=found)


def _bounded(name: str, data: bytes, *, found: bool = False) -> Source:
    if len(data) > LARGEST:
        raise too_large(name, LARGEST)
    return Source(name, data, found)


@contextmanager
def _said_plainly(path: str) -> Iterator[None]:
    """Turn whatever the system says of ``path`` into a UsageError that names it first."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {system_reason(error)}") from error
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


def load_scenario(text: str, hosts: Mapping[str, tuple[IPAddress, ...]] | None = None) -> Scenario:
    """The scenario called ``text``, in the file at the path ``text``, or made of the manifests in that directory, with
    ``hosts`` outside.

    Raises UsageError when there is none, and for hosts of a scenario; InputError when it can't be read as one.
    """
    if text not in scenario_names() and Path(text).is_dir():
        return scenario_of_manifests([text], hosts)
    if hosts:
        raise UsageError(f"{text}: --host goes with a directory of manifests; a scenario names its own hosts")
    source = _read(_scenario_path(text))
    return read_scenario(source, manifests_beside(source.name))


def scenario_of_manifests(
    paths: Sequence[str], hosts: Mapping[str, tuple[IPAddress, ...]] | None = None, *, recursive: bool = True
) -> Scenario:
    """A cluster of the manifests at ``paths``, with ``hosts`` outside: their pods get addresses, and two nodes unless
    they name others.

    Raises UsageError and InputError for what can't be read or placed.
    """
    snapshot = read_snapshot(load_sources(paths, recursive=recursive), replicas=REPLICAS, hosts=hosts or {})
    if not snapshot.endpoints:
        raise UsageError(f"{', '.join(paths)}: no pod, workload, node or host in the input")
    pods = [endpoint.node for endpoint in snapshot.endpoints if endpoint.kind is EndpointKind.POD and endpoint.node]
    nodes = tuple(dict.fromkeys(pods)) or DEFAULT_NODES
    placed = place(snapshot, nodes, (Family.IPV4,), node_endpoints=False)
    name = ", ".join(paths)
    return Scenario(name, f"the manifests of {name}", name, nodes, (Family.IPV4,), placed)


def manifests_beside(scenario_file: str) -> Callable[[str], Source]:
    """How the manifests that a scenario names are loaded: relative to the scenario's own file."""
    if scenario_file.startswith(PREFIX):
        return reader_beside(scenario_file, LARGEST)
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


KUSTOMIZERS = (("kubectl", "kustomize"), ("kustomize", "build"))
"""Each renders a kustomization whose directory comes last; the first that is there is taken."""
LONGEST_SECONDS = 300


def render_kustomization(directory: str) -> Source:
    """What the kustomization in ``directory`` comes to. Raises UsageError when it can't be rendered."""
    for command in KUSTOMIZERS:
        if shutil.which(command[0]):
            return _render([*command, directory])
    raise UsageError(
        f"-k {directory}: neither kubectl nor kustomize is on the PATH: install one, or render it elsewhere and "
        "give -f -"
    )


def render_chart(chart: str, values: Sequence[str], namespace: str) -> Source:
    """What ``chart`` comes to with the files ``values``, in ``namespace`` (empty: none is given). Raises UsageError
    when it can't be rendered.
    """
    if not shutil.which("helm"):
        raise UsageError(
            f"--helm {chart}: helm is not on the PATH: install it, or render the chart elsewhere and give -f -"
        )
    options = [word for file in values for word in ("--values", file)]
    return _render(["helm", "template", chart, *options, *(["--namespace", namespace] if namespace else [])])


def _render(command: Sequence[str]) -> Source:
    name = " ".join(command)
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=LONGEST_SECONDS, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise UsageError(f"{name}: {system_reason(error)}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{name}: no end after {LONGEST_SECONDS} s: render it elsewhere and give -f -") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
        raise UsageError(f"{name} failed: {last}")
    return Source(name, done.stdout)
