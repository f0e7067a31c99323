from __future__ import annotations

import json
import subprocess
import sys

import pytest

from auditor.cli.application import run
from tests.unit.cli.audit_process import audit_process, environment
from tests.unit.kubernetes.fake_api import refused, silence
from tests.unit.kubernetes.objects import OBJECTS, manifests, policy

POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"


def test_expect_says_the_same_of_a_snapshot_as_of_what_kubectl_shows(api, tmp_path, capsys):
    saved, shown = tmp_path / "saved.json", tmp_path / "shown.json"
    shown.write_text(json.dumps(manifests(OBJECTS)), encoding="utf-8")
    assert run(["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), "-o", str(saved)]) == 0
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("saved 2 namespaces, 2 nodes, 6 pods, 3 services, 2 network policies; 9 requests, ")
    answers = []
    for path in (saved, shown):
        assert run(["expect", "-f", str(path), "--expand", "-o", "json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert {cell["verdict"] for cell in answers[0]["cells"]} == {"allowed", "denied"}


def test_as_a_process_it_writes_to_standard_output_without_a_warning(api, tmp_path):
    done = audit_process("snapshot", "-n", "prod", KUBECONFIG=api.kubeconfig(tmp_path))
    assert done.returncode == 0
    assert {item["metadata"].get("namespace") for item in json.loads(done.stdout)["items"]} == {None, "prod"}
    assert done.stderr.startswith("saved 1 namespaces, ")


def test_policies_that_are_not_evaluated_are_told(api, tmp_path, capsys):
    api.objects[POLICIES].append(policy("prod", "odd", {"podSelector": {}, "ingres": []}))
    api.groups["cilium.io"] = ("v2", ["ciliumnetworkpolicies"])
    api.objects["/apis/cilium.io/v2/ciliumnetworkpolicies"] = [policy("prod", "a", {})]
    saved = tmp_path / "saved.json"
    assert run(["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), "-o", str(saved)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(
        "warning: NetworkPolicy prod/odd: spec.ingres: unknown field 'ingres': did you mean ingress?"
    )
    assert lines[1].startswith("warning: 1 CiliumNetworkPolicy in the cluster: not evaluated")
    assert run(["expect", "-f", str(saved)]) == 2
    assert "spec.ingres: unknown field 'ingres'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-n", "nope"], 2, "there is no namespace 'nope' (-n nope)"),
        (["-n", "../secrets"], 2, "'../secrets' is not a valid namespace name"),
        (["-n", "prod", "-A"], 2, "-n and -A exclude each other"),
        (["--context", "x"], 2, "there is no context 'x': there is fake"),
        (["--request-timeout", "soon"], 2, "'soon' is not a valid duration: write 30s"),
        (["--qps", "0"], 2, "--qps"),
        (["-o", "/nowhere/file"], 2, "there is no directory /nowhere"),
        (["--request-timeout", "200ms"], 4, "no whole answer within 0.2 s"),
        ([], 4, "may not list networkpolicies.networking.k8s.io in all namespaces (403)"),
    ],
)
def test_what_goes_wrong_is_one_line_and_nothing_is_written(api, tmp_path, capsys, arguments, code, words):
    api.faults[POLICIES] = [silence if "200ms" in arguments else refused(403, "forbidden")]
    assert run(["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), *arguments]) == code
    captured = capsys.readouterr()
    assert not captured.out
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err


def test_a_failed_snapshot_leaves_the_file_as_it_was(api, tmp_path):
    saved = tmp_path / "saved.json"
    saved.write_text("before", encoding="utf-8")
    api.faults[POLICIES] = [refused(403)]
    assert run(["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), "-o", str(saved)]) == 4
    assert saved.read_text(encoding="utf-8") == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "saved.json"]


@pytest.mark.parametrize("arguments", [["--help"], ["snapshot", "--help"], ["expect", "--help"]])
def test_help_imports_no_client(arguments):
    script = f"""
import sys
from auditor.cli.application import run
code = run({arguments!r})
heavy = ("asyncio", "aiohttp", "kubernetes", "msgspec", "yaml")
print(code, [name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.stderr == "0 []\n"


def test_the_generated_groups_of_the_api_are_never_imported(api, tmp_path):
    arguments = ["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), "-o", str(tmp_path / "saved.json")]
    script = f"""
import sys
from auditor.cli.application import run
code = run({arguments!r})
generated = ("kubernetes.aio.client.api.", "kubernetes.aio.client.models.v1_")
print(code, [name for name in sys.modules if name.startswith(generated)])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.stdout == "0 []\n"
