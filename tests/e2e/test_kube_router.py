"""A third party's enforcer, kube-router, as it is: its known faults are found by a default run and named by their
mechanism, and nothing else is. Only with ``E2E_CNI=kube-router`` (docs/e2e.md); it runs on the nodes already.

``KNOWN_FAULTS`` are faults of the version that tests/e2e/cluster/common.sh names. Where one is no longer found, it was
mended, or that version changed: look, and take it out here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from auditor.model.dialect import Dialect
from tests.e2e import world
from tests.e2e.auditing import audit, left_behind
from tests.schemas import validator

KNOWN_FAULTS = {"e2e-shared": Dialect.SHARES_DIRECTIONS, "e2e-names": Dialect.NAMES_OF_ANY_POD}
"""By the namespace that shows each: as of 2.1.0, with both directions of a policy in one chain, and every number of a
name for every destination."""

FEW = ("rule-02-directions-apart", "rule-04-and-or", "rule-06-end-port", "rule-07-named-port-egress")


def shared(image):
    """Pods that everybody may reach may not therefore send to each other, nor the reverse; each policy selects two."""
    pods = {"web": "front", "cart": "front", "store": "back", "ledger": "back", "mail": "side", "print": "side"}
    return [
        *(
            one
            for name, group in pods.items()
            for one in world.workload("e2e-shared", name, image, labels={"group": group})
        ),
        world.policy(
            "e2e-shared",
            "front",
            {"group": "front"},
            ingress=[{"ports": [world.tcp(8080)]}],
            egress=[{"to": [world.peer({"app": "store"})], "ports": [world.tcp(9100)]}],
        ),
        world.policy(
            "e2e-shared",
            "back",
            {"group": "back"},
            ingress=[{"from": [world.peer({"app": "web"})], "ports": [world.tcp(9100)]}],
            egress=[{"ports": [world.tcp(8080)]}],
        ),
        world.policy("e2e-shared", "side", {"group": "side"}, ingress=[{"ports": [world.tcp(9100)]}], egress=[]),
        # These only tell the two pods of a group apart, so that each gets a probe pod.
        *(
            world.policy("e2e-shared", name, {"app": name}, ingress=[{"ports": [world.tcp(7000)]}])
            for name in ("cart", "ledger", "print")
        ),
    ]


def names(image):
    """A name is the number that the destination declares, not any pod's."""
    return [
        *(
            one
            for number in range(4)
            for one in world.workload("e2e-names", f"exporter-{number}", image, metrics=9100 + number)
        ),
        *(
            one
            for name in ("scraper", "pusher", "watcher")
            for one in (
                *world.workload("e2e-names", name, image),
                world.policy("e2e-names", name, {"app": name}, egress=[{"ports": [world.tcp("metrics")]}]),
            )
        ),
    ]


@pytest.fixture(scope="module")
def router(kubectl, image, request):
    """The programme that starts and stops it, with two namespaces that show its faults."""
    if os.environ.get("E2E_CNI") != "kube-router":
        pytest.skip("E2E_CNI=kube-router, with kube-router on the nodes: make e2e-kube-router")
    kubectl.apply(world.namespace(name) for name in KNOWN_FAULTS)
    kubectl.apply([*shared(image), *names(image)])
    for name in KNOWN_FAULTS:
        kubectl.run(
            "wait", "-n", name, "--for=condition=Available", "deployment", "--all", "--timeout=120s", patience=150
        )
    yield Path(request.config.getoption("--e2e-faults")).with_name("kube-router").absolute()
    kubectl.delete_namespaces(KNOWN_FAULTS)


@pytest.fixture(autouse=True)
def leaves_nothing(kubectl, router):
    yield
    assert left_behind(kubectl) == []


def report_on(kubectl, image, *more):
    """The exit code and the report of a run of the namespaces that ``more`` begins with."""
    done = audit(kubectl, "run", "--image", image, "-o", "json", "-q", *more)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def dialects(report):
    """The dialects of the cause that is named."""
    return {fault["dialect"] for fault in report["diagnosis"]["faults"]}


@pytest.mark.parametrize("namespace", KNOWN_FAULTS)
def test_each_known_fault_is_found_by_a_default_run_and_named_by_its_mechanism(kubectl, image, namespace):
    code, report = report_on(kubectl, image, "-n", namespace)
    assert code == 1
    assert dialects(report) == {KNOWN_FAULTS[namespace]}, report["diagnosis"]
    assert report["diagnosis"]["certain"]
    assert [fault["scope"] for fault in report["diagnosis"]["faults"]] == ["cluster"]
    assert report["diagnosis"]["unexplained"] == report["diagnosis"]["contradictions"] == []  # no other finding


def test_both_together_are_two_faults_and_explain_everything(kubectl, image):
    code, report = report_on(kubectl, image, "-n", "e2e-shared", "-n", "e2e-names")
    assert code == 1
    assert dialects(report) == set(KNOWN_FAULTS.values()), report["diagnosis"]
    assert report["diagnosis"]["unexplained"] == []


def test_conformance_names_both_features_and_both_dialects(kubectl, image):
    chosen = [word for name in FEW for word in ("--scenario", name)]
    done = audit(kubectl, "conformance", "--image", image, "-o", "json", "-q", *chosen)
    assert done.stdout, done.stderr
    card = json.loads(done.stdout)
    validator("scorecard.schema.json").validate(card)
    assert done.returncode == 1
    failed = {each["feature"] for each in card["features"] if each["summary"]["leaks"] or each["summary"]["outages"]}
    assert {"directions-apart", "named-ports"} <= failed
    assert not failed & {"both-selectors", "end-port", "namespace-selector"}, failed
    assert all(dialect in card["behaviour"] for dialect in KNOWN_FAULTS.values())
    assert "netpol-conf" not in card["behaviour"]


def test_a_node_where_it_was_killed_is_named(kubectl, image, router):
    pods = kubectl.items("pods", "-n", "e2e-shared", "-l", "group")
    [node, *_] = sorted(pod["spec"]["nodeName"] for pod in pods)
    subprocess.run([router, "stop", node], check=True, timeout=60)
    code, report = report_on(kubectl, image, "-n", "e2e-shared", "--per-node")
    assert code == 1
    faults = report["diagnosis"]["faults"]
    open_there = {"dialect": Dialect.ENFORCES_NOTHING, "scope": "node", "name": node}
    assert open_there in faults, report["diagnosis"]
    assert {fault["dialect"] for fault in faults} <= {Dialect.ENFORCES_NOTHING, Dialect.SHARES_DIRECTIONS}
