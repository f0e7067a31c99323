"""The records of a small cluster in a ConfigMap: the oldest go when the next one wouldn't fit.

The ConfigMap is replaced whole, and only as it was when it was read, so that a record is there whole or not at all and
two runs at once lose none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Generic

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, NotFoundError, Question
from auditor.history.codec import AnyRecord, compress, encode
from auditor.history.store import TYPES, Past, RecordType, Retention, read_latest
from auditor.model.errors import ClusterError

MARK = "netpol-audit/history"
"""The label of a ConfigMap that holds records and nothing else."""
ROOM = 1_000_000
"""Bytes of all records together: a ConfigMap takes 1 MiB, and etcd 1.5 MiB at once."""
TRIES = 5


class _Stored(Record, frozen=True):
    """v1 ConfigMap. An absent one has no resourceVersion."""

    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    binary_data: Mapping[str, bytes] = msgspec.field(default_factory=dict)


class HistoryRing(Generic[AnyRecord]):
    """The records of one type in the ConfigMap ``name`` in ``namespace``, which need not be there yet."""

    def __init__(self, options: ConnectionOptions, namespace: str, name: str, records: RecordType[AnyRecord]) -> None:
        self._type: RecordType[AnyRecord] = records
        self._options = options
        self._name = name
        self._list = f"/api/v1/namespaces/{namespace}/configmaps"
        self._where = f" in namespace {namespace}"

    async def read(self, most: int) -> Past[AnyRecord]:
        """The latest ``most`` runs. Raises ClusterError where they can't be read."""
        async with ApiServer(await connect(self._options)) as api:
            stored = await self._stored(api)
        keys = sorted(filter(self._type.names.match, stored.binary_data), reverse=True)
        place = f"ConfigMap {self._name}{self._where}"
        read = self._type.read
        return read_latest(((f"{place}: {key}", partial(read, stored.binary_data[key])) for key in keys), most)

    async def keep(self, record: AnyRecord, retention: Retention) -> None:
        """Add ``record``, and take away what ``retention`` doesn't keep or what there is no room for.

        Raises ClusterError, and then nothing is changed.
        """
        key, data = self._type.name(record), compress(encode(record))
        if len(data) > ROOM:
            raise ClusterError(
                f"the record has {len(data):,} bytes and a ConfigMap has room for {ROOM:,}: keep records in a directory"
            )
        async with ApiServer(await connect(self._options)) as api:
            for number in range(TRIES):
                stored = await self._stored(api)
                records = within({**stored.binary_data, key: data}, key, retention)
                try:
                    await self._replace(api, stored.metadata, records)
                except ConflictError:
                    if number == TRIES - 1:
                        raise
                else:
                    return

    async def _stored(self, api: ApiServer) -> _Stored:
        question = self._question("get", self._name)
        try:
            stored = decode(await api.get(question), _Stored, api, question)
        except NotFoundError:
            return _Stored()
        if MARK not in (stored.metadata.get("labels") or {}):
            raise ClusterError(
                f"{api.place}: the ConfigMap {self._name}{self._where} is not a history: choose another name"
            )
        return stored

    async def _replace(self, api: ApiServer, old: Mapping[str, Any], records: Mapping[str, bytes]) -> None:
        kept = {key: value for key, value in old.items() if key != "managedFields"}
        metadata = {**kept, "name": self._name, "labels": {**kept.get("labels", {}), MARK: "records"}}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": records}
        if old:
            await api.send("PUT", self._question("update", self._name), manifest)
        else:
            await api.send("POST", self._question("create"), manifest)

    def _question(self, verb: str, name: str = "") -> Question:
        return Question(f"{self._list}/{name}" if name else self._list, verb, "configmaps", self._where)


def within(records: Mapping[str, bytes], latest: str, retention: Retention) -> dict[str, bytes]:
    """Of ``records`` by name those that stay: ``latest`` and the latest of every other type, then from the youngest on
    as many of the type of ``latest`` as are allowed, and as many of all types as have room.
    """
    by_type = [sorted(filter(each.names.match, records), reverse=True) for each in TYPES]
    mine = next(keys for keys in by_type if latest in keys)
    allowed = [key for key in mine if key != latest and key >= retention.oldest()][: retention.number - 1]
    others = [keys for keys in by_type if keys is not mine]
    firsts = [keys[0] for keys in others if keys]
    rest = sorted([*allowed, *(key for keys in others for key in keys[1:])], reverse=True)
    kept, size = {latest: records[latest]}, len(records[latest])
    for key in (*firsts, *rest):
        size += len(records[key])
        if size > ROOM:
            break
        kept[key] = records[key]
    return kept
