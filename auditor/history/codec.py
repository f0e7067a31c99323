"""Records as bytes: JSON, mostly compressed. Those of audits are ``audit.night/v1``, those of conformance runs
``audit.conformance-record/v1``; ``auditor/schemas`` describes both.

A record that is not whole, not of this schema or at odds with itself is not used: nobody is to trust a part of it.
"""

from __future__ import annotations

import zlib
from typing import TypeVar

import msgspec

from auditor.model.conformance_record import AS_EXPECTED, DEPARTS, NO_VERDICT, SKIPPED, ConformanceRecord
from auditor.model.night import FIRST_FINDING, Night

AnyRecord = TypeVar("AnyRecord", Night, ConformanceRecord)

SCHEMA = "audit.night/v1"
CONFORMANCE_SCHEMA = "audit.conformance-record/v1"
SCHEMAS: dict[type, str] = {Night: SCHEMA, ConformanceRecord: CONFORMANCE_SCHEMA}
GZIP = 31
"""zlib's number for: gzip, with its checksum."""
MAGIC = b"\x1f\x8b"
LARGEST = 256 << 20
"""Bytes of a record that is not compressed; more is not a record of ours."""


class BadRecordError(ValueError):
    """Why something is not a record, in words."""


class _Schema(msgspec.Struct):
    schema: str = ""


def encode(record: Night | ConformanceRecord) -> bytes:
    """``record`` as JSON."""
    return msgspec.json.encode({"schema": SCHEMAS[type(record)], **msgspec.to_builtins(record)})


def compress(data: bytes) -> bytes:
    """``data`` as gzip has it, the same for the same data."""
    packer = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes) -> bytes:
    """The content of ``data``, which may be compressed. Raises BadRecordError where it isn't whole."""
    if not data.startswith(MAGIC):
        return data
    unpacker = zlib.decompressobj(GZIP)
    try:
        content = unpacker.decompress(data, LARGEST)
    except zlib.error:
        raise BadRecordError("it is damaged") from None
    if unpacker.unconsumed_tail:
        raise BadRecordError(f"it is larger than {LARGEST >> 20} MiB")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRecordError("it is cut off" if not unpacker.eof else "something follows its end")
    return content


def schema_of(content: bytes) -> str:
    """The schema that JSON ``content`` names; empty for none. Raises BadRecordError for what is not a JSON object."""
    try:
        return msgspec.json.decode(content, type=_Schema).schema
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRecordError("it is not a JSON object") from None
    except RecursionError:
        raise BadRecordError("it is nested too deeply, and no record is") from None


def decode(content: bytes) -> Night:
    """The record of an audit that JSON ``content`` is. Raises BadRecordError for anything else."""
    night = _decode(content, Night)
    _check(night)
    return night


def decode_conformance(content: bytes) -> ConformanceRecord:
    """The record of a conformance run that JSON ``content`` is. Raises BadRecordError for anything else."""
    record = _decode(content, ConformanceRecord)
    size = len(record.connections)
    if len(record.states) != size or not set(record.states) <= {AS_EXPECTED, DEPARTS, NO_VERDICT, SKIPPED}:
        raise BadRecordError("its states don't fit its connections")
    if any(not 0 <= number < size for feature in record.features for number in feature.connections):
        raise BadRecordError("its features name connections that it doesn't have")
    return record


def _decode(content: bytes, kind: type[AnyRecord]) -> AnyRecord:
    wanted, schema = SCHEMAS[kind], schema_of(content)
    if schema != wanted:
        newer = schema.startswith(wanted.partition("/")[0] + "/")
        raise BadRecordError(
            f"it is {schema}, of a newer version of audit" if newer else f"it is {schema or 'no record'}, not {wanted}"
        )
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"it is at odds with {wanted}: {error}") from None


def from_bytes(data: bytes) -> Night:
    """The record of an audit that ``data`` is, compressed or not. Raises BadRecordError for anything else."""
    return decode(decompress(data))


def _check(night: Night) -> None:
    size, most = len(night.ends), FIRST_FINDING + len(night.findings)
    if len(night.rows) != size or any(len(row) != size for row in night.rows):
        raise BadRecordError("its rows don't fit its ends")
    if any(not 0 <= number < len(night.patterns) for row in night.rows for number in row):
        raise BadRecordError("its rows name patterns that it doesn't have")
    for pattern in night.patterns:
        ports, states = pattern[::2], pattern[1::2]
        if len(ports) != len(states) or any(not 0 <= port < len(night.ports) for port in ports):
            raise BadRecordError("its patterns name ports that it doesn't have")
        if any(not 0 < state < most for state in states):
            raise BadRecordError("its patterns name findings that it doesn't have")
