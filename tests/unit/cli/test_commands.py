"""Each command from its arguments to its output, on manifests in files."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from auditor.run.sources import scenario_names
from tests.schemas import validator
from tests.unit.cli.audit_process import audit_process

MANIFESTS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod, labels: {app: db}}
spec: {containers: [{name: c, ports: [{name: sql, containerPort: 3306}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: prod}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 3306}]
"""


@pytest.fixture
def manifests(tmp_path):
    path = tmp_path / "prod.yaml"
    path.write_text(MANIFESTS)
    return str(path)


def expected(capsys, *arguments):
    assert run(["expect", *arguments, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    validator("expected.schema.json").validate(document)
    return document


def cell(source, destination, protocol, port, verdict):
    return {
        "source": source,
        "destination": destination,
        "protocol": protocol,
        "port": port,
        "end_port": port,
        "verdict": verdict,
        "notes": [],
    }


def test_expect_by_class(manifests, capsys):
    document = expected(capsys, "-f", manifests)
    assert {endpoint["name"]: endpoint["class"] for endpoint in document["endpoints"]} == {
        "prod/web": 0,
        "prod/db": 1,
        "outside (any address)": 2,
    }
    to_db = [
        (each["port"], each["end_port"], each["verdict"])
        for each in document["cells"]
        if (each["source"], each["destination"]) == (0, 1)
    ]
    assert (3306, 3306, "allowed") in to_db
    assert (1, 3305, "denied") in to_db
    assert document["ignored"] == {"ConfigMap": 1}


def test_expect_expanded_for_named_ports(manifests, capsys):
    document = expected(
        capsys, "-f", manifests, "--expand", "--ports", "TCP/sql,TCP/80", "--from", "prod/web", "--to", "prod/db"
    )
    assert document["cells"] == [
        cell("prod/web", "prod/db", "TCP", 3306, "allowed"),
        cell("prod/web", "prod/db", "TCP", 80, "denied"),
    ]


def test_expect_with_a_host(manifests, capsys):
    document = expected(
        capsys, "-f", manifests, "--expand", "--ports", "TCP/3306", "--host", "backup=192.0.2.1", "--from", "host"
    )
    assert cell("host/backup", "prod/db", "TCP", 3306, "denied") in document["cells"]


def test_expect_as_a_table(manifests, capsys):
    assert run(["expect", "-f", manifests]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 endpoints in 2 groups, 1 policy; ignored: 1 ConfigMap",
        "",
        "Expected, from rows to columns:",
        "                         1 2 3",
        "1 prod/web               ● ◐ ●",
        "2 prod/db                ● ● ●",
        "3 outside (any address)  ● ·",
        "● every port allowed   ◐ some ports allowed   · no port allowed",
        "",
        "prod/web → itself, outside (any address)  every port",
        "prod/web → prod/db  TCP/3306",
        "prod/db → prod/web, itself, outside (any address)  every port",
        "outside (any address) → prod/web  every port",
        "Whatever is not allowed here is denied; -o json has every connection.",
    ]


def test_expect_reads_a_scenario(capsys):
    document = expected(capsys, "-f", "scenarios/demo.yaml")
    assert len(document["endpoints"]) > 5


def test_expect_reads_standard_input():
    done = audit_process("expect", "-f", "-", "-o", "json", stdin=MANIFESTS.encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["endpoints"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["expect", "-f", "{}", "--from", "nowhere"], "'nowhere' matches no endpoint"),
        (
            ["expect", "-f", "{}", "--ports", "TCP/htp"],
            "--ports TCP/htp: no destination declares a TCP port of this name",
        ),
        (
            ["expect", "-f", "{}", "-f", "scenarios/demo.yaml"],
            "scenarios/demo.yaml: a scenario is a whole cluster; give it alone",
        ),
        (["expect", "-f", "scenarios/demo.yaml", "--host", "b=10.9.9.9"], "--host goes with manifests"),
        (
            ["explain", "-f", "{}", "prod/wb", "prod/db", "TCP/1"],
            "no endpoint is called 'prod/wb': did you mean prod/web",
        ),
        (["explain", "-f", "{}", "prod/web", "prod/db", "TCP/http"], "prod/db declares no TCP port called 'http'"),
        (["run", "--lab", "demmo"], "no scenario is called 'demmo': did you mean demo"),
        (["run", "--lab", "demo", "--enforcer", "flawless"], "--enforcer: unknown enforcer 'flawless'"),
        (
            ["run", "--lab", "demo", "--enforcer", "stale@node-9"],
            "--enforcer: scenario demo has no node 'node-9': one of node-1, node-2",
        ),
        (["run", "--lab", "demo", "--from", "nowhere"], "'nowhere' matches no endpoint"),
        (["run", "--lab", "demo", "--ports", "TCP/nothing"], "no destination declares a TCP port of this name"),
        (["run", "--lab", "demo", "--output-file", "/absent/report"], "there is no directory /absent"),
        (["run", "--lab", "demo", "--dry-run", "-o", "junit"], "a dry run has no results"),
    ],
)
def test_input_that_makes_no_sense_is_one_line_and_exit_code_2(arguments, words, manifests, capsys):
    assert run([manifests if argument == "{}" else argument for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert len(shown.err.splitlines()) == 1
    assert words in shown.err


def test_every_problem_of_a_manifest_is_told(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text(
        MANIFESTS.replace("podSelector: {matchLabels: {app: db}}", "podSelektor: {}").replace(
            "port: 3306}", "port: 99999}"
        )
    )
    assert run(["expect", "-f", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in told] == [f"{path}:19", f"{path}:22"]


def test_explain_names_the_rule_that_allows(manifests, capsys):
    assert run(["explain", "-f", manifests, "prod/web", "prod/db", "TCP/sql"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ALLOWED  prod/web -> prod/db TCP/3306 IPv4"
    assert any("prod/db ingress[0]" in line for line in lines)


def test_explain_says_what_was_lacking(manifests, capsys):
    assert run(["explain", "-f", manifests, "prod/db", "prod/db", "80"]) == 0
    assert "a pod can always reach itself" in capsys.readouterr().out
    assert run(["explain", "-f", manifests, "prod/web", "prod/db", "80"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("DENIED  prod/web -> prod/db TCP/80 IPv4\n")
    assert "TCP/80 was asked for" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("text", "said"), [("", "no pod"), ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "only 1 ConfigMap")]
)
def test_an_input_without_endpoints_is_no_empty_matrix(tmp_path, capsys, text, said):
    path = tmp_path / "prod.yaml"
    path.write_text(text)
    assert run(["expect", "-f", str(path)]) == 2
    assert said in capsys.readouterr().err


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: prod}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
"""


def test_explain_follows_a_service_to_its_backend(tmp_path, capsys):
    path = tmp_path / "prod.yaml"
    path.write_text(MANIFESTS + SERVICE)
    assert run(["explain", "-f", str(path), "prod/web", "service/prod/db", "80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("service/prod/db TCP/80 is sent to prod/db TCP/3306")
    assert "ALLOWED  prod/web -> prod/db TCP/3306 IPv4" in lines
    assert run(["explain", "-f", str(path), "prod/web", "svc/prod/db", "81"]) == 2
    assert "sends TCP/81 nowhere: it has TCP/80" in capsys.readouterr().err
    assert run(["explain", "-f", str(path), "prod/web", "svc/prod/web", "80"]) == 2
    assert "there are: service/prod/db" in capsys.readouterr().err


def test_scenarios_lists_each_with_its_claim(capsys):
    assert run(["scenarios"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in scenario_names())
    assert "[claim holds]" in shown
    assert "[claim is wrong]" in shown


def test_a_dry_run_shows_the_plan_and_sends_nothing(capsys, monkeypatch):
    monkeypatch.setattr("auditor.cli.run_on_lab.run_interruptibly", lambda work: pytest.fail("a lab was started"))
    assert run(["run", "--lab", "demo", "--dry-run", "--ports", "TCP/80"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("DRY RUN  ")
    assert "Ports: TCP/80\n" in shown
    assert "Expected, from rows to columns:" in shown


def test_a_dry_run_as_json_is_the_expected_matrix(capsys):
    assert run(["run", "--lab", "demo", "--dry-run", "--ports", "TCP/80", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    validator("expected.schema.json").validate(document)
    assert {each["port"] for each in document["cells"]} == {80}


@pytest.mark.parametrize(
    "arguments", [["run", "--lab", "seed-final-yaml"], ["expect", "-f", "scenarios/seed-final-yaml.yaml"]]
)
def test_a_scenario_of_refused_manifests_has_nothing_to_evaluate(arguments, capsys):
    assert run(arguments) == 2
    assert "its manifests are refused" in capsys.readouterr().err
