from __future__ import annotations

import copy
import io
import json
from dataclasses import fields, replace
from importlib.resources import files

import jsonschema
import pytest

from auditor import __version__
from auditor.model.noticing import Noticing
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import Summary
from auditor.model.verdict import Note, Observed, Result
from auditor.policy.evaluator import evaluate
from auditor.report import as_json
from auditor.report.expected_as_json import expected_json
from auditor.report.registry import RUN, renderer
from tests.schemas import validator
from tests.unit.diagnosis.worlds import SHOP, labels, with_policies
from tests.unit.report.reports import report, small, small_untested, square

OF_POLICIES = {"policies", "policies_tested", "policies_accepted", "policies_without_pods", "parts_unexercised"}
COUNTED = {field.name for field in fields(Summary)} | {"coverage"} | OF_POLICIES


@pytest.mark.parametrize("name", sorted(path.name for path in files("auditor").joinpath("schemas").iterdir()))
def test_each_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(validator(name).schema)


def document(made):
    stream = io.StringIO()
    as_json.render(made, stream)
    return json.loads(stream.getvalue())


def test_a_finding_has_the_nodes_whose_filters_judge_it():
    made = small()
    filters = {Direction.EGRESS: ("node-1", "node-3"), Direction.INGRESS: ("node-2",)}
    told = document(replace(made, findings=(replace(made.findings[0], filters=filters), *made.findings[1:])))
    validator("report.schema.json").validate(told)
    assert told["findings"][0]["filters"] == {"egress": ["node-1", "node-3"], "ingress": ["node-2"]}
    assert not any("filters" in finding for finding in document(made)["findings"])


@pytest.mark.parametrize("made", [small(), square(12, faults=3), report([])], ids=["small", "square", "empty"])
def test_reports_validate(made):
    validator("report.schema.json").validate(document(made))


def test_the_registry_has_it():
    assert renderer(RUN, "json") is as_json.render


def test_a_cell_is_told_whole():
    assert document(small())["cells"][0] == {
        "source": "prod/web",
        "destination": "prod/db",
        "protocol": "TCP",
        "port": 3306,
        "family": "IPv4",
        "expected": "denied",
        "observed": "allowed",
        "outcome": "token",
        "attempts": 3,
        "result": "leak",
        "notes": [],
        "milliseconds": 0.25,
    }


def test_run_version_and_time_are_told():
    found = document(replace(small(), run_id="1a2b3c4d", began="2026-11-21T18:24:06Z"))
    assert (found["run"], found["version"], found["began"]) == ("1a2b3c4d", __version__, "2026-11-21T18:24:06Z")
    validator("report.schema.json").validate(found)
    assert "began" not in document(small())


def test_what_would_have_been_noticed_is_told_where_it_was_counted():
    noticing = Noticing(policies=2, ways=8, noticed=7, unseen=3, missed=("prod/db for prod/db, egress: x",))
    found = document(replace(small(), noticing=noticing))
    validator("report.schema.json").validate(found)
    assert found["noticing"] == {
        "policies": 2,
        "ways": 8,
        "noticed": 7,
        "unseen": 3,
        "missed": ["prod/db for prod/db, egress: x"],
        "share": 0.875,
        "chosen": True,
    }
    assert "noticing" not in document(small())


def test_history_is_told_where_tries_differ():
    histories = [cell["history"] for cell in document(small())["cells"] if "history" in cell]
    assert histories == [["allowed", "dropped", "allowed"]]


def test_every_count_of_the_summary_is_there():
    summary = document(small())["summary"]
    assert summary.keys() == COUNTED
    assert (summary["cells"], summary["leaks"], summary["coverage"]) == (18, 3, 0.777778)


def test_policies_that_decide_nothing_are_listed():
    made = small_untested()
    nothing = (("ClusterNetworkPolicy far", Direction.EGRESS),)
    found = document(replace(made, policies=replace(made.policies, deciding_nothing=nothing)))
    validator("report.schema.json").validate(found)
    assert found["deciding_nothing"] == [{"policy": "ClusterNetworkPolicy far", "direction": "egress"}]
    assert document(made)["deciding_nothing"] == []


def test_policies_that_nothing_tells_of_are_counted_and_listed():
    found = document(small_untested())
    validator("report.schema.json").validate(found)
    counts = found["summary"]
    assert (counts["policies"], counts["policies_tested"], counts["policies_accepted"]) == (4, 2, 1)
    assert (counts["policies_without_pods"], counts["parts_unexercised"]) == (1, 1)
    assert found["untested"] == [
        {
            "policy": "prod/db",
            "direction": "ingress",
            "connections": 15,
            "reasons": ["none of its pods was probed: prod/db: left out"],
            "accepted": False,
        },
        {
            "policy": "prod/sctp",
            "direction": "egress",
            "connections": 3,
            "reasons": ["no SCTP", "one", "two"],
            "accepted": True,
        },
    ]


def test_one_cell_per_line():
    stream = io.StringIO()
    as_json.render(small(), stream)
    assert sum(line.startswith('{"source"') for line in stream.getvalue().splitlines()) == 18


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), "audit.report/v2"),
        (("conclusion",), "maybe"),
        (("summary", "coverage"), 1.2),
        (("summary", "extra"), 1),
        (("cells", 0, "port"), 0),
        (("cells", 0, "observed"), "denied"),
        (("cells", 0, "surprise"), True),
        (("findings", 0, "cells"), []),
        (("endpoints", 0, "kind"), "service"),
    ],
)
def test_the_schema_refuses(where, value):
    broken = copy.deepcopy(document(small()))
    inner = broken
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validator("report.schema.json").validate(broken)


def test_the_schema_knows_every_word_of_the_model():
    definitions = validator("report.schema.json").schema["$defs"]
    assert set(definitions["observed"]["enum"]) == set(Observed)
    assert set(definitions["result"]["enum"]) == set(Result)
    assert set(definitions["note"]["enum"]) == set(Note)
    assert definitions["summary"]["properties"].keys() == COUNTED


DENY_WEB = NetworkPolicy("prod", "deny", labels(app="web"), frozenset(Direction))
OWN_CLASSES = replace(SHOP, ignored={"ConfigMap": 2})


@pytest.mark.parametrize("snapshot", [SHOP, with_policies(DENY_WEB), OWN_CLASSES])
@pytest.mark.parametrize("options", [{}, {"expand": True}, {"ports": (PortRequest(Protocol.TCP, name="sql"),)}])
def test_expected_matrices_validate(snapshot, options):
    names = [endpoint.name for endpoint in snapshot.endpoints]
    pieces = expected_json(evaluate(snapshot, named_ports=options.get("ports", ())), names, names, **options)
    found = json.loads("".join(pieces))
    assert found["cells"]
    validator("expected.schema.json").validate(found)


def test_the_expected_schema_refuses_what_it_does_not_know():
    names = [endpoint.name for endpoint in SHOP.endpoints]
    found = json.loads("".join(expected_json(evaluate(SHOP), names, names)))
    found["cells"][0]["verdict"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        validator("expected.schema.json").validate(found)
