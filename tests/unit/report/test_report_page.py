"""``docs/report.md`` has every field of every document, and no other; its recipes work on a real one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from auditor.cli.application import run
from auditor.model.verdict import Note, Observed, Result
from auditor.report import as_json, registry
from auditor.report.as_junit import FAULTS
from tests.unit.cli.test_intent import INTENT
from tests.unit.cli.test_lint import DASH
from tests.unit.report.reports import small
from tests.unit.report.test_as_json import document, validator

PAGE = (Path(__file__).parents[3] / "docs/report.md").read_text(encoding="utf-8")
SCHEMAS = {
    name: validator(f"{name}.schema.json").schema
    for name in ("report", "expected", "lint", "intent-report", "scorecard", "comparison", "history", "difference")
}


def table(heading, text=PAGE):
    """The first column of the table whose header begins with ``heading``."""
    rows = re.search(rf"^\| {re.escape(heading)} \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row.split("|")[1].strip().strip("`") for row in rows[1].splitlines()]


def section(name):
    return PAGE[PAGE.index(f"### `audit.{name}/v1`") :]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_a_document_is_told(name):
    assert sorted(table("field", section(name))) == sorted(SCHEMAS[name]["properties"])


def test_every_field_of_a_cell_and_every_word_is_told():
    assert table("field of a cell") == list(SCHEMAS["report"]["$defs"]["cell"]["properties"])
    assert table("`observed`") == list(Observed)
    assert table("`result`") == list(Result)
    assert table("`notes`") == list(Note)


def test_what_fails_is_what_the_page_says():
    fails = {match[1] for match in re.finditer(r"^\| `([a-z-]+)` \|.*\| yes \|$", PAGE, re.MULTILINE)}
    assert fails == set(FAULTS)


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        (["expect"], "expected", 0),
        (["lint"], "lint", 1),
        (["intent", "--intent", "intent.yaml"], "intent-report", 1),
        (["run", "--dry-run", "-n", "prod"], "expected", 0),
    ],
)
def test_commands_print_the_document_that_the_page_says(arguments, name, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("policies.yaml").write_text(DASH)
    Path("intent.yaml").write_text(INTENT)
    assert run([*arguments, "-f", "policies.yaml", "-o", "json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == f"audit.{name}/v1"
    assert set(found) <= set(table("field", section(name)))


def test_fields_of_a_report_come_in_the_order_of_the_page():
    told = table("field", section("report"))
    found = list(document(small()))
    assert found == [field for field in told if field in found]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_recipes_work(tmp_path):
    with (tmp_path / "report.json").open("w", encoding="utf-8") as stream:
        as_json.render(small(), stream)
    recipes = [line.strip() for line in PAGE.splitlines() if line.startswith("    jq ")]
    said = [subprocess.check_output(shlex.split(recipe, comments=True), cwd=tmp_path, text=True) for recipe in recipes]
    assert said[0] == "fail\n"
    assert said[2].splitlines()[0] == "prod/web prod/db TCP/3306"
    assert len(said[3].splitlines()) == len(small().findings)


def test_the_page_lists_every_format_of_every_command():
    documents = {
        "audit run": registry.RUN,
        "audit run --dry-run": registry.DRY_RUN,
        "audit expect": registry.EXPECT,
        "audit explain": registry.EXPLAIN,
        "audit diff": registry.DIFF,
        "audit lint": registry.LINT,
        "audit compare": registry.COMPARE,
        "audit history": registry.HISTORY,
        "audit intent": registry.INTENT,
        "audit conformance": registry.CONFORMANCE,
    }
    rows = re.findall(r"^\| `(audit [^`]+)` \| [^|]+ \| `audit\.[^|]+ \|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE)
    listed = {
        command: {"table", "json", "yaml"}
        | ({"junit"} if junit.strip() else set())
        | set(re.findall("`([a-z]+)`", others))
        for command, junit, others in rows
    }
    assert listed == {command: set(registry.formats_of(document)) for command, document in documents.items()}
