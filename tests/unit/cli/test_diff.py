"""``audit diff`` from its arguments to its output and exit code, on directories and on revisions of a repository."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from auditor.cli.application import run

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SCHEMA = json.loads(files("auditor").joinpath("schemas/difference.schema.json").read_text(encoding="utf-8"))
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {0}, namespace: prod, labels: {{app: {0}}}}}
"""
SHOP = "---\n".join(
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n",
        *(POD.format(name) for name in ("web", "api", "db")),
        """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
""",
    ]
)


def git(where: Path, *arguments: str) -> str:
    known = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    names += ["-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *names, *arguments], cwd=where, check=True, capture_output=True, text=True, env={**os.environ, **known}
    )
    return done.stdout.strip()


def commit(where: Path, content: str, name: str = "deploy/sub/shop.yaml") -> None:
    path = where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", "change")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two revisions: the first lets web reach db, the second api."""
    where = tmp_path / "repository"
    where.mkdir()
    git(where, "init", "-q")
    commit(where, SHOP)
    commit(where, SHOP.replace("app: web}}}]", "app: api}}}]"))
    monkeypatch.chdir(where)
    return where


def compared(capsys, *arguments: str, code: int = 0):
    assert run(["diff", "-R", *arguments, "-o", "json"]) == code
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    return document


def ends(document) -> set[tuple[str, str, str]]:
    return {
        (each["kind"], source, destination)
        for each in document["changes"]
        for source in each["sources"]
        for destination in each["destinations"]
    }


CHANGED = {("opened", "prod/api", "prod/db"), ("closed", "prod/web", "prod/db")}


def test_two_revisions(repository, capsys) -> None:
    document = compared(capsys, "git:HEAD~1:deploy", "git:HEAD:deploy")
    assert ends(document) == CHANGED
    assert document["pairs"] == {"opened": 1, "closed": 1, "in-doubt": 0}
    assert document["changes"][0]["because"] == [
        "ingress: prod/db ingress[0] (git:HEAD:deploy/sub/shop.yaml:23): podSelector app=api, TCP/5432"
    ]


def test_a_revision_and_what_lies_in_the_directory(repository, capsys) -> None:
    (repository / "deploy/sub/shop.yaml").write_text(SHOP)
    assert ends(compared(capsys, "git:HEAD:deploy", "deploy")) == {
        ("opened", "prod/web", "prod/db"),
        ("closed", "prod/api", "prod/db"),
    }


@pytest.mark.parametrize("path", ["deploy/sub/shop.yaml", "deploy", "", ".", "./deploy/"])
def test_paths_in_a_revision(repository, capsys, path) -> None:
    assert ends(compared(capsys, f"git:HEAD~1:{path}", f"git:main:{path}")) == CHANGED


def test_from_below_the_root_paths_still_begin_there(repository, capsys, monkeypatch) -> None:
    monkeypatch.chdir(repository / "deploy")
    assert ends(compared(capsys, "git:HEAD~1:deploy", "git:HEAD:deploy")) == CHANGED


def test_a_bare_repository(repository, tmp_path, capsys, monkeypatch) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    monkeypatch.chdir(tmp_path / "bare.git")
    assert ends(compared(capsys, "git:HEAD~1:deploy", "git:HEAD:deploy")) == CHANGED


def test_a_shallow_clone(repository, tmp_path, capsys, monkeypatch) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    assert compared(capsys, "git:HEAD:deploy", "deploy")["changes"] == []
    assert run(["diff", "git:HEAD~1:deploy", "deploy"]) == 2
    assert "no revision 'HEAD~1': this clone is shallow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("git:nope:deploy", "git:nope:deploy: the repository has no revision 'nope'"),
        ("git:HEAD:nope", "git:HEAD:nope: nope is not in revision HEAD"),
        ("git:HEAD:deploy/sub/nope.yaml", "deploy/sub/nope.yaml is not in revision HEAD"),
        ("git:--help:deploy", "the repository has no revision '--help'"),
        ("git::deploy", "write git:REV:PATH"),
        ("git:", "write git:REV:PATH"),
        ("git:HEAD:/deploy", "begins at the root of the repository"),
        ("git:HEAD:../x", "begins at the root of the repository"),
        ("git:HEAD:deploy\0", "not a valid revision and path"),
        ("git:HEAD:de*", "de* is not in revision HEAD"),
    ],
)
def test_what_is_not_there_is_one_line(repository, capsys, text, words) -> None:
    assert run(["diff", "-R", text, "deploy"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_directory_without_files_says_how_to_look_below(repository, capsys) -> None:
    assert run(["diff", "git:HEAD:deploy", "git:HEAD:deploy"]) == 2
    assert "(--recursive reads the directories below it, too)" in capsys.readouterr().err


def test_outside_a_repository(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run(["diff", "git:HEAD:x", "git:HEAD:x"]) == 2
    assert "git:HEAD:x: this is not inside a git repository: run it in one" in capsys.readouterr().err


def test_without_git(repository, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert run(["diff", "git:HEAD:deploy", "deploy"]) == 2
    assert "git:HEAD:deploy: git is not on the PATH" in capsys.readouterr().err


def test_symbolic_links_are_not_followed(repository, tmp_path, capsys) -> None:
    (tmp_path / "secret.yaml").write_text(SHOP.replace("name: web", "name: spy"))
    (repository / "deploy/link.yaml").symlink_to(tmp_path / "secret.yaml")
    (repository / "around").symlink_to(tmp_path)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "links")
    assert compared(capsys, "git:HEAD~1:", "git:HEAD:")["workloads"] == {"added": [], "removed": []}
    assert run(["diff", "git:HEAD:deploy/link.yaml", "deploy"]) == 2
    assert "a symbolic link, which is not followed" in capsys.readouterr().err
    assert run(["diff", "git:HEAD:around/secret.yaml", "deploy"]) == 2
    assert "around/secret.yaml is not in revision HEAD" in capsys.readouterr().err


def test_what_is_excluded_is_left_out_of_revisions_too(repository, capsys) -> None:
    commit(repository, "not: [valid", "deploy/vendor/broken.yaml")
    commit(repository, SHOP.replace("name: web", "name: new").replace("app: web", "app: new"), "deploy/drafts/a.yaml")
    given = ("git:HEAD~2:deploy", "git:HEAD:deploy", "--exclude", "drafts", "--exclude", "vendor/*")
    assert compared(capsys, *given)["workloads"]["added"] == []


def test_two_revisions_of_a_scenario(tmp_path, monkeypatch, capsys) -> None:
    git(tmp_path, "init", "-q")
    text = (SCENARIOS / "demo.yaml").read_text()
    commit(tmp_path, text, "scenarios/demo.yaml")
    commit(
        tmp_path,
        text.replace("- {protocol: TCP, port: 443}", "- {protocol: TCP, port: 8443}", 1),
        "scenarios/demo.yaml",
    )
    monkeypatch.chdir(tmp_path)
    document = compared(capsys, "git:HEAD~1:scenarios/demo.yaml", "git:HEAD:scenarios/demo.yaml")
    into_web = [each for each in document["changes"] if "prod/web" in each["destinations"]]
    assert {(each["kind"], *(ports["port"] for ports in each["ports"])) for each in into_web} == {
        ("opened", 8443),
        ("closed", 443),
    }
    assert "outside (any other IPv4 address)" in {name for each in into_web for name in each["sources"]}


def test_manifests_beside_a_scenario_are_those_of_its_revision(tmp_path, monkeypatch, capsys) -> None:
    git(tmp_path, "init", "-q")
    scenario = (SCENARIOS / "demo.yaml").read_text()
    (tmp_path / "cases").mkdir()
    more = POD.format("late").replace("namespace: prod", "namespace: dev")
    commit(tmp_path, scenario.replace("objects:\n", "manifests: [../more.yaml]\nobjects:\n"), "cases/demo.yaml")
    commit(tmp_path, more, "more.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more.yaml").unlink()
    assert run(["diff", "git:HEAD~1:cases/demo.yaml", "git:HEAD:cases/demo.yaml"]) == 2
    assert "more.yaml is not in revision HEAD~1" in capsys.readouterr().err


@pytest.mark.parametrize(("fail_on", "code"), [("nothing", 0), ("opened", 1), ("closed", 1), ("any", 1)])
def test_what_fails(repository, capsys, fail_on, code) -> None:
    document = compared(capsys, "git:HEAD~1:deploy", "deploy", "--fail-on", fail_on, code=code)
    assert document["conclusion"] == ("fail" if code else "pass")


def test_what_only_closes_is_no_opening(repository, capsys) -> None:
    (repository / "deploy/sub/shop.yaml").write_text(SHOP.partition("  ingress:")[0])
    assert ends(compared(capsys, "git:HEAD:deploy", "deploy", "--fail-on", "opened")) == {
        ("closed", "prod/api", "prod/db")
    }
    compared(capsys, "git:HEAD:deploy", "deploy", "--fail-on", "any", code=1)


def test_doubt_is_no_opening_and_no_pass(repository, capsys) -> None:
    ranged = SHOP.replace("{podSelector: {matchLabels: {app: web}}}", "{ipBlock: {cidr: 10.0.0.0/8}}")
    (repository / "deploy/sub/shop.yaml").write_text(ranged)
    document = compared(capsys, "git:HEAD:deploy", "deploy", code=3)
    assert ("in-doubt", "prod/web", "prod/db") in ends(document)
    assert ("opened", "prod/web", "prod/db") not in ends(document)
    assert ("opened", "outside 10.0.0.0/8", "prod/db") in ends(document)


def test_standard_input_is_read_once(capsys) -> None:
    assert run(["diff", "-", "-"]) == 2
    assert "standard input can be read once only" in capsys.readouterr().err


def test_inputs_without_pods(tmp_path, capsys) -> None:
    (tmp_path / "a.yaml").write_text(SHOP.rpartition("---\n")[2])
    assert run(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert "no pod, workload, node or host in either" in capsys.readouterr().err


def test_as_a_table(repository, capsys) -> None:
    assert run(["diff", "-R", "git:HEAD~1:deploy", "git:HEAD:deploy"]) == 0
    assert [line.strip() for line in capsys.readouterr().out.splitlines()][:5] == [
        "PASS  connections opened between 1 pair of endpoints, closed between 1, in doubt",
        "between 0 (3 workloads and endpoints compared)",
        "Opened:",
        "prod/api → prod/db  TCP/5432",
        "ingress: prod/db ingress[0] (git:HEAD:deploy/sub/shop.yaml:23):",
    ]


def test_markdown_shows_no_markup_of_the_input(repository, capsys) -> None:
    commit(repository, SHOP.replace("{app: web}}}]", "{app: x_y_z}}}]").replace("port: 5432", "port: 5433"))
    commit(repository, SHOP.replace("{app: web}}}]", "{app: api}}}]"))
    assert run(["diff", "-R", "git:HEAD~1:deploy", "git:HEAD:deploy", "-o", "markdown"]) == 0
    said = capsys.readouterr().out
    assert "### Opened\n\n| from | to | ports | why |\n|---|---|---|---|\n| prod/api | prod/db | TCP/5432 |" in said
    assert "### Closed" in said
    assert "| \\[pods app=x\\_y\\_z in namespace prod\\] | prod/db | TCP/5433 |" in said


def test_very_many_changes_are_counted_and_not_all_told(tmp_path, capsys) -> None:
    pods = "---\n".join(POD.format(f"p{number}") for number in range(80))
    rules = "\n".join(
        f"  - {{from: [{{podSelector: {{matchLabels: {{app: p{number}}}}}}}], ports: [{{port: {1000 + number}}}]}}"
        for number in range(80)
    )
    closed = SHOP.rpartition("---\n")[2].partition("  ingress:")[0].replace("{matchLabels: {app: db}}", "{}")
    for name, policy in (("old", closed), ("new", f"{closed}  ingress:\n{rules}\n")):
        (tmp_path / f"{name}.yaml").write_text(f"{pods}---\n{policy}")
    given = [str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]
    assert run(["diff", *given, "--exclude", "x"]) in (0, 3)
    said = capsys.readouterr().out
    assert f"opened between {80 * 79:,} pairs" in said
    assert "more; -o json has them all" in said
    assert len(said.splitlines()) < 400


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("other", ["", POD.format("else")])
def test_where_nothing_is_in_both_nothing_is_known(tmp_path, capsys, other, reverse) -> None:
    """As where the command that should have rendered one of the two has failed, and wrote nothing."""
    for name, text in (("shop", SHOP), ("other", other)):
        (tmp_path / f"{name}.yaml").write_text(text)
    ends = [str(tmp_path / f"{name}.yaml") for name in ("shop", "other")]
    assert run(["diff", *(reversed(ends) if reverse else ends), "--fail-on", "opened"]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("INCONCLUSIVE")
    assert "Nothing was compared: no workload is in both." in shown


GUARD = """\
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress:
  - {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
"""
OF_A_TEAM = """\
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {kubernetes.io/metadata.name: prod}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod, labels: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: %s}}}]}]}
---
"""


def test_what_opens_to_absent_pods_is_told_beside_what_administrators_may_decide(tmp_path, capsys):
    for name, team in (("old", "one"), ("new", "two")):
        (tmp_path / f"{name}.yaml").write_text(OF_A_TEAM % team + GUARD)
    assert run(["diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "-o", "json"]) == 3
    changes = json.loads(capsys.readouterr().out)["changes"]
    ports = {(each["kind"], *each["sources"]): each["ports"] for each in changes}
    at_80 = [{"protocol": "TCP", "port": 80, "end_port": 80}]
    assert ports["in-doubt", "[pods in namespaces team=two]"] == at_80
    assert len(ports["opened", "[pods in namespaces team=two]"]) > 1
    assert len(ports["closed", "[pods in namespaces team=one]"]) > 1
