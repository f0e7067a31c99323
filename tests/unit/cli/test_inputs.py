"""What commands make of input that says nothing, says it twice, or says more than they understand."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator
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
        (
            ["run", "--dry-run", "-n", "prod", "--policies-before", "before.yaml"],
            "--policies-before says nothing with --dry-run: nothing is seen that they could explain",
        ),
        (["run", "--lab", "demo", "--policies-before", "intent"], "is not a Kubernetes object: it needs apiVersion"),
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


def test_explain_says_what_a_name_is_that_is_no_endpoint(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: prod}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: job, namespace: prod}\nstatus: {phase: Succeeded}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: prod}\n"
        "spec: {type: ExternalName, externalName: x.org}\n"
    )
    file = str(tmp_path / "a.yaml")
    assert "prod/job is a pod that has finished" in said(capsys, 2, "explain", "-f", file, "prod/web", "prod/job", "80")
    assert "service/prod/out is an ExternalName, another name for a host" in said(
        capsys, 2, "explain", "-f", file, "prod/web", "service/prod/out", "80"
    )


NOWHERE = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
---
apiVersion: v1
kind: Pod
metadata: {name: db}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


def test_a_namespace_for_what_has_none(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(NOWHERE)
    (tmp_path / "intent.yaml").write_text(
        "schema: audit.intent/v1\nrules:\n"
        "- {name: r, from: prod/web, to: prod/db, verdict: denied}\notherwise: unspecified\n"
    )
    file = str(tmp_path / "a.yaml")
    assert run(["expect", "-n", "prod", "-f", file]) == 0
    assert "prod/web" in capsys.readouterr().out
    assert run(["explain", "-n", "prod", "-f", file, "web", "db", "80"]) == 0
    assert "prod/web -> prod/db" in capsys.readouterr().out
    assert run(["intent", "-n", "prod", "-f", file, "--intent", str(tmp_path / "intent.yaml")]) == 0
    assert run(["lint", "-n", "prod", "-f", file, "--fail-on", "error"]) == 0
    assert "sends TCP/80 nowhere" in said(capsys, 2, "explain", "-n", "prod", "-f", file, "web", "svc/db", "80")


@pytest.mark.parametrize(("verdict", "code"), [("allowed", 3), ("denied", 3)])
def test_an_intent_that_hangs_on_unknown_labels_is_inconclusive(tmp_path, verdict, code, capsys):
    (tmp_path / "a.yaml").write_text(
        NOWHERE.replace("name: web}", "name: web, namespace: other}").replace(
            "policyTypes: [Ingress]", "ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]"
        )
    )
    (tmp_path / "intent.yaml").write_text(
        "schema: audit.intent/v1\nrules:\n"
        f"- {{name: r, from: other/web, to: default/db, verdict: {verdict}}}\notherwise: unspecified\n"
    )
    paths = ["-f", str(tmp_path / "a.yaml"), "--intent", str(tmp_path / "intent.yaml")]
    assert run(["intent", *paths]) == code
    assert "in doubt: it depends on labels" in capsys.readouterr().out
    assert run(["explain", *paths[:2], "other/web", "default/db", "80"]) == 3
    capsys.readouterr()
    assert run(["expect", *paths[:2], "-o", "json"]) == 3
    assert "labels-unknown" in capsys.readouterr().out


@pytest.fixture
def broken(tmp_path):
    (tmp_path / "good.yaml").write_text(MANIFESTS)
    (tmp_path / "bad.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: bad, namespace: prod}\nspec: {podSelecto: {}}\n"
    )
    return str(tmp_path)


def test_keep_going_answers_and_marks_in_doubt_what_the_broken_policy_may_decide(broken, capsys):
    assert "bad.yaml:4: spec.podSelecto: unknown field" in said(capsys, 2, "expect", "-f", broken)
    assert run(["expect", "-f", broken, "--keep-going", "-o", "json"]) == 3
    output = capsys.readouterr()
    assert '"doubt":true' in output.out
    assert '"problems": [' in output.out
    assert "(left out)" in output.err
    assert run(["lint", "-f", broken, "--keep-going", "--fail-on", "error"]) == 3
    assert run(["explain", "-f", broken, "--keep-going", "prod/web", "prod/db", "3306"]) == 3
    assert "IN DOUBT" in capsys.readouterr().out


def test_keep_going_where_a_whole_file_cannot_be_read(broken, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("kind: NetworkPolicy\na: b: c\n")
    assert run(["expect", "-f", broken, "--keep-going", "-o", "json"]) == 3
    assert '"doubt":true' in capsys.readouterr().out


def test_exclude(broken, tmp_path, capsys):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bad.yaml").write_text((tmp_path / "bad.yaml").read_text())
    for globs in (["bad.yaml"], ["*/bad.yaml", "bad.*"], ["below", "bad.yaml"], ["below/", "ba?.yaml"]):
        options = [word for glob in globs for word in ("--exclude", glob)]
        assert run(["expect", "-R", "-f", broken, *options]) == 0
    text = said(capsys, 2, "expect", "-f", broken, "--exclude", "*")
    assert "file in this directory that --exclude leaves" in text


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs on a PATH of their own, which print MANIFESTS and leave what they were called with in ``called``."""
    where = tmp_path / "bin"
    where.mkdir()
    (tmp_path / "m.yaml").write_text(MANIFESTS)
    monkeypatch.setenv("PATH", str(where))

    def install(name, script=""):
        say_all = f'while IFS= read -r line; do echo "$line"; done < {tmp_path}/m.yaml'
        text = script or f'echo "$0 $*" >> {tmp_path}/called; {say_all}'
        (where / name).write_text(f"#!/bin/sh\n{text}\n")
        (where / name).chmod(0o755)
        return tmp_path / "called"

    return install


@pytest.mark.parametrize(
    ("program", "options", "called"),
    [
        ("kubectl", ["-k", "over/prod"], "kubectl kustomize over/prod"),
        ("kustomize", ["-k", "over/prod"], "kustomize build over/prod"),
        ("helm", ["--helm", "shop", "--values", "v.yaml"], "helm template shop --values v.yaml"),
        ("helm", ["--helm", "shop", "-n", "prod"], "helm template shop --namespace prod"),
    ],
)
def test_what_others_render_is_read(programs, program, options, called, capsys):
    log = programs(program)
    assert run(["expect", *options]) == 0
    assert "prod/web" in capsys.readouterr().out
    assert log.read_text().strip().endswith(f"/{called}")
    assert run(["lint", *options, "--fail-on", "error"]) == 0
    assert run(["explain", *options, "prod/web", "prod/db", "3306"]) == 0


def test_a_program_that_is_missing_or_fails_is_one_line(programs, capsys):
    assert said(capsys, 2, "expect", "-k", "d") == (
        "error: -k d: neither kubectl nor kustomize is on the PATH: install one, or render it elsewhere and give -f -\n"
    )
    assert "--helm c: helm is not on the PATH" in said(capsys, 2, "lint", "--helm", "c")
    programs("helm", "echo first >&2; echo 'Error: no such chart' >&2; exit 1")
    assert said(capsys, 2, "lint", "--helm", "c") == "error: helm template c failed: Error: no such chart\n"
    assert "--values goes with --helm" in said(capsys, 2, "expect", "-k", "d", "--values", "v")
    assert "not both" in said(capsys, 2, "expect", "-A", "-k", "d")


BROKEN = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {ingres: []}\n"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "leave it out with --exclude b0.yaml,"),
        (2, "leave them out with --exclude b0.yaml --exclude b1.yaml,"),
        (7, "leave them out with --exclude GLOB (once for each),"),
    ],
)
def test_what_is_broken_in_a_directory_can_be_left_out_and_that_is_said(tmp_path, capsys, number, said):
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    for each in range(number):
        (tmp_path / f"b{each}.yaml").write_text(BROKEN)
    for command in (("expect",), ("lint",), ("explain", "default/a", "default/a", "80")):
        assert run([command[0], "-f", str(tmp_path), *command[1:]]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert said in last
        assert "--keep-going" in last


def test_what_is_left_out_as_advised_is_no_more_than_what_is_broken(tmp_path, capsys):
    for folder, text in (("x", BROKEN), ("y", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yaml").write_text(text)
    options = ["-R", "-f", f"{tmp_path}/"]
    assert run(["expect", *options]) == 2
    assert "leave it out with --exclude x/a.yaml," in capsys.readouterr().err
    assert run(["expect", *options, "--exclude", "x/a.yaml"]) == 0
    assert "default/a" in capsys.readouterr().out


def test_only_the_version_of_policies_that_there_was_is_gone(tmp_path, capsys):
    path = tmp_path / "b.yaml"
    path.write_text(BROKEN.replace("networking.k8s.io/v1", "extensions/v1beta9"))
    assert run(["expect", "-f", str(path)]) == 2
    assert "extensions/v1beta9 has no NetworkPolicy: write networking.k8s.io/v1" in capsys.readouterr().err


def test_a_file_named_by_itself_is_not_to_be_left_out(tmp_path, capsys):
    path = tmp_path / "b.yaml"
    path.write_text(BROKEN)
    assert run(["expect", "-f", str(path)]) == 2
    assert "--exclude" not in capsys.readouterr().err


def test_explain_says_what_of_the_input_plays_no_part(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
    )
    (tmp_path / "values.yaml").write_text("a: 1\n")
    assert run(["explain", "-f", str(tmp_path), "default/a", "default/a", "80", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert "ignored: 1 ConfigMap" in said.err
    assert "skipped 1 values file" in said.err
    document = json.loads(said.out)
    assert document["ignored"] == {"ConfigMap": 1}
    assert [each["cause"] for each in document["skipped"]] == ["values"]


UNKNOWN = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: data}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: data}
spec:
  podSelector: {}
  ingress: [{from: [{namespaceSelector: {matchLabels: {env: prod}}}]}]
"""
NAMESPACES = "".join(
    f"\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{env: {name}}}}}\n"
    for name in ("prod", "data")
)


def test_lint_says_that_labels_are_not_known_and_ends_as_for_other_doubts(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text(UNKNOWN)
    assert run(["lint", "-f", str(path), "--fail-on", "error", "-o", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    validator("lint.schema.json").validate(document)
    (doubt,) = document["doubts"]
    assert doubt.startswith("labels-unknown: ")
    assert "namespace prod" in doubt
    assert run(["lint", "-f", str(path), "--fail-on", "error"]) == 3
    assert "in doubt: labels-unknown: " in capsys.readouterr().out
    path.write_text(UNKNOWN + NAMESPACES)
    assert run(["lint", "-f", str(path), "--fail-on", "error", "-o", "json"]) == 0
    assert "doubts" not in json.loads(capsys.readouterr().out)
