from __future__ import annotations

import io
from dataclasses import replace

import pytest

from auditor.model.diagnosis import Alternative, Diagnosis, Fault, Scope, ScopeKind, Unexercised
from auditor.model.dialect import Dialect
from auditor.report import as_table, cause
from tests.unit.report.reports import small
from tests.unit.report.test_as_json import document, validator

MADE = small()
CELLS = tuple(each.cell for each in MADE.cells)
EGRESS = (Fault(Dialect.IGNORES_EGRESS, Scope(ScopeKind.NODE, "node-2")),)
DIAGNOSIS = Diagnosis(
    "egress is not enforced on node node-2: explains 3 of 3 leaks, and nothing contradicts it",
    "Compare the CNI's agent on node node-2 with that of the other nodes.",
    EGRESS,
    explained=CELLS[:3],
    unexplained=CELLS[3:4],
    alternatives=(Alternative((Fault(Dialect.ENFORCES_NOTHING),), "NetworkPolicies are not enforced at all"),),
    discriminating=CELLS[:2],
)
PARTS = tuple(
    Unexercised("prod/db", "prod/db ingress[0]", f"port TCP/{number}", "no connection observed is on it")
    for number in range(10)
)


def table(diagnosis=None, parts=()):
    return table_of(replace(MADE, diagnosis=diagnosis, unexercised=parts))


def table_of(report):
    stream = io.StringIO()
    as_table.render(report, stream)
    return stream.getvalue()


def words(text):
    return " ".join(text.split())


def test_the_cause_stands_above_the_matrix():
    text = table(DIAGNOSIS)
    assert text.index("cause        egress is not enforced on node node-2: explains 3 of 3 leaks") < text.index(
        "Observed, from rows"
    )
    assert "advice Compare the CNI's agent on node node-2" in words(text)


def test_the_pods_on_each_node_that_the_cause_names_are_told():
    pods = [end.name for end in MADE.endpoints if end.selectable]
    there = pods[::2]
    ends = [replace(end, node="node-2" if end.name in there else "node-1") for end in MADE.endpoints]
    report = replace(MADE, diagnosis=DIAGNOSIS, endpoints=tuple(ends))
    assert f"there {len(there)} audited pods on node node-2: {', '.join(there)}" in words(table_of(report))
    assert document(report)["diagnosis"]["pods"] == {"node-2": there}
    validator("report.schema.json").validate(document(report))
    left_out = replace(next(end for end in ends if end.name in there), name="prod/left-out")
    assert document(replace(report, endpoints=(*report.endpoints, left_out)))["diagnosis"]["pods"] == {"node-2": there}
    elsewhere = replace(DIAGNOSIS, faults=(Fault(Dialect.IGNORES_EGRESS, Scope(ScopeKind.NAMESPACE, "prod")),))
    for other in (replace(report, diagnosis=elsewhere), replace(MADE, diagnosis=DIAGNOSIS)):
        assert "audited pod" not in table_of(other)
        assert "pods" not in document(other)["diagnosis"]


def test_hypotheses_that_fit_as_well_are_told_with_the_probe_that_decides():
    text = words(table(DIAGNOSIS))
    assert (
        "or possibly NetworkPolicies are not enforced at all to decide try prod/web -> prod/db TCP/3306 IPv4 and "
        "1 more connection" in text
    )
    assert "no connection between these endpoints" in words(table(replace(DIAGNOSIS, discriminating=())))
    assert "and 2 more; -o json has each" in words(table(replace(DIAGNOSIS, alternatives=DIAGNOSIS.alternatives * 5)))


def test_without_a_known_cause_that_is_said():
    assert "no cause     no known fault explains 2 leaks" in table(
        Diagnosis("no known fault explains 2 leaks", "See the findings.")
    )


def test_what_was_not_exercised_is_one_line():
    text = words(table(parts=PARTS))
    assert "(a CNI could ignore these unnoticed): 10 parts of 1 policy; -v lists them" in text
    assert "port TCP/0" not in text
    assert "Not covered" not in table()


def test_what_was_not_exercised_is_listed_when_asked_for():
    listed = words("\n".join(cause.coverage_lines(PARTS, most=None)))
    assert f"no connection observed is on it: prod/db ingress[0]: {', '.join(part.what for part in PARTS)}" in listed
    assert "and 2 more; -o json has each" in words("\n".join(cause.coverage_lines(PARTS)))


def test_what_was_not_exercised_stands_below_its_reason():
    parts = (PARTS[0], Unexercised("prod/web", "prod/web", "isolation for egress", "no cell is about it"), PARTS[1])
    stream = io.StringIO()
    as_table.render_wide(replace(MADE, unexercised=parts), stream)
    lines = stream.getvalue().splitlines()
    begin = lines.index("  no connection observed is on it:")
    assert lines[begin + 1 : begin + 4] == [
        "    prod/db ingress[0]: port TCP/0, port TCP/1",
        "  no cell is about it:",
        "    prod/web: isolation for egress",
    ]


@pytest.mark.parametrize(
    "diagnosis", [DIAGNOSIS, replace(DIAGNOSIS, faults=(), alternatives=(), contradictions=CELLS[:1])]
)
def test_the_json_validates(diagnosis):
    validator("report.schema.json").validate(document(replace(MADE, diagnosis=diagnosis, unexercised=PARTS)))


def test_the_json_tells_the_diagnosis_whole():
    told = document(replace(MADE, diagnosis=DIAGNOSIS, unexercised=PARTS))
    assert told["diagnosis"]["faults"] == [{"dialect": "ignores-egress", "scope": "node", "name": "node-2"}]
    assert told["diagnosis"]["alternatives"][0]["faults"] == [{"dialect": "enforces-nothing", "scope": "cluster"}]
    assert told["diagnosis"]["explained"] == 3
    assert told["diagnosis"]["discriminating"][0]["destination"] == "prod/db"
    assert len(told["unexercised"]) == 10
    assert "diagnosis" not in document(MADE)
