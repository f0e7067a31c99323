"""``audit test``: intents as tests, in every format, with the exit codes of all commands."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
import yaml

from auditor.cli.application import run
from tests.unit.testing.worlds import ONLY_WEB, PODS, SHOP, written

RIGHT = "- {from: prod/web, to: prod/db, ports: [TCP/5432], verdict: allowed}\n"
WRONG = "- {name: 'the job, #skip', from: prod/job, to: service/prod/db, ports: [TCP/15432], verdict: allowed}\n"
UNSURE = "- {from: prod/web, to: prod/node, ports: [TCP/9100], verdict: denied}\n"
MISTAKEN = "- {from: prod/webb, to: prod/db, ports: [TCP/5432], verdict: denied}\n"


@pytest.fixture
def tried(tmp_path, capsys):
    """Runs the checks on manifests; gives the exit code, standard output and standard error."""
    manifests = written(tmp_path / "prod", PODS, ONLY_WEB)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "values.yaml").write_text("replicas: 1\n")

    def tried(checks, *more):
        (tmp_path / "tests" / "intent.yaml").write_text(f"schema: audit.intent/v1\nexpect:\n{checks}")
        code = run(["test", str(tmp_path / "tests"), "-f", manifests, *more])
        return code, *capsys.readouterr()

    return tried


@pytest.mark.parametrize(
    ("checks", "code", "counts"),
    [
        (RIGHT, 0, "1 passed, 0 failed, 0 inconclusive"),
        (RIGHT + WRONG + UNSURE, 1, "1 passed, 1 failed, 1 inconclusive"),
        (RIGHT + UNSURE, 3, "1 passed, 0 failed, 1 inconclusive"),
    ],
)
def test_the_table_and_the_exit_code(tried, checks, code, counts):
    done, out, _ = tried(checks)
    assert done == code
    assert counts in " ".join(out.split())
    assert ("ingress: prod/db-0 is isolated by prod/db" in out) is (code == 1)


def test_names_that_mean_nothing_are_wrong_input_with_their_places(tried):
    code, _, told = tried(RIGHT + MISTAKEN + MISTAKEN.replace("prod/webb", "prod/wep"))
    assert code == 2
    assert "intent.yaml:4: no endpoint is called 'prod/webb'" in told
    assert "intent.yaml:5: no endpoint is called 'prod/wep'" in told


def test_tap_is_one_line_for_each_with_reasons_in_yaml(tried):
    _, out, _ = tried(RIGHT + WRONG + UNSURE, "-o", "tap")
    assert out.startswith("TAP version 14\n1..3\nok 1 - ")
    assert "\nnot ok 2 - " in out
    assert "\\#skip" in out
    first = yaml.safe_load(out.split("  ---\n")[1].split("  ...\n")[0])
    assert first["conclusion"] == "fail"
    assert first["message"][1].startswith("prod/job -> service/prod/db TCP/15432 is denied")


def test_junit_tells_failures_from_errors(tried):
    _, out, _ = tried(RIGHT + WRONG + UNSURE, "-o", "junit")
    root = ET.fromstring(out)  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say where to try"),
        (["-f", "x", "--lab", "y"], "say where to try"),
        (["-f", "x", "-n", "shop"], "say where to try"),
        (["-f", "x", "--context", "y"], "--context goes with -n or -A"),
        (["--lab", "x", "--pod-network", "10.0.0.0/8"], "--pod-network goes with -f"),
        (["-n", "x", "--enforcer", "spec"], "--enforcer goes with --lab"),
        (["-f", "x", "--pod-network", "10.0.0.1/8"], "write a network such as"),
    ],
)
def test_where_to_try_is_one_place(words, told, capsys):
    assert run(["test", str(SHOP / "intent.yaml"), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_directory_without_an_intent_is_no_pass(tmp_path, capsys):
    (tmp_path / "values.yaml").write_text("replicas: 1\n")
    assert run(["test", str(tmp_path), "-f", str(SHOP / "manifests"), "-R"]) == 2
    assert "no intent, a file with schema" in capsys.readouterr().err
