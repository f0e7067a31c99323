"""Records in a ConfigMap on a real API server: night after night, and with the rights that ``audit rbac`` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from auditor.cli.application import audit as command
from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from tests.e2e import world
from tests.e2e.auditing import audit, left_behind, run_arguments
from tests.e2e.kubectl import Kubectl
from tests.e2e.test_reports import leaky
from tests.e2e.test_rights import Grant, role_and_binding

NAME = "e2e-nights"
PLACE = f"configmap://{world.OTHER}/{NAME}"
RIGHTS = [Grant("", "configmaps", verb) for verb in ("create", "get", "update")]


@pytest.fixture
def empty(shop: None, kubectl: Kubectl) -> Iterator[None]:
    """No record before the test, and none after it."""
    forget(kubectl)
    yield
    forget(kubectl)


def forget(kubectl: Kubectl) -> None:
    kubectl.run("delete", "configmap", "-n", world.OTHER, NAME, "--ignore-not-found")


def records(kubectl: Kubectl) -> list[str]:
    return sorted(kubectl.get("configmap", NAME, "-n", world.OTHER)["binaryData"])


def test_what_one_night_finds_is_known_in_the_next(plain, empty, kubectl, image):
    ages = []
    for _ in range(2):
        done = audit(kubectl, *run_arguments(image, "--history", PLACE, "--fail-on", "new", "--settle", "1"))
        assert done.stderr == ""
        found = json.loads(done.stdout)["comparison"]["findings"]
        ages.append((done.returncode, {each["age"] for each in found}))
    assert ages == [(1, {"incomparable"}), (0, {"known"})]
    assert len(records(kubectl)) == 2
    assert left_behind(kubectl) == []


def test_the_printed_rights_are_enough_and_each_is_needed(empty, kubectl, capsys):
    arguments = ["rbac", "-n", world.PROD, "--history", PLACE, "--service-account", f"{world.OTHER}/e2e-ring"]
    documents = CliRunner().invoke(command, arguments).output.split("---\n")
    mine = [text for text in documents if "name: e2e-ring-history\n" in text]
    assert len(mine) == 2
    kubectl.run("apply", "-f", "-", text="---\n".join(mine))
    users = {f"e2e-ring-{missing.verb}": [each for each in RIGHTS if each != missing] for missing in RIGHTS}
    made = [item for name, having in users.items() for item in role_and_binding(name, having, world.OTHER)]
    kubectl.apply(made)
    try:
        for _ in range(2):
            assert keep(kubectl, f"system:serviceaccount:{world.OTHER}:e2e-ring", capsys) == ""
        for verb in ("get", "update", "create"):
            if verb == "create":
                forget(kubectl)
            said = keep(kubectl, f"e2e-ring-{verb}", capsys)
            assert f"grant it the verb {verb} on configmaps" in said
            assert said.endswith("no record of this run is kept\n")
    finally:
        kubectl.run("delete", "-f", "-", text="---\n".join(mine))
        kubectl.run("delete", "rolebindings", "-n", world.OTHER, "-l", "e2e=rights")
        kubectl.run("delete", "clusterroles", "-l", "e2e=rights")


def keep(kubectl: Kubectl, user: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Keep the record of a night as ``user``; what was said of it."""
    connection = ConnectionOptions(kubeconfig=kubectl.kubeconfig, impersonate=user)
    after_run(leaky(), read_nightly(NightlyOptions(PLACE, connection=connection)))
    return capsys.readouterr().err
