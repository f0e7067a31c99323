"""``audit compare``, ``audit history`` and ``audit baseline``, from files to what they print."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from auditor.cli.application import run
from auditor.cli.nightly import NightlyOptions, keep_record, record_of
from auditor.history.store import AUDITS
from auditor.model.verdict import Result
from tests.unit.history.nights import pod, run_of, tried
from tests.unit.report.test_as_json import document, validator

WEB, DB = pod("prod/web"), pod("prod/db", "n2")
CLEAN, LEAKY = (run_of([WEB, DB], [tried(WEB, DB, result), tried(DB, WEB)]) for result in (Result.MATCH, Result.LEAK))
UNSURE = run_of([WEB, DB], [tried(WEB, DB, Result.INCONCLUSIVE), tried(DB, WEB)])


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, made in {"clean": CLEAN, "leaky": LEAKY, "unsure": UNSURE}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document(made)))


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(
    ("arguments", "code", "conclusion", "ages"),
    [
        (["clean.json", "leaky.json"], 1, "fail", ["new"]),
        (["leaky.json", "leaky.json"], 0, "pass", ["known"]),
        (["leaky.json", "leaky.json", "--fail-on", "leak"], 1, "fail", ["known"]),
        (["leaky.json", "clean.json"], 0, "pass", ["gone"]),
        (["leaky.json", "unsure.json"], 3, "inconclusive", ["incomparable"]),
        (["unsure.json", "leaky.json"], 1, "fail", ["incomparable"]),
    ],
)
def test_two_reports_are_compared(arguments, code, conclusion, ages, capsys):
    assert run(["compare", *arguments, "-o", "json"]) == code
    told = json.loads(capsys.readouterr().out)
    validator("comparison.schema.json").validate(told)
    assert told["conclusion"] == conclusion
    assert [each["age"] for each in (*told["findings"], *told["departed"])] == ages
    assert run(["compare", *arguments]) == code
    assert capsys.readouterr().out.startswith(conclusion.upper())


@pytest.mark.usefixtures("reports")
def test_a_baseline_is_known_afterwards(capsys):
    assert run(["baseline", "leaky.json", "--output-file", "known.json"]) == 0
    assert run(["compare", "known.json", "leaky.json"]) == 0
    assert run(["compare", "known.json", "clean.json"]) == 0
    assert "1 gone" in capsys.readouterr().out


@pytest.mark.usefixtures("reports")
def test_a_run_that_is_none_is_refused_in_one_line(capsys):
    assert run(["compare", "clean.json", "nothing.json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_history_tells_of_each_night_and_of_each_finding(tmp_path, capsys):
    for day, made in enumerate([CLEAN, LEAKY, LEAKY, CLEAN, UNSURE, LEAKY], 1):
        record = record_of(replace(made, began=f"2026-11-0{day}T02:00:00Z"))
        keep_record(record, str(tmp_path), NightlyOptions(days=36500), AUDITS)
    assert run(["history", str(tmp_path), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    validator("history.schema.json").validate(told)
    assert [(night["new"], night["gone"]) for night in told["nights"]] == [
        (1, 0), (0, 0), (0, 1), (0, 0), (1, 0), (0, 0)
    ]  # fmt: skip
    (finding,) = told["findings"]
    assert (finding["course"], finding["since"][:10], finding["nights"]) == ("-++-?+", "2026-11-06", 1)
    assert (finding["stands"], finding["flaps"]) == (True, True)
    assert run(["history", str(tmp_path), "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines[1:3]] == ["2026-11-06", "2026-11-05"]


def test_a_history_without_records_is_an_error(tmp_path, capsys):
    assert run(["history", str(tmp_path)]) == 2
    assert "no record of a run is there" in capsys.readouterr().err
