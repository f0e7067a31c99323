"""One audit for several processes: the workers of pytest-xdist.

One at a time is in the cluster. Whoever comes second reads what the first has seen, if that has all that is asked for,
and else makes an audit for both. While one has policies of its own applied, the others wait with audits, since theirs
would see them.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from auditor.model.errors import AuditError, ClusterError, UsageError
from auditor.testing.audited import Audited, AuditRequest


@dataclass(frozen=True, slots=True)
class Failed:
    """What an audit ended with."""

    lines: tuple[str, ...]
    by_usage: bool


class Shared:
    """``audit`` and ``apply``, for all processes that are given the same ``directory`` and ``key``."""

    def __init__(
        self,
        audit: Callable[[AuditRequest], Audited],
        apply: Callable[[str], AbstractContextManager[None]],
        directory: Path,
        key: str,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._audit = audit
        self._apply = apply
        self._file = directory / sha256(key.encode()).hexdigest()[:16]
        self._applying = False

    def audit(self, request: AuditRequest) -> Audited:
        """What an audit with ``request`` saw, whoever made it. Raises again what it ended with."""
        if self._applying:
            return self._audit(request)
        with self._locked():
            before = self._read()
            if before is not None and before[0].joined(request) == before[0]:
                return _seen(before[1])
            wanted = request if before is None else before[0].joined(request)
            made: Audited | Failed
            try:
                made = self._audit(wanted)
            except AuditError as error:
                made = Failed(error.lines, isinstance(error, UsageError))
            self._write(wanted, made)
            return _seen(made)

    @contextmanager
    def applied(self, path: str) -> Iterator[None]:
        """The policies in ``path`` applied, while nobody else makes an audit."""
        with self._locked(), self._apply(path):
            self._applying = True
            try:
                yield
            finally:
                self._applying = False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[AuditRequest, Audited | Failed] | None:
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return None
        found: tuple[AuditRequest, Audited | Failed] = pickle.loads(data)  # noqa: S301 - what this test run itself wrote
        return found

    def _write(self, request: AuditRequest, made: Audited | Failed) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(pickle.dumps((request, made)))
        new.replace(self._file)


def _seen(made: Audited | Failed) -> Audited:
    if isinstance(made, Failed):
        raise (UsageError if made.by_usage else ClusterError)(*made.lines)
    return made
