"""A difference for programs: ``audit.difference/v1``, described by ``auditor/schemas/difference.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from auditor.model.ports import PortRange
from auditor.policy.differences import Change, ChangeKind, Names
from auditor.report.difference import ComparedClusters
from auditor.report.documents import write_json_value

SCHEMA = "audit.difference/v1"


def render(compared: ComparedClusters, stream: TextIO) -> None:
    """Write ``compared`` to ``stream``."""
    difference = compared.difference
    workloads = _names(difference.workloads)
    document = {
        "schema": SCHEMA,
        "conclusion": compared.conclusion.value,
        "fail_on": compared.fail_on.value,
        "old": compared.old,
        "new": compared.new,
        "compared": difference.compared,
        "pairs": {kind.value: difference.pairs[kind] for kind in ChangeKind},
        "changes": [_change(change) for change in difference.changes],
        "workloads": {"added": workloads["added"], "removed": workloads["removed"]},
        "policies": _names(difference.policies),
    }
    write_json_value(document, stream)


def _names(names: Names) -> dict[str, list[str]]:
    return {"added": list(names.added), "removed": list(names.removed), "changed": list(names.changed)}


def _change(change: Change) -> Mapping[str, Any]:
    return {
        "kind": change.kind.value,
        "sources": list(change.sources),
        "destinations": list(change.destinations),
        "pairs": change.pairs,
        "ports": [_ports(ports) for ports in change.ports],
        "families": [str(family) for family in change.families],
        "because": list(change.because),
        "doubts": list(change.doubts),
    }


def _ports(ports: PortRange) -> Mapping[str, Any]:
    return {"protocol": ports.protocol.value, "port": ports.first, "end_port": ports.last}
