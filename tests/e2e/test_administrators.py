"""Administrators' policies of all three kinds on a real API server, around a tenant's own: what an audit finds with an
enforcer that knows them, with several that misunderstand them, while one changes, and without the right to read them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from auditor.model.dialect import Dialect, Enforcement
from auditor.model.ports import Protocol
from auditor.run.conformance.features import OF_ADMINISTRATORS as FEATURES_OF_TIERS
from auditor.run.conformance.features import TIER_NETWORKS
from tests.e2e import world
from tests.e2e.auditing import RUN_LABEL, Running, audit, in_cluster, left_behind, run_arguments, run_audit, wrong
from tests.e2e.enforcers.mirror import OF_ADMINISTRATORS, TIERS
from tests.e2e.kubectl import Kubectl, KubectlError, Object
from tests.e2e.test_rights import PROBE, READ, grants, role_and_binding
from tests.e2e.world import TENANT
from tests.marking import slow

SUBJECT = {"namespaces": {"matchLabels": {world.NAMESPACE_NAME: TENANT}}}
USER = "e2e-administrators"
DIALECTS = (
    (Dialect.PASS_IS_DENY, Dialect.IGNORES_BASELINE),
    slow((Dialect.IGNORES_ADMIN, Dialect.BASELINE_ALWAYS)),
    slow((Dialect.IGNORES_DENY, Dialect.PRIORITIES_REVERSED)),
    slow((Dialect.FIRST_RULE_ONLY, Dialect.NETWORK_POLICY_FIRST)),
    slow((Dialect.PASS_IS_ACCEPT, Dialect.IGNORES_NETWORKS)),
    slow((Dialect.RANGE_FIRST_PORT, Dialect.SPEC)),
)
"""One for each of two nodes."""
FEW = ("--from", f"{TENANT}/spy", "--to", f"{TENANT}/web", "--settle", "2")
"""What one run needs that is about something else than verdicts."""


def pods(name: str) -> Object:
    """The tenant's pods of this name, as a peer."""
    return {"pods": {"namespaceSelector": SUBJECT["namespaces"], "podSelector": {"matchLabels": {"app": name}}}}


def administrators(kind: str, version: str, name: str, **spec: object) -> Object:
    """A policy for the pods of the tenant."""
    spec = {"subject": SUBJECT, **spec}
    return {"apiVersion": f"{TIERS}/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


def at(**port: object) -> list[Object]:
    """TCP on this port, by its ``number``, or a ``range`` of them, as a rule says it."""
    return [{"tcp": {"destinationPort": port}}]


def guard(port: int = 80) -> Object:
    """Spies don't get at ``port``, which the tenant opens to everybody, clients not at some others of these, and nobody
    leaves for two of them; clients get at one that nobody opens.
    """
    rules = [
        {"name": "no spies", "action": "Deny", "from": [pods("spy")], "protocols": at(number=port)},
        {"action": "Deny", "from": [{"namespaces": {"matchLabels": {"team": "monitoring"}}}]},
        {"action": "Deny", "from": [pods("client")], "protocols": at(range={"start": 8084, "end": 8086})},
        {"action": "Accept", "from": [pods("client")], "protocols": at(number=7070)},
    ]
    leaving = [
        {"action": "Deny", "to": [{"networks": ["0.0.0.0/0", "::/0"]}], "protocols": at(number=8082)},
        {"action": "Deny", "to": [pods("web")], "protocols": at(number=8083)},
    ]
    spec = {"tier": "Admin", "priority": 10, "ingress": rules, "egress": leaving}
    return administrators("ClusterNetworkPolicy", "v1beta1", "e2e-guard", **spec)


def policies() -> list[Object]:
    """Each kind, and what the tenant opens."""
    passing = [{"action": "Pass", "from": [pods("client")]}]
    closed = [
        {"action": "Allow", "from": [pods("client")], "ports": [{"portNumber": {"protocol": "UDP", "port": 53}}]},
        {"action": "Deny", "from": [{"namespaces": {}}]},
    ]
    return [
        guard(),
        administrators("AdminNetworkPolicy", "v1alpha1", "e2e-passing", priority=20, ingress=passing),
        administrators("BaselineAdminNetworkPolicy", "v1alpha1", "default", ingress=closed),
        world.policy(TENANT, "opened", {"app": "web"}, ingress=[{"ports": [world.tcp(80), world.tcp(8080, 8090)]}]),
    ]


def workload(name: str, image: str) -> Object:
    """One pod on each node that takes pods."""
    (deployment, *_) = world.workload(TENANT, name, image)
    template = deployment["spec"]["template"]
    return {
        **deployment,
        "kind": "DaemonSet",
        "spec": {"selector": deployment["spec"]["selector"], "template": template},
    }


def until_served(kubectl: Kubectl) -> None:
    """Established, a kind may still take a moment until the API server takes objects of it."""
    items = [each for each in policies() if "namespace" not in each["metadata"]]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    for _ in range(30):
        with suppress(KubectlError):
            kubectl.run("apply", "--server-side", "--dry-run=server", "-f", "-", text=listed)
            return
        time.sleep(0.5)
    raise AssertionError("policies of administrators are not taken 15 s after their kinds were established")


@pytest.fixture(scope="module")
def definitions(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[None]:
    """The kinds, installed for this file, into a cluster that did without them."""
    folder = request.config.getoption("--e2e-policy-crds")
    if not folder or not any(Path(folder).glob("*.yaml")):
        pytest.skip("needs --e2e-policy-crds DIR; tests/e2e/cluster/policy-crds gets them")
    done = audit(kubectl, "snapshot", "-A")
    assert (done.returncode, "of administrators" in done.stderr) == (0, False), done.stderr
    kubectl.run("apply", "--server-side", "-f", folder)
    kubectl.run("wait", "--for=condition=Established", "--timeout=60s", "crd", *OF_ADMINISTRATORS)
    until_served(kubectl)
    yield
    kubectl.run("delete", "--ignore-not-found", "--timeout=60s", "-f", folder)


def conformance(image: str, *names: str) -> tuple[str, ...]:
    """The arguments of conformance with the scenarios that are about such policies and called ``names``."""
    chosen = [word for name in names for word in ("--scenario", f"rule-16-{name}")]
    return ("conformance", "--admin-policies", "--image", image, "-o", "json", "--settle", "2", *chosen)


def of_administrators(kubectl: Kubectl) -> list[str]:
    """The policies of administrators of any run that are there."""
    found = kubectl.items(",".join(OF_ADMINISTRATORS), "-l", RUN_LABEL)
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def test_conformance_tries_them_where_nothing_else_matters(definitions, faulty, kubectl, image):
    faulty.use()
    faulty.settle()
    done = audit(kubectl, *conformance(image, "first-match", "networks-and-nodes", "older-kinds"), "-q")
    card = json.loads(done.stdout)
    assert (done.returncode, card["behaviour"]) == (0, "this CNI behaves like: spec"), done.stderr
    shown = {each["feature"]: each["score"] for each in card["features"]}
    assert {shown.get(feature.name) for feature in FEATURES_OF_TIERS if feature != TIER_NETWORKS} == {"conforms"}
    assert any(fact.startswith("SKIPPED 1 scenario (rule-16-networks-and-nodes)") for fact in card["facts"])
    assert of_administrators(kubectl) == []

    faulty.use("ignores-admin-policies")
    done = audit(kubectl, *conformance(image, "tiers-in-order"), "-q")
    card = json.loads(done.stdout)
    assert (done.returncode, card["behaviour"]) == (1, "this CNI behaves like: spec except ignores-admin-policies")
    assert [each["score"] for each in card["features"] if each["feature"] == "admin-tier"] == ["departs"]
    assert of_administrators(kubectl) == []
    assert left_behind(kubectl, patience=90) == []


@pytest.mark.slow
def test_after_a_kill_of_conformance_they_go_with_the_namespace_that_owns_them(definitions, faulty, kubectl, image):
    faulty.use()
    with Running.of(kubectl, *conformance(image, "older-kinds")) as running:
        running.until("probing")
        running.kill()
    assert of_administrators(kubectl) != []
    kept = [item.partition(" ")[2] for item in in_cluster(kubectl) if item.startswith("Namespace ")]
    (home,) = {name for name in kept if name.count("-") == 2}
    kubectl.run("delete", "namespace", home, "--timeout=60s")
    for kind in OF_ADMINISTRATORS:
        kubectl.run("wait", "--for=delete", kind, "-l", RUN_LABEL, "--timeout=60s")
    assert of_administrators(kubectl) == []
    done = audit(kubectl, "cleanup", "--run", home.rpartition("-")[2])
    assert done.returncode == 0, done.stderr
    assert left_behind(kubectl, patience=90) == []


@pytest.fixture(scope="module")
def tenant(definitions: None, kubectl: Kubectl, image: str) -> Iterator[None]:
    """The tenant, with pods on each worker, and all policies."""
    kubectl.apply([world.namespace(TENANT)])
    kubectl.apply([*(workload(name, image) for name in ("web", "client", "spy")), *policies()])
    for name in ("web", "client", "spy"):
        kubectl.run("rollout", "status", "-n", TENANT, f"daemonset/{name}", "--timeout=120s", patience=150)
    yield
    kubectl.delete_namespaces([TENANT])


def test_an_enforcer_of_the_tiers_passes(tenant, spec, kubectl, image):
    audited = run_audit(kubectl, image, namespace=TENANT)
    assert wrong(kubectl, audited, Enforcement()) == []
    assert audited.code == 0, audited.report["findings"]
    summary = audited.report["summary"]
    assert (summary["policies"], summary["policies_tested"]) == (len(policies()), len(policies())), audited.report
    assert audited.report["deciding_nothing"] == []
    expected = {
        (cell.source.partition("/")[2], cell.destination.partition("/")[2], cell.port): one["expected"]
        for cell, one in audited.results().items()
        if cell.protocol is Protocol.TCP
    }
    assert expected["spy", "web", 80] == "denied"  # the tenant opens it
    assert expected["client", "web", 80] == "allowed"  # passed on to the tenant
    assert expected["spy", "web", 8080] == "allowed"  # of nobody's concern but the tenant's
    assert expected["client", "spy", 80] == "denied"  # passed on, and the tenant has nothing to say
    assert left_behind(kubectl) == []


@pytest.mark.parametrize("dialects", DIALECTS, ids="+".join)
def test_dialects_on_one_node_each_are_named(dialects, tenant, faulty, kubectl, image):
    nodes = sorted({pod["spec"]["nodeName"] for pod in kubectl.items("pods", "-n", TENANT)})
    wrongly = ((dialect, node) for dialect, node in zip(dialects, nodes, strict=False) if dialect is not Dialect.SPEC)
    given = [f"{dialect}@{node}" for dialect, node in wrongly]
    faulty.use(*given)
    audited = run_audit(kubectl, image, "--all-pods", namespace=TENANT)
    assert wrong(kubectl, audited, Enforcement.parse(given)) == []
    assert audited.code == 1, audited.complaints
    diagnosis = audited.report["diagnosis"]
    assert {f"{fault['dialect']}@{fault['name']}" for fault in diagnosis["faults"]} == {*given}, diagnosis
    assert (diagnosis["alternatives"], diagnosis["unexplained"]) == ([], []), diagnosis


def test_one_that_changes_during_a_run_is_noticed(tenant, spec, kubectl, image):
    arguments = run_arguments(image, *FEW, namespace=TENANT)
    with Running.of(kubectl, *(each for each in arguments if each != "-q")) as running:
        running.until("probing")
        kubectl.apply([guard(8080)])
        try:
            code, report, complaints = running.end()
        finally:
            kubectl.apply([guard()])
    assert not any(report["summary"][fault] for fault in ("leaks", "outages", "unstable")), complaints
    assert code in (0, 3), complaints
    assert any("policies or namespaces changed during the run" in fact for fact in report["facts"]), report["facts"]


def test_the_shipped_rights_are_enough_and_each_is_needed(tenant, spec, kubectl, image):
    needed = [grant for grant in grants(READ) if grant.group == TIERS]
    assert len(needed) == len(OF_ADMINISTRATORS) * len(("list", "watch"))
    others = [grant for grant in (*grants(READ), *grants(PROBE)) if grant not in needed]
    try:
        kubectl.apply(role_and_binding(USER, [*others, *needed]))
        done = audit(kubectl, "snapshot", "-A", "--as", USER)
        assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
        for missing in (grant for grant in needed if grant.verb == "list"):
            kubectl.apply(role_and_binding(USER, [*others, *(grant for grant in needed if grant != missing)]))
            done = audit(kubectl, "snapshot", "-A", "--as", USER)
            assert f"{missing.resource}.{TIERS}" in done.stderr
        kubectl.apply(role_and_binding(USER, [*others, *(grant for grant in needed if grant.verb == "list")]))
        done = audit(kubectl, *run_arguments(image, *FEW, "--as", USER, namespace=TENANT))
        print(done.returncode, done.stderr, done.stdout[-3000:])
        assert any(kind in done.stdout + done.stderr for kind in OF_ADMINISTRATORS)
    finally:
        for kind in ("clusterrolebindings", "clusterroles"):
            kubectl.run("delete", kind, "-l", "e2e=rights")
