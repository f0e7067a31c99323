"""The rights that are shipped are enough for each use, and each single one of them is missed, and said to be, where it
is not granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.e2e import world
from tests.e2e.auditing import audit, left_behind, run_arguments
from tests.e2e.enforcers.interface import Enforcer
from tests.e2e.kubectl import Kubectl, Object
from tests.e2e.test_conformance import FEW
from tests.marking import slow

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("rbac.yaml", "everywhere.yaml", "conformance.yaml", "admin-policies.yaml")
OBJECTS = [item for name in FILES for item in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")) if item]
ACCOUNT = "system:serviceaccount:netpol-audit:netpol-audit"
READ, SNAPSHOT, READ_NAMESPACE, PROBE, IN_PLACE, CLEANUP, CONFORMANCE = (
    f"netpol-audit-{use}"
    for use in ("read", "snapshot", "read-namespace", "probe", "in-place", "cleanup", "conformance")
)
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


OTHER_KINDS = (
    "cilium.io",
    "crd.projectcalico.org",
    "projectcalico.org",
    "crd.antrea.io",
    "policy.networking.k8s.io",
    "networking.k8s.aws",
    "gateway.networking.k8s.io",
)
"""Groups whose kinds a plain cluster does not have, so that nothing there can be missed."""
BY_NAME = Grant("", "namespaces", "get")
"""Only what reads a single namespace needs it."""


def here(*names: str) -> list[Grant]:
    """All that these ClusterRoles grant and that can be missed on this cluster by an audit."""
    return [grant for name in names for grant in grants(name) if grant.group not in OTHER_KINDS and grant != BY_NAME]


CHANGING = FEW
"""Scenarios that change policies, pods and namespaces, so that a run of them needs every right."""
USES = {
    "run": (here(READ, PROBE), ("run", "-n", world.PROD, "-q")),
    "in-place": (here(READ, IN_PLACE), ("run", "-n", world.PROD, "--in-place", "-q")),
    "snapshot": (
        [grant for grant in grants(READ_NAMESPACE) if grant.group not in OTHER_KINDS],
        ("snapshot", "-n", world.PROD),
    ),
    "snapshot-of-all": (here(SNAPSHOT), ("snapshot", "-A")),
    "cleanup": (here(CLEANUP), ("cleanup", "-n", world.OTHER, "--run", "0badcafe")),
    "conformance": (
        here(CONFORMANCE),
        ("conformance", "-q", *(word for name in CHANGING for word in ("--scenario", name))),
    ),
}
"""The rights that each use needs, and the command that is it."""
NOT_MISSED = {
    # Of what leads in from outside a run asks nothing.
    ("run", Grant("networking.k8s.io", "ingresses", "list")),
    ("run", Grant("networking.k8s.io", "ingressclasses", "list")),
    # Which of the two verbs is asked for depends on the API server's version.
    ("conformance", Grant("", "pods/exec", "create")),
    ("conformance", Grant("", "pods/exec", "get")),
    # A Lease is read only where its creation was answered by nobody, and others are looked for only where one is in the
    # way.
    ("conformance", Grant("coordination.k8s.io", "leases", "get")),
    ("conformance", Grant("coordination.k8s.io", "leases", "list")),
    # None of these few scenarios takes a policy away in the middle, and a Lease goes with its namespace: it is
    # deleted by itself only where a dead run's is in the way.
    ("conformance", Grant("networking.k8s.io", "networkpolicies", "delete")),
    ("conformance", Grant("coordination.k8s.io", "leases", "delete")),
    # Renewal comes after ten seconds, which these few scenarios may not last.
    ("conformance", Grant("coordination.k8s.io", "leases", "update")),
}
SINGLE = [
    (use, number)
    for use, (needed, _) in USES.items()
    for number in range(len(needed))
    if (use, needed[number]) not in NOT_MISSED
    # A run in place reads the cluster, too; a run with probe pods shows that each right to read is needed.
    and not (use == "in-place" and needed[number] in grants(READ))
]
SIDE_BY_SIDE = 3
"""Runs of conformance at a time."""
LEFT = {"app.kubernetes.io/managed-by": "netpol-audit", "netpol-audit/run": "0badcafe"}


def user(use: str, number: int | None = None) -> str:
    """Who has all that ``use`` needs, but its right ``number``."""
    return f"e2e-{use}-without-{number}" if number is not None else f"e2e-{use}"


def role_and_binding(name: str, granted: list[Grant], namespace: str = "") -> list[Object]:
    """A ClusterRole and the user of the same name who has it, everywhere or in ``namespace``."""
    metadata = {"name": name, "labels": {"e2e": "rights"}}
    rules = [{"apiGroups": [group], "resources": [resource], "verbs": [verb]} for group, resource, verb in granted]
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "metadata": {**metadata, **({"namespace": namespace} if namespace else {})},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
        },
    ]


@pytest.fixture(scope="module")
def rights(shop: None, kubectl: Kubectl) -> Iterator[None]:
    """The manifests as they are shipped, a user for each use, and one for each of its rights who lacks just that."""
    made = list(OBJECTS)
    for use, (needed, _) in USES.items():
        where = world.PROD if use == "snapshot" else ""
        for number in (None, *range(len(needed))):
            having = [grant for position, grant in enumerate(needed) if position != number]
            made += role_and_binding(user(use, number), having, where)
    kubectl.apply(made)
    yield
    for kind in ("clusterrolebindings", "clusterroles"):
        kubectl.run("delete", kind, "-l", "e2e=rights")
    kubectl.run("delete", "rolebindings", "-n", world.PROD, "-l", "e2e=rights")
    for name in FILES:
        kubectl.run("delete", "-f", str(DEPLOY / name), "--ignore-not-found")


def leave_something(kubectl: Kubectl) -> None:
    """What a run that is named has left in a namespace."""
    metadata: dict[str, Any] = {"namespace": world.OTHER, "labels": LEFT}
    seconds = {
        "leaseDurationSeconds": 30,
        "renewTime": "2020-01-01T00:00:00.000000Z",
        "holderIdentity": "somebody, run 0badcafe",
    }
    container = {"name": "agent", "image": "absent.invalid/none:1", "imagePullPolicy": "Never"}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {**metadata, "name": "netpol-audit-0badcafe"},
    }
    kubectl.apply([{**lease, "spec": seconds}])
    (uid,) = [
        item["metadata"]["uid"]
        for item in kubectl.items("leases", "-n", world.OTHER, "-l", "netpol-audit/run=0badcafe")
    ]
    metadata["ownerReferences"] = [
        {
            "apiVersion": lease["apiVersion"],
            "kind": "Lease",
            "name": "netpol-audit-0badcafe",
            "uid": uid,
            "controller": True,
        }
    ]
    kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "name": "netpol-audit-0badcafe"}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, "name": "netpol-audit-0badcafe-0"},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        ]
    )


def use_it(kubectl: Kubectl, image: str, use: str, name: str) -> tuple[int, str]:
    """The exit code of the command that is ``use``, called by ``name``, and all that it says."""
    if use == "cleanup":
        leave_something(kubectl)
    command = USES[use][1]
    images = ("--image", image) if command[0] in ("run", "conformance") else ()
    done = audit(kubectl, *command, *images, "--as", name)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def clear(kubectl: Kubectl) -> None:
    kubectl.run(
        "delete", "lease,configmap,pod", "-A", "-l", "app.kubernetes.io/managed-by=netpol-audit", "--ignore-not-found"
    )
    kubectl.run("delete", "namespaces", "-l", "netpol-audit/run", "--ignore-not-found")


def test_what_is_shipped_is_enough(spec, rights, kubectl, image):
    done = audit(kubectl, *run_arguments(image, "--as", ACCOUNT))
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    assert left_behind(kubectl) == []
    for command in (("cleanup",), ("snapshot",), ("snapshot", "-n", world.PROD)):
        done = audit(kubectl, *command, "--as", ACCOUNT)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("use", USES)
def test_each_role_is_enough_for_its_use(use, spec, rights, kubectl, image):
    code, said = use_it(kubectl, image, use, user(use))
    # In place, the shop's own processes answer: what comes of that is another test's business.
    assert code in ((0, 1, 3) if use == "in-place" else (0,)), said
    assert "may not" not in said
    assert left_behind(kubectl) == []


@pytest.fixture(scope="module")
def conformance_without(
    request: pytest.FixtureRequest, rights: None, enforcer: Enforcer, kubectl: Kubectl, image: str
) -> dict[int, str]:
    """What ``audit conformance`` says without each of its rights that a test of this session is about.

    Each run has namespaces of its own and mostly waits for them to come and go, so a few run side by side.
    """
    enforcer.use()
    enforcer.settle()
    numbers = [item.callspec.params["number"] for item in request.session.items if item.originalname == NEEDED]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        said = pool.map(lambda number: use_it(kubectl, image, "conformance", user("conformance", number))[1], numbers)
        told = dict(zip(numbers, said, strict=True))
    clear(kubectl)
    return told


def names_the_missing(said: str, use: str, number: int) -> bool:
    """Whether a line of ``said`` names the right ``number`` of ``use``, which its user lacks."""
    missing = USES[use][0][number]
    lines = [line for line in said.splitlines() if missing.resource in line]
    return any(missing.verb in line or "could not be read" in line for line in lines)


def named(rights: list[tuple[str, int]]) -> list[str]:
    """Tests' names for ``rights``."""
    return [f"{use}-{str(USES[use][0][number]).replace(' ', '-')}" for use, number in rights]


def some(rights: list[tuple[str, int]], one_in: int) -> list[object]:
    """Parameters of a test: one in so many by ``make e2e``, all of them by ``make e2e-all``."""
    return [slow(*each) if place % one_in else pytest.param(*each) for place, each in enumerate(rights)]


NEEDED = "test_conformance_needs_each_right"
CONFORMANCE_SINGLE = [each for each in SINGLE if each[0] == "conformance"]
OTHER_SINGLE = [each for each in SINGLE if each[0] != "conformance"]


@pytest.mark.parametrize(("use", "number"), some(OTHER_SINGLE, 10), ids=named(OTHER_SINGLE))
def test_each_right_is_needed(use, number, spec, rights, kubectl, image):
    try:
        _, said = use_it(kubectl, image, use, user(use, number))
        assert names_the_missing(said, use, number), said[-3000:]
    finally:
        clear(kubectl)


@pytest.mark.timeout(900)  # the first of them waits for the runs of all
@pytest.mark.parametrize(("use", "number"), some(CONFORMANCE_SINGLE, 12), ids=named(CONFORMANCE_SINGLE))
def test_conformance_needs_each_right(use, number, conformance_without):
    assert names_the_missing(conformance_without[number], use, number), conformance_without[number][-3000:]
