"""Records as bytes: ``audit.night/v1``, JSON, described by ``auditor/schemas/night.schema.json`` and mostly compressed.

A record that is not whole, not of this schema or at odds with itself is not used: nobody is to trust a part of it.
"""

from __future__ import annotations

import zlib

import msgspec

from auditor.model.night import FIRST_FINDING, Night

SCHEMA = "audit.night/v1"
GZIP = 31
"""zlib's number for: gzip, with its checksum."""
MAGIC = b"\x1f\x8b"
LARGEST = 256 << 20
"""Bytes of a record that is not compressed; more is not a record of ours."""


class BadRecordError(ValueError):
    """Why something is not a record, in words."""


class _Schema(msgspec.Struct):
    schema: str = ""


def encode(night: Night) -> bytes:
    """``night`` as JSON."""
    return msgspec.json.encode({"schema": SCHEMA, **msgspec.to_builtins(night)})


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


def decode(content: bytes) -> Night:
    """The record that JSON ``content`` is. Raises BadRecordError for anything else."""
    schema = schema_of(content)
    if schema != SCHEMA:
        newer = schema.startswith("audit.night/")
        raise BadRecordError(
            f"it is {schema}, of a newer version of audit" if newer else f"it is {schema or 'no record'}, not {SCHEMA}"
        )
    try:
        night = msgspec.json.decode(content, type=Night)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"it is at odds with {SCHEMA}: {error}") from None
    _check(night)
    return night


def from_bytes(data: bytes) -> Night:
    """The record that ``data`` is, compressed or not. Raises BadRecordError for anything else."""
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
