"""``--debug``, before the command or after it: what is asked of the cluster, on stderr, and nothing secret."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.unit.kubernetes.fake_api import refused

PODS = "/api/v1/pods"


@pytest.fixture
def snapshot(api, tmp_path, capsys):
    """Takes a snapshot of a cluster that is busy at first, with words around the command: stdout and stderr."""
    config = api.kubeconfig(tmp_path)

    def take(before=(), after=()):
        api.faults[PODS] = [refused(503, "busy", {"Retry-After": "0"})]
        assert run([*before, "snapshot", "--kubeconfig", config, *after]) == 0
        return capsys.readouterr()

    return take


@pytest.mark.parametrize("words", [{"before": ["--debug"]}, {"after": ["--debug"]}])
def test_each_request_and_retry_is_a_line(snapshot, words):
    told = snapshot(**words)
    lines = told.err.splitlines()
    assert any(line.startswith(f"debug: GET {PODS}: 503, ") for line in lines)
    assert any(line.startswith(f"debug: GET {PODS}: once more in ") for line in lines)
    assert any(line.startswith(f"debug: GET {PODS}: 200, ") for line in lines)
    assert "secret-token" not in told.err
    json.loads(told.out)


def test_the_environment_asks_for_it_too(snapshot, monkeypatch):
    monkeypatch.setenv("AUDIT_DEBUG", "1")
    assert f"debug: GET {PODS}: " in snapshot().err


def test_without_it_there_is_no_such_line_not_even_after_a_run_with_it(snapshot):
    snapshot(before=["--debug"])
    assert "debug:" not in snapshot().err


@pytest.mark.parametrize("words", [["--debug", "expect"], ["expect", "--debug"]])
def test_an_error_comes_with_its_traceback(words, capsys):
    assert run([*words, "-f", "/absent"]) == 2
    assert "Traceback (most recent call last):" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "enforcers", "cleanup"])
def test_help_lists_it_once(command, capsys):
    for _ in range(2):
        assert run([command, "--help"]) == 0
        assert capsys.readouterr().out.count("--debug") == 1
