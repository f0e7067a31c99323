"""The pairs of small clusters in ``cases/``: one in which a check fires, and one close to it in which it doesn't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source

DIRECTORY = Path(__file__).parent / "cases"


def case(check: str) -> dict[str, Any]:
    return yaml.safe_load((DIRECTORY / f"{check}.yaml").read_text(encoding="utf-8"))


def cluster(*objects: Any) -> Snapshot:
    """The snapshot of ``objects``; where they stand in a file is not of interest."""
    document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return read_snapshot([Source("cluster.yaml", json.dumps(document).encode())])
