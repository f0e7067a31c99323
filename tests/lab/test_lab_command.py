"""``audit run`` with real packets: exit codes, output files, and, as a process of its own, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from auditor.cli.application import run
from tests.lab.troubled_lab import children_of
from tests.marking import slow
from tests.schemas import validator
from tests.unit.cli.audit_process import audit_process, environment

pytestmark = pytest.mark.lab

QUICK = ("run", "--lab", "demo", "--ports", "TCP/80,UDP/53", "--settle", "0.5")


def test_a_faultless_enforcer_passes():
    done = audit_process(*QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("PASS  ")
    assert "\x1b" not in done.stdout + done.stderr
    assert "probing: " in done.stderr


def test_a_faulty_enforcer_fails_and_the_reproduce_command_finds_it_again(capsys):
    code = run([*QUICK, "--enforcer", "enforces-nothing", "-q", "-o", "json"])
    said = capsys.readouterr()
    assert code == 1, said.err
    report = json.loads(said.out)
    validator("report.schema.json").validate(report)
    assert report["summary"]["leaks"] > 0
    command = report["findings"][0]["reproduce"].split()
    assert command[0] == "audit"
    assert run([*command[1:], "--settle", "0.5", "-q", "-o", "json"]) == 1
    assert {cell["result"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {"leak"}


INTENT = """
schema: audit.intent/v1
rules:
- {name: the API uses the database, from: prod/name=api-pod, to: prod/db, ports: [TCP/3306], verdict: allowed}
otherwise:
- {name: nobody else reaches the database, to: prod/db}
"""


def test_a_policy_that_is_enforced_and_not_meant_fails_too_and_is_told_apart(tmp_path, capsys):
    path = tmp_path / "intent.yaml"
    path.write_text(INTENT)
    dash = ("run", "--lab", "seed-extra-dash", "--ports", "TCP/3306", "-q")
    assert run(dash) == 0
    capsys.readouterr()
    as_json, as_junit = tmp_path / "report.json", tmp_path / "report.xml"
    formats = ("-o", "table", "-o", f"json={as_json}", "-o", f"junit={as_junit}")
    assert run([*dash, "--intent", str(path), *formats]) == 1
    told = capsys.readouterr().out
    assert told.startswith("FAIL  2 findings about the intent; ")
    assert "merge its two peers" in " ".join(told.split())
    report = json.loads(as_json.read_text())
    validator("report.schema.json").validate(report)
    assert (report["conclusion"], report["findings"], len(report["intent"])) == ("fail", [], 2)
    root = ET.parse(as_junit).getroot()  # noqa: S314 - our own output
    assert [suite.get("failures") for suite in root.iter("testsuite") if suite.get("name") == "intent"] == ["2"]


def test_a_wrong_intent_ends_before_anything_is_set_up(tmp_path, capsys):
    path = tmp_path / "intent.yaml"
    path.write_text(INTENT.replace("from:", "form:"))
    assert run(["run", "--lab", "demo", "--intent", str(path)]) == 2
    told = capsys.readouterr().err
    assert f"{path}:4: " in told
    assert "setting up" not in told


def test_the_output_file_holds_the_report(tmp_path, capsys):
    path = tmp_path / "report.xml"
    assert run([*QUICK, "-o", "junit", "--output-file", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert ET.parse(path).getroot().get("failures") == "0"  # noqa: S314 - we wrote it
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_exit_code_4_and_quiet_tells_no_progress(capsys):
    assert run([*QUICK, "-q", "-o", "json", "--output-file", "/dev/full"]) == 4
    assert capsys.readouterr().err == "error: --output-file /dev/full: no space left on device\n"


@pytest.mark.parametrize(
    ("number", "phase"),
    [
        (signal.SIGINT, "setting up the lab"),
        slow(signal.SIGTERM, "starting: "),
        slow(signal.SIGINT, "probing: "),
        (signal.SIGTERM, "retesting: "),
        slow(signal.SIGTERM, "setting up the lab"),
        slow(signal.SIGINT, "starting: "),
        slow(signal.SIGTERM, "probing: "),
        slow(signal.SIGINT, "retesting: "),
    ],
)
def test_an_interrupted_run_cleans_up_and_says_so(tmp_path, number, phase):
    command = [
        sys.executable,
        "-m",
        "auditor",
        *QUICK,
        "--settle",
        "60",
        "--enforcer",
        "ignores-ingress",
        "--output-file",
        tmp_path / "report",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    seen = []
    for line in process.stderr:
        seen.append(line.decode())
        if seen[-1].startswith(phase):
            children = _descendants(process.pid)
            process.send_signal(number)
            break
    shown, rest = process.communicate(timeout=60)
    assert seen, "a phase was told"
    assert seen[-1].startswith(phase), "".join(seen)
    assert (process.returncode, shown) == (130, b"")
    assert rest.decode().endswith("interrupted\n")
    assert not list(tmp_path.iterdir())
    assert not [pid for pid in children if _is_our_child(pid)]


def _descendants(pid):
    found = children_of(pid)
    return found + [deeper for child in found for deeper in _descendants(child)]


def _is_our_child(pid):
    try:
        return b"auditor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
