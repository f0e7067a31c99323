"""An explanation for programs: ``audit.explanation/v1``, described by ``auditor/schemas/explanation.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from auditor.model.policy import Direction
from auditor.report.documents import write_json_value
from auditor.report.skipped import left_out_json
from auditor.report.ways_in import way_in_item
from auditor.run.explanation import Explained, Explanation
from auditor.run.service_connections import ServicePort

SCHEMA = "audit.explanation/v1"


def render(explanation: Explanation, stream: TextIO) -> None:
    """Write ``explanation`` to ``stream``."""
    asked = explanation.by_way_of
    document = {
        "schema": SCHEMA,
        **({"service": _service(asked)} if asked else {}),
        "connections": [_connection(each) for each in explanation.connections],
        **({"ways_in": list(map(way_in_item, explanation.entry.ways))} if explanation.entry.ways else {}),
        **left_out_json(explanation.left_out),
    }
    write_json_value(document, stream)


def _service(asked: ServicePort) -> Mapping[str, Any]:
    ends = dict.fromkeys((cell.destination, cell.protocol.value, cell.port) for cell in asked.cells)
    return {
        "name": f"{asked.service.namespace}/{asked.service.name}",
        "port": str(asked.port),
        "sent_to": [{"destination": end, "protocol": protocol, "port": port} for end, protocol, port in ends],
        "covered_by": [
            {"policy": policy.full_name, "ip_block": str(block), "address": str(address)}
            for policy, block, address in asked.covering
        ],
        "headless": asked.service.headless,
        "reached_at": asked.at,
        "remarks": list(asked.remarks),
    }


def _connection(explained: Explained) -> Mapping[str, Any]:
    decision = explained.decision
    cell = decision.cell
    sides = {
        direction.value.lower(): {"allowed": decision.allowed(direction), "because": _lines(explained, direction)}
        for direction in Direction
    }
    return {
        "source": cell.source,
        "destination": cell.destination,
        "protocol": cell.protocol.value,
        "port": cell.port,
        "family": str(cell.family),
        "verdict": decision.verdict.value,
        "in_doubt": bool(explained.doubt),
        "doubt": explained.doubt,
        "notes": [note.value for note in explained.notes],
        "exemption": decision.exemption,
        **({} if decision.exemption else sides),
    }


def _lines(explained: Explained, direction: Direction) -> list[str]:
    """What decided in ``direction``, the deciding rule or the isolating policies with their near misses."""
    return [line for judgement in explained.decision.chain[direction] for line in judgement.lines]
