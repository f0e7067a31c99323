"""What we hand out for other people's CI: each audit command in it runs as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.testing.worlds import SHOP
from tests.unit.tools.test_charts import call, tool

ROOT = SHOP.parents[1]
BROKEN = SHOP / "broken" / "open-api.yaml"


def github_commands():
    action = yaml.safe_load((ROOT / "ci/github/action.yml").read_text())
    workflow = yaml.safe_load((ROOT / "ci/github/workflow.yml").read_text())
    steps = [*action["runs"]["steps"], *(step for job in workflow["jobs"].values() for step in job["steps"])]
    return [step["run"] for step in steps if "audit " in step.get("run", "") and "pipx" not in step["run"]]


def gitlab_commands():
    jobs = yaml.safe_load((ROOT / "ci/gitlab-ci.yml").read_text())
    return [line for name, job in jobs.items() if name != "variables" for line in job.get("script", ())]


def hook_commands():
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return [" ".join([hook["entry"], *hook.get("args", ())]) for hook in hooks]


COMMANDS = [*github_commands(), *gitlab_commands(), *hook_commands()]
NEEDS_MORE = {"audit test": " intents -R -f manifests --pod-network 10.244.0.0/16"}
"""What users of a hook write under args."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A repository with the shop in it, two commits of which the second opens something, and audit on the PATH."""
    directory = tmp_path_factory.mktemp("project")
    shutil.copytree(SHOP / "manifests", directory / "manifests")
    (directory / "intents").mkdir()
    shutil.copy(SHOP / "intent.yaml", directory / "intents")
    programs = directory / ".bin"
    programs.mkdir()
    for name, line in (("audit", f'exec {sys.executable} -m auditor "$@"'), ("sudo", 'exec "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=directory, check=True)
    subprocess.run([*git, "add", "manifests"], cwd=directory, check=True)
    subprocess.run([*git, "commit", "-qm", "before"], cwd=directory, check=True)
    return directory


def environment(project):
    base = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True)
    return {
        **os.environ,
        "PATH": f"{project / '.bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MANIFESTS": "manifests",
        "TESTS": "intents",
        "POD_NETWORK": "10.244.0.0/16",
        "BASE": base.stdout.strip(),
        "NETPOL_MANIFESTS": "manifests",
        "NETPOL_TESTS": "intents",
        "NETPOL_POD_NETWORK": "10.244.0.0/16",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base.stdout.strip(),
    }


def run(command, project):
    command += NEEDS_MORE.get(command, "")
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in COMMANDS if "--lab" not in each and " -A " not in each])
def test_each_command_runs_and_notices_a_broken_policy_where_it_can(command, project):
    done = run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    if "$TESTS" in command or "$BASE" in command:
        policies = project / "manifests" / "app" / "policies.yaml"
        before = policies.read_text()
        policies.write_text(
            before.replace("tier: web}}\n    ports", "tier: web}}\n    - namespaceSelector: {}\n    ports")
        )
        done = run(command, project)
        policies.write_text(before)
        told = done.stdout + "".join(path.read_text() for path in project.glob("netpol-*.md"))
        assert "edge" in told
        assert done.returncode == ("audit test" in command), told + done.stderr


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in COMMANDS if "--lab" in each])
def test_the_lab_is_found_by_sudo(command, project):
    done = run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(project / "netpol-lab.xml").exists()


@pytest.mark.parametrize(
    ("workflow", "written", "instead", "complaint"),
    [
        (".github/workflows/release.yml", "", "", ""),
        ("ci/github/workflow.yml", "", "", ""),
        ("ci/github/workflow.yml", "manifests: deploy/", "manifest: ", 'input "manifest" is not defined'),
        ("ci/github/workflow.yml", "matrix.cni != ", "matrix.cn != ", 'property "cn" is not defined'),
    ],
)
def test_actionlint_takes_the_workflows_and_their_use_of_the_action(tmp_path, workflow, written, instead, complaint):
    """The action as one of the repository: so its inputs are held against those that the workflow gives."""
    (tmp_path / ".git").mkdir()
    shutil.copytree(ROOT / "ci/github", tmp_path / "ci/github")
    text = (ROOT / workflow).read_text().replace("OWNER/netpol-audit/ci/github@v0.1.0", "./ci/github")
    path = tmp_path / ".github" / "workflows" / "tried.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(written, instead))
    done = call(tool("actionlint"), "-no-color", path)
    assert done.returncode == bool(complaint), done.stdout
    assert complaint in done.stdout


def test_none_was_overlooked():
    assert len(COMMANDS) == 10
