"""What commands make of input that says nothing, says it twice, or says more than they understand."""

from __future__ import annotations

import pytest

from auditor.cli.application import run
from tests.unit.cli.audit_process import audit_process
from tests.unit.cli.test_commands import MANIFESTS
from tests.unit.cli.test_intent import INTENT
from tests.unit.cli.test_lint import ACCEPTED

ONLY_POLICY = MANIFESTS[MANIFESTS.index("apiVersion: networking") :]
CILIUM = """\
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: open, namespace: prod}
"""


@pytest.fixture
def files(tmp_path):
    for name, text in {
        "policy": ONLY_POLICY,
        "cilium": MANIFESTS + CILIUM,
        "empty": "# nothing\n",
        "intent": INTENT,
        "accepted": ACCEPTED % "2999-01-01",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return lambda name: str(tmp_path / f"{name}.yaml")


def said(capsys, code, *arguments):
    assert run(list(arguments)) == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "rest", [["expect"], ["explain", "prod/web", "prod/db", "80"], ["intent", "--intent", "intent"]]
)
def test_policies_without_pods_mean_nothing_yet_and_where_to_get_pods_is_said(files, rest, capsys):
    rest = [files(word) if word == "intent" and number else word for number, word in enumerate(rest)]
    text = said(capsys, 2, *rest, "-f", files("policy"))
    assert "no pod, workload, node or host in the input, only 1 NetworkPolicy" in text
    assert "kubectl get ns,pods,svc,netpol -A -o yaml" in text


def test_lint_of_nothing_is_no_success(files, capsys):
    assert "empty.yaml: no network policy and no pod" in said(capsys, 2, "lint", "-f", files("empty"))
    assert said(capsys, 0, "lint", "-f", files("policy"), "--fail-on", "error") == ""


@pytest.mark.parametrize(
    ("command", "option", "name"),
    [("intent", "--intent", "intent"), ("lint", "--suppressions", "accepted"), ("run", "--intent", "intent")],
)
def test_standard_input_is_one_file_only(files, command, option, name, capsys):
    dry = ["--dry-run", "-n", "prod"] if command == "run" else []
    text = said(capsys, 2, command, *dry, option, "-", "-f", "-")
    assert text == f"error: -: standard input can be read once only, and -f reads it: give {option} a file\n"


@pytest.mark.parametrize("command", ["expect", "lint", "explain", "intent"])
def test_policies_of_other_kinds_are_warned_of(files, command, capsys):
    rest = {
        "explain": ["prod/web", "prod/db", "3306"],
        "intent": ["--intent", files("intent")],
        "lint": ["--fail-on", "error"],
    }.get(command, [])
    run([command, "-f", files("cilium"), *rest])
    assert (
        "warning: 1 CiliumNetworkPolicy in the input not evaluated: what is expected may be wrong where such "
        "policies apply" in (capsys.readouterr().err)
    )


def test_a_service_without_its_namespace_is_told_how_to_write_it(files, capsys):
    text = said(capsys, 2, "explain", "-f", files("cilium"), "prod/web", "service/db", "80")
    assert "write service/NAMESPACE/NAME" in text


def test_an_address_is_told_how_to_give_it_a_name(files, capsys):
    text = said(capsys, 2, "explain", "-f", files("cilium"), "192.0.2.10", "prod/db", "80")
    assert "give it a name with --host NAME=192.0.2.10, and write host/NAME" in text


def test_standard_input_is_called_by_its_name():
    done = audit_process("lint", "-f", "-", "--fail-on", "error", stdin=ONLY_POLICY.encode())
    assert "of standard input" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["expect", "-f", "cilium", "--context", "prod"],
            "--context applies to live clusters only: leave out either it or -f",
        ),
        (["lint", "-f", "cilium", "--qps", "1"], "--qps applies to live clusters only: leave out either it or -f"),
        (
            ["run", "--dry-run", "-n", "prod", "-f", "cilium", "--as", "me"],
            "--as applies to live clusters only: leave out either it or -f",
        ),
        (
            ["expect", "-A", "--replicas", "3"],
            "--replicas goes with -f: a live cluster has the pods and nodes that it has",
        ),
        (
            ["intent", "-A", "--intent", "x", "-R"],
            "--recursive goes with -f: a live cluster has the pods and nodes that it has",
        ),
        (
            ["lint", "-A", "--host", "backup=192.0.2.1"],
            "--host goes with -f: a live cluster has the pods and nodes that it has",
        ),
        (["lint", "-n", "Prod"], "'Prod' is not a valid namespace name"),
        (["snapshot", "-o", "yaml"], "-o names a file here, and what it gets is JSON: write -o cluster.json"),
        (
            ["run", "--dry-run", "-n", "prod", "--intent", "intent"],
            "--intent says nothing with --dry-run: 'audit intent' sends no packet",
        ),
        (
            ["run", "--dry-run", "--lab", "demo", "--intent", "intent"],
            "--intent says nothing with --dry-run: 'audit intent' sends no packet",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(files, arguments, text, capsys):
    arguments = [
        files(word) if word in ("cilium", "intent") and number else word for number, word in enumerate(arguments)
    ]
    assert text in said(capsys, 2, *arguments)


def test_the_name_of_a_deployment_leads_to_its_pods(tmp_path, capsys):
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: prod}\n---\n"
    (tmp_path / "pods.yaml").write_text(
        "".join(pod % name for name in ("web-7d9f8b6c5-x2zqk", "web-7d9f8b6c5-b8lmn", "db-0", "wab"))
    )
    text = said(capsys, 2, "explain", "-f", str(tmp_path / "pods.yaml"), "prod/web", "prod/db-0", "80")
    assert (
        "no endpoint is called 'prod/web': did you mean prod/web-7d9f8b6c5-x2zqk or prod/web-7d9f8b6c5-b8lmn?" in text
    )
