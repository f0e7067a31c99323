"""Files of a git repository as they are in one revision: ``git:REV:PATH``, where a path is asked for.

They are read from the repository's objects by the git on the PATH, so that neither the work tree nor the index matters:
a bare repository and a shallow clone do as well. Nothing is fetched, and symbolic links are not followed.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditor.model.errors import UsageError, system_reason
from auditor.parsing.source import Source
from auditor.run.directories import SUFFIXES, is_excluded, nothing_to_read, too_large

PREFIX = "git:"
LONGEST_SECONDS = 120
LINK, MODULE, TREE = "120000", "160000", "040000"
"""Modes of entries in a tree, as git writes them."""


@dataclass(frozen=True, slots=True)
class Revision:
    """``git:REV:PATH`` taken apart; the path is relative to the root of the repository, and empty for the root."""

    text: str
    revision: str
    path: str

    def name(self, path: str) -> str:
        """What a file at ``path`` of this revision is called: ``git:REV:PATH``, with a slash in any case."""
        return f"{PREFIX}{self.revision}:{path if '/' in path else f'./{path}'}"


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    object: str
    path: str


def read_revision(text: str, largest: int, *, recursive: bool = False, exclude: Sequence[str] = ()) -> list[Source]:
    """The files that ``text``, ``git:REV:PATH``, names: one file, or those of a directory that are read, in order, with
    the directories below it if ``recursive``, without what ``exclude`` matches.

    Raises UsageError where there is no such revision or path, nothing to read, a file of more than ``largest`` bytes,
    and where git is missing or fails.
    """
    asked = _parse(text)
    commit = _commit(asked)
    entry = _find(asked, commit)
    if entry.mode == LINK:
        raise UsageError(f"{text}: a symbolic link, which is not followed: name what it leads to")
    if entry.mode == MODULE:
        raise UsageError(f"{text}: a submodule: run this in its own repository")
    if entry.mode != TREE:
        return [_source(asked, asked.path, data, found=False) for data in _contents(asked, [entry], largest)]
    entries = [each for each in _entries(asked, entry, recursive=recursive) if _wanted(each, exclude)]
    if not entries:
        raise nothing_to_read(text, recursive=recursive, exclude=exclude)
    contents = _contents(asked, entries, largest)
    return [
        _source(asked, posixpath.join(asked.path, each.path), data, found=True)
        for each, data in zip(entries, contents, strict=True)
    ]


def reader_beside(name: str, largest: int) -> Callable[[str], Source]:
    """How a file is read that is named relative to the one called ``name``, in the same revision."""
    asked = _parse(name)
    folder = posixpath.dirname(asked.path)

    def read(relative: str) -> Source:
        there = asked.name(posixpath.normpath(posixpath.join(folder, relative)))
        return read_revision(there, largest)[0]

    return read


def _parse(text: str) -> Revision:
    revision, _, path = text.removeprefix(PREFIX).partition(":")
    if not revision:
        raise UsageError(f"{text}: write git:REV:PATH, such as git:main:deploy")
    normal = posixpath.normpath(path or ".")
    if normal.startswith(("/", "..")):
        raise UsageError(f"{text}: the path begins at the root of the repository, without a slash: git:REV:deploy")
    return Revision(text, revision, "" if normal == "." else normal)


def _commit(asked: Revision) -> str:
    done = _git(asked, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{asked.revision}^{{commit}}")
    if done.returncode == 0:
        return done.stdout.decode().strip()
    if _git(asked, "rev-parse", "--git-dir").returncode:
        raise UsageError(f"{asked.text}: this is not inside a git repository: run it in one")
    shallow = _git(asked, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    hint = "this clone is shallow, 'git fetch --unshallow' gets all of them" if shallow else "'git log' lists them"
    raise UsageError(f"{asked.text}: the repository has no revision {asked.revision!r}: {hint}")


def _find(asked: Revision, commit: str) -> _Entry:
    """What is at the path that is ``asked`` for."""
    if not asked.path:
        return _Entry(TREE, f"{commit}^{{tree}}", "")
    done = _git(asked, "ls-tree", "-z", "--full-tree", commit, "--", asked.path)
    found = [each for each in _parse_tree(_output(asked, done)) if each.path == asked.path]
    if not found:
        raise UsageError(f"{asked.text}: {asked.path} is not in revision {asked.revision}")
    return found[0]


def _entries(asked: Revision, tree: _Entry, *, recursive: bool) -> list[_Entry]:
    done = _git(asked, "ls-tree", "-z", "--full-tree", *(["-r"] if recursive else []), tree.object)
    return sorted(_parse_tree(_output(asked, done)), key=lambda each: each.path)


def _parse_tree(output: bytes) -> list[_Entry]:
    entries = []
    for line in output.decode("utf-8", "surrogateescape").split("\0"):
        about, _, path = line.partition("\t")
        if path:
            mode, _, name = about.split(" ")
            entries.append(_Entry(mode, name, path))
    return entries


def _wanted(entry: _Entry, exclude: Sequence[str]) -> bool:
    if entry.mode in (LINK, MODULE, TREE) or posixpath.splitext(entry.path)[1] not in SUFFIXES:
        return False
    parts = entry.path.split("/")
    return not any(is_excluded("/".join(parts[: number + 1]), exclude) for number in range(len(parts)))


def _contents(asked: Revision, entries: Sequence[_Entry], largest: int) -> list[bytes]:
    wanted = "".join(f"{each.object}\n" for each in entries).encode()
    _refuse_large(asked, entries, _output(asked, _git(asked, "cat-file", "--batch-check", given=wanted)), largest)
    output = _output(asked, _git(asked, "cat-file", "--batch", given=wanted))
    contents, position = [], 0
    for _ in entries:
        end = output.index(b"\n", position)
        size = int(output[position:end].split()[2])
        contents.append(output[end + 1 : end + 1 + size])
        position = end + 1 + size + 1
    return contents


def _refuse_large(asked: Revision, entries: Sequence[_Entry], output: bytes, largest: int) -> None:
    """Raise UsageError for a file that is not in this clone, or is too large, of which ``output`` says so."""
    for each, line in zip(entries, output.decode().splitlines(), strict=True):
        name = asked.name(posixpath.join(asked.path, each.path) if each.path != asked.path else asked.path)
        said = line.split()
        if len(said) < 3:
            raise UsageError(f"{name}: its content is not in this clone, which is partial: check it out once")
        if int(said[2]) > largest:
            raise too_large(name, largest)


def _source(asked: Revision, path: str, data: bytes, *, found: bool) -> Source:
    return Source(asked.name(path), data, found)


def _git(asked: Revision, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    quiet = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    try:
        return subprocess.run(
            ["git", "--literal-pathspecs", "--no-replace-objects", *arguments],
            input=given,
            capture_output=True,
            check=False,
            timeout=LONGEST_SECONDS,
            env={**os.environ, **quiet},
        )
    except FileNotFoundError as error:
        raise UsageError(f"{asked.text}: git is not on the PATH: install it, or give a directory") from error
    except OSError as error:
        raise UsageError(f"{asked.text}: git: {system_reason(error)}") from error
    except ValueError as error:
        raise UsageError(f"{asked.text!r}: not a valid revision and path") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{asked.text}: git did not answer within {LONGEST_SECONDS} s") from error


def _output(asked: Revision, done: subprocess.CompletedProcess[bytes]) -> bytes:
    if done.returncode == 0:
        return done.stdout
    said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    raise UsageError(f"{asked.text}: git: {said[-1] if said else f'exit code {done.returncode}'}")
