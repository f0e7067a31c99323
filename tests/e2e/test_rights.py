"""The rights that are shipped are enough for an audit, and each single one of them is missed, and said to be, where it is not granted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.e2e import world
from tests.e2e.auditing import audit, left_behind, run_arguments
from tests.e2e.kubectl import Object

MANIFEST = Path(__file__).parents[2] / "deploy" / "rbac.yaml"
OBJECTS = [item for item in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")) if item]
ACCOUNT = "system:serviceaccount:netpol-audit:netpol-audit"
READ, PROBE, CLEANUP = "netpol-audit-read", "netpol-audit-probe", "netpol-audit-cleanup"
RBAC = "rbac.authorization.k8s.io"


class Grant(NamedTuple):
    """One verb on one resource."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{self.group and '.' + self.group}"


def grants(name: str) -> list[Grant]:
    """All that the ClusterRole ``name`` of the manifest grants."""
    role = next(item for item in OBJECTS if (item["kind"], item["metadata"]["name"]) == ("ClusterRole", name))
    return [
        Grant(group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


FOREIGN = ("cilium.io", "crd.projectcalico.org", "projectcalico.org", "crd.antrea.io", "policy.networking.k8s.io")
"""Groups whose kinds a plain cluster does not have, so that nothing there can be missed."""
RUN = [grant for grant in grants(READ) + grants(PROBE) if grant.group not in FOREIGN]


def user(number: int) -> str:
    """Who has all that a run needs but ``RUN[number]``."""
    return f"e2e-without-{number}"


def role_and_binding(name: str, granted: list[Grant]) -> list[Object]:
    """A ClusterRole and the user of the same name who has it."""
    metadata = {"name": name, "labels": {"e2e": "rights"}}
    rules = [{"apiGroups": [group], "resources": [resource], "verbs": [verb]} for group, resource, verb in granted]
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
        },
    ]


@pytest.fixture(scope="module")
def rights(kubectl):
    """The manifest as it is shipped, and a user for each grant who lacks just that."""
    kubectl.apply(OBJECTS)
    for number, missing in enumerate(RUN):
        kubectl.apply(role_and_binding(user(number), [grant for grant in grants(READ) + grants(PROBE) if grant != missing]))
    yield
    kubectl.run("delete", "clusterrole,clusterrolebinding", "-l", "e2e=rights")
    kubectl.run("delete", "--ignore-not-found", "--wait", "-f", str(MANIFEST))


def test_the_shipped_rights_suffice(spec, rights, kubectl, image):
    done = audit(kubectl, *run_arguments(image, "--as", ACCOUNT))
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    assert left_behind(kubectl) == []
    done = audit(kubectl, "cleanup", "--as", ACCOUNT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", range(len(RUN)), ids=[str(grant).replace(" ", "-") for grant in RUN])
def test_each_right_is_needed(spec, rights, kubectl, image, number):
    missing = RUN[number]
    done = audit(kubectl, "run", "-n", world.PROD, "--image", image, "-q", "--as", user(number))
    lines = [line for line in (done.stdout + done.stderr).splitlines() if missing.resource in line]
    assert [line for line in lines if missing.verb in line or "could not be read" in line], done.stdout[-1500:] + done.stderr
    assert "Traceback" not in done.stderr
    kubectl.run("delete", "lease", "--all-namespaces", "-l", "app.kubernetes.io/managed-by=netpol-audit", "--ignore-not-found")
