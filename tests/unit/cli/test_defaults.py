"""Defaults from a project's file and from the environment, and completion of what there is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from auditor.cli.application import run
from tests.unit.testing.worlds import SHOP

POLICIES = str(SHOP / "manifests" / "app")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["netpol-audit.toml", "pyproject.toml"])
def test_a_file_sets_what_the_command_line_does_not(project, file, capsys):
    section = "lint" if file == "netpol-audit.toml" else "tool.netpol-audit.lint"
    (project / file).write_text(f'[{section}]\noutput = ["json"]\n')
    assert run(["lint", "-f", POLICIES]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert run(["lint", "-f", POLICIES, "-o", "table"]) == 0
    assert not capsys.readouterr().out.startswith("{")


def test_the_environment_does_too_and_goes_before_the_file(project, capsys, monkeypatch):
    (project / "netpol-audit.toml").write_text('[lint]\noutput = ["table"]\n')
    monkeypatch.setenv("AUDIT_LINT_OUTPUT", "json")
    assert run(["lint", "-f", POLICIES]) == 0
    assert capsys.readouterr().out.startswith("{")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[lint]\nfail_on = 'error'\n", "[lint] fail_on: not an option that it can set: "),
        ("[run]\ncontext = 'prod'\n", "[run]: only diff, expect, explain, intent, lint, test have defaults"),
        ("[lint]\nkubeconfig = 'x'\n", "[lint] kubeconfig: not an option that it can set"),
        ("[test]\nimage = 'x'\n", "[test] image: not an option that it can set"),
        ("[lint]\noutput-file = 'x'\n", "[lint] output-file: not an option that it can set"),
        ("lint = 3\n", "lint must be a table of options"),
        ("lint = [\n", "netpol-audit.toml: not TOML"),
        ("[lint]\nfail-on = 'sometimes'\n", "--fail-on"),
    ],
)
def test_what_a_file_may_not_say_is_refused(project, text, told, capsys):
    (project / "netpol-audit.toml").write_text(text)
    name = "test" if "[test]" in text else "lint"
    words = [POLICIES, "-f", POLICIES] if name == "test" else ["-f", POLICIES]
    assert run([name, *words]) == 2
    assert told in capsys.readouterr().err


def test_other_projects_files_are_nobodys_business(project, capsys):
    (project / "pyproject.toml").write_text("[project\nnot toml")
    assert run(["lint", "-f", POLICIES]) == 0


COMMANDS = ("audit", "netpol-audit")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_scripts_for_each_shell(shell, word, name, capsys):
    assert run(["completion", shell, "--name", name]) == 0
    script = capsys.readouterr().out
    assert word in script
    assert name in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [("audit li", 1, "lint"), ("audit lint --fail", 2, "--fail-on"), ("audit completion ", 2, "zsh")],
)
def test_the_shell_gets_an_answer(words, index, expected):
    asked = {"_AUDIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    done = subprocess.run(
        [sys.executable, "-m", "auditor"], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert f"plain,{expected}" in done.stdout.splitlines(), done.stderr
