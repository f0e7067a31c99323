"""The directory that keeps a record of each run: of audits and, beside them and counted by themselves, of conformance
runs.

A record is there whole or not at all: it is written beside its place, made durable, and then given its name, which
begins with the time so that names in order are nights in order. Several runs at once don't disturb each other.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Generic

from auditor.history.codec import (
    AnyRecord,
    BadRecordError,
    compress,
    decode_conformance,
    decompress,
    encode,
    from_bytes,
)
from auditor.model.conformance_record import ConformanceRecord
from auditor.model.errors import system_reason
from auditor.model.night import Night

DRAFT = re.compile(r"\.\d{8}T\d{6}Z-[0-9A-Za-z-]+(\.conformance)?\.json\.gz\.[0-9a-f]{12}\.tmp\Z", re.ASCII)
STALE_SECONDS = 3600
"""After so long nobody writes on a draft any more: its writer was killed."""
LARGEST_FILE = 64 << 20


@dataclass(frozen=True, slots=True)
class RecordType(Generic[AnyRecord]):
    """One type of record: what its names look like and end with, and how one is read. Where another type is kept
    beside it, neither takes the other's records for its own.
    """

    names: re.Pattern[str]
    ending: str
    read: Callable[[bytes], AnyRecord]

    def name(self, record: AnyRecord) -> str:
        """What ``record`` is called: names in order are runs in order."""
        return f"{_stamp(record.began)}-{_plain(record.run)}{self.ending}"


def _conformance(data: bytes) -> ConformanceRecord:
    return decode_conformance(decompress(data))


AUDITS: RecordType[Night] = RecordType(
    re.compile(r"\d{8}T\d{6}Z-[0-9A-Za-z-]+\.json\.gz\Z", re.ASCII), ".json.gz", from_bytes
)
CONFORMANCE: RecordType[ConformanceRecord] = RecordType(
    re.compile(r"\d{8}T\d{6}Z-[0-9A-Za-z-]+\.conformance\.json\.gz\Z", re.ASCII),
    ".conformance.json.gz",
    _conformance,
)
TYPES: tuple[RecordType[Night] | RecordType[ConformanceRecord], ...] = (AUDITS, CONFORMANCE)


@dataclass(frozen=True, slots=True)
class Retention:
    """How many records stay, and for how many days; the latest always does."""

    number: int
    days: int

    def oldest(self) -> str:
        """What the names of the records that are too old come before."""
        return (datetime.now(UTC) - timedelta(days=self.days)).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Past(Generic[AnyRecord]):
    """Earlier runs, the latest first, and what was skipped, one line each."""

    nights: tuple[AnyRecord, ...]
    skipped: tuple[str, ...] = ()


def read_latest(records: Iterable[tuple[str, Callable[[], AnyRecord]]], most: int) -> Past[AnyRecord]:
    """The first ``most`` of ``records`` that can be read; each is what it is called and how it is read."""
    nights: list[AnyRecord] = []
    skipped: list[str] = []
    for name, read in records:
        if len(nights) == most:
            break
        try:
            nights.append(read())
        except (BadRecordError, OSError) as error:
            why = system_reason(error) if isinstance(error, OSError) else str(error)
            skipped.append(f"{name}: skipped: {why}")
    return Past(tuple(nights), tuple(skipped))


class HistoryStore(Generic[AnyRecord]):
    """The records of one type in ``directory``, which need not be there yet."""

    def __init__(self, directory: Path, records: RecordType[AnyRecord]) -> None:
        self._directory = directory
        self._type: RecordType[AnyRecord] = records

    def read(self, most: int) -> Past[AnyRecord]:
        """The latest ``most`` runs. Raises OSError where there is no such directory, or it can't be read."""
        return read_latest(((str(path), partial(self._read, path)) for path in self._records()), most)

    def keep(self, record: AnyRecord, retention: Retention) -> Path:
        """Write ``record``, then remove what ``retention`` doesn't keep. Raises OSError, and then nothing of the record
        is there.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / self._type.name(record)
        _write(path, compress(encode(record)))
        with suppress(OSError):  # what is too old can go another time
            self._clear_away(path, retention)
        return path

    def _read(self, path: Path) -> AnyRecord:
        return self._type.read(_bytes_of(path))

    def _records(self) -> list[Path]:
        """The paths of all records, the latest first."""
        names = [name for name in os.listdir(self._directory) if self._type.names.match(name)]  # noqa: PTH208 - names
        return [self._directory / name for name in sorted(names, reverse=True)]

    def _clear_away(self, latest: Path, retention: Retention) -> None:
        oldest = retention.oldest()
        for number, path in enumerate(self._records(), 1):
            if path != latest and (number > retention.number or path.name[: len(oldest)] < oldest):
                path.unlink(missing_ok=True)
        for draft in self._drafts():
            if time.time() - draft.stat().st_mtime > STALE_SECONDS:
                draft.unlink(missing_ok=True)

    def _drafts(self) -> Iterator[Path]:
        return (self._directory / name for name in os.listdir(self._directory) if DRAFT.match(name))  # noqa: PTH208


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadRecordError(f"it is larger than {LARGEST_FILE >> 20} MiB")
    return data


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the name durable, too, where the file system can do that."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(began: str) -> str:
    """``20261126T021500Z`` for ``2026-11-26T02:15:00Z``; the time now where nobody knows."""
    stamp = began.replace("-", "").replace(":", "")
    known = re.fullmatch(r"\d{8}T\d{6}Z", stamp, re.ASCII) is not None
    return stamp if known else datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _plain(run: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "", run)[:40] or "run"
