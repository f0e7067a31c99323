from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from auditor import __version__
from auditor.cli.application import COMMANDS, run
from tests.unit.cli.audit_process import audit_process, environment

HEAVY = ("asyncio", "yaml", "rich", "msgspec", "auditor.policy", "auditor.run", "auditor.probing", "auditor.cluster")


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_help_imports_no_command():
    script = f"""
import sys
from auditor.cli.application import run
code = run(["--help"])
print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.stderr == "0 []\n"


def test_expect_imports_nothing_that_probes_or_diagnoses(tmp_path):
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: web}}", encoding="utf-8")
    heavy = ("asyncio", "auditor.run.audit", "auditor.diagnosis", "auditor.lint", "auditor.intent", "auditor.cluster")
    script = f"""
import sys
from auditor.cli.application import run
code = run(["expect", "-f", {str(tmp_path)!r}, "-o", "json"])
print(code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.stderr == "0 []\n"


def test_the_lab_is_not_made_to_wait_for_the_clients_of_a_cluster():
    heavy = ("kubernetes", "aiohttp", "auditor.cluster.kubernetes.client.config")
    script = f"""
import sys
from auditor.cli.application import run
code = run(["run", "--lab", "demo", "--dry-run"])
print(code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.stderr == "0 []\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_exists_under_its_name_and_has_help(name, capsys):
    assert import_module(f"auditor.cli.{name}").command.name == name
    assert run([name, "--help"]) == 0
    assert f"Usage: audit {name}" in capsys.readouterr().out


def test_version(capsys):
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no command is called 'nonsense'"),
        (["run"], "say what to audit: -n NAMESPACE, or -A for all namespaces, or --lab SCENARIO"),
        (["run", "--lab", "demo", "--ports", "TCP/0"], "port 0 in 'TCP/0' is outside 1-65535"),
        (["run", "--lab", "demo", "--ports", "TCP/80,ICMP/1"], "unknown protocol 'ICMP'"),
        (["run", "--lab", "demo", "--ports", ""], "is not a valid port"),
        (["run", "--lab", "demo", "--min-coverage", "101"], "--min-coverage"),
        (
            ["run", "--lab", "demo", "--accept-untested", "prod/none"],
            "--accept-untested prod/none: no policy has this name",
        ),
        (
            ["run", "--lab", "demo", "--dry-run", "--accept-untested", "db"],
            "--accept-untested db: no policy has this name",
        ),
        (
            ["run", "--lab", "demo", "--dry-run", "--accept-untested", "ClusterNetworkPolicy/none"],
            "--accept-untested ClusterNetworkPolicy/none: no policy has this name",
        ),
        (["run", "--lab", "demo", "--timeout", "0"], "--timeout"),
        (["run", "--lab", "demo", "-o", "xml"], "'xml' is not one of"),
        (["expect"], "give -f PATH to read files, or -n NAMESPACE or -A to read the live cluster"),
        (["expect", "-f", "x", "-o", "junit"], "'junit' is not one of"),
        (["expect", "-f", "x", "--host", "backup"], "write NAME=ADDRESS"),
        (["expect", "-f", "x", "--host", "backup=10.0.0"], "'10.0.0' is not a valid IPv4 or IPv6 address"),
        (["expect", "-f", "x", "--host", "b=10.0.0.1", "--host", "b=10.0.0.2"], "b has an IPv4 address already"),
        (["expect", "-f", "x", "--replicas", "0"], "--replicas"),
        (["explain", "-f", "x", "prod/web", "prod/db"], "Missing argument 'PORT'"),
        (["explain", "-f", "x", "prod/web", "prod/db", "TCP/x y"], "is not a valid port"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert len(shown.err.splitlines()) == 1
    assert words in shown.err


def test_no_command_shows_the_help_and_is_wrong_usage(capsys):
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_enforcers_lists_every_dialect_as_it_can_be_asked_for():
    done = audit_process("enforcers")
    assert done.returncode == 0
    assert "* slow:2 " in done.stdout
    assert "  rejects " in done.stdout


def test_a_full_device_as_standard_output_is_told():
    with Path("/dev/full").open("w") as full:
        done = audit_process("enforcers", stdout=full)
    assert (done.returncode, done.stderr) == (4, "error: standard output: no space left on device\n")


@pytest.mark.parametrize("arguments", [["enforcers"], ["--help"], ["run", "--help"]])
def test_a_closed_pipe_ends_it_quietly(arguments):
    command = [sys.executable, "-m", "auditor", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    process.stdout.close()
    try:
        assert process.stderr.read() == b""
        assert process.wait(60) == 4
    finally:
        process.stderr.close()


@pytest.mark.parametrize(
    ("typed", "said"), [("explane", "did you mean explain?"), ("xyzzy", "'audit --help' lists them")]
)
def test_a_command_that_is_none_is_told_which_there_are(typed, said, capsys):
    assert run([typed]) == 2
    assert capsys.readouterr().err == f"error: no command is called {typed!r}: {said}\n"
