"""Where records of runs are kept: a directory, or a ConfigMap."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.cli.parameters import NAMESPACE, OBJECT_NAME
from auditor.model.errors import UsageError

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.history_ring import HistoryRing
    from auditor.history.codec import AnyRecord
    from auditor.history.store import Past, RecordType, Retention

SCHEME = "configmap://"
RING = re.compile(rf"{SCHEME}(?P<namespace>{NAMESPACE})/(?P<name>{OBJECT_NAME})\Z")


def is_ring(place: str) -> bool:
    """Whether ``place`` is meant to be a ConfigMap."""
    return place.startswith(SCHEME)


def read(
    place: str, most: int, connection: ConnectionOptions | None, records: RecordType[AnyRecord]
) -> Past[AnyRecord]:
    """The latest ``most`` runs at ``place`` of which there are ``records``. Raises OSError or ClusterError where they
    can't be read, UsageError for a ConfigMap that is not named as one.
    """
    from auditor.history.store import HistoryStore

    if is_ring(place):
        return asyncio.run(_ring(place, connection, records).read(most))
    return HistoryStore(Path(place), records).read(most)


def keep(
    record: AnyRecord,
    place: str,
    retention: Retention,
    connection: ConnectionOptions | None,
    records: RecordType[AnyRecord],
) -> None:
    """Add ``record`` to what is at ``place``. Raises what ``read`` raises."""
    from auditor.history.store import HistoryStore

    if is_ring(place):
        asyncio.run(_ring(place, connection, records).keep(record, retention))
    else:
        HistoryStore(Path(place), records).keep(record, retention)


def _ring(place: str, connection: ConnectionOptions | None, records: RecordType[AnyRecord]) -> HistoryRing[AnyRecord]:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.history_ring import HistoryRing

    found = RING.match(place)
    if found is None:
        raise UsageError(f"{place}: write {SCHEME}NAMESPACE/NAME")
    return HistoryRing(connection or ConnectionOptions(), found["namespace"], found["name"], records)
