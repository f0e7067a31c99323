"""What an audit finds, with the lab's enforcer on the nodes: nothing against the specification, and each dialect as its
definition says.
"""

from __future__ import annotations

import pytest

from auditor.model.dialect import FAULTLESS, OF_TIERS, Dialect, Enforcement
from tests.e2e import world
from tests.e2e.auditing import left_behind, run_audit, wrong
from tests.e2e.live import read_world
from tests.marking import slow

EVERYWHERE = [
    dialect
    for dialect in Dialect
    if dialect not in FAULTLESS | OF_TIERS and dialect not in (Dialect.STALE, Dialect.SLOW, Dialect.FLAKY)
]
ON_ONE_NODE = (Dialect.IGNORES_EGRESS, Dialect.IGNORES_INGRESS, Dialect.ENFORCES_NOTHING, Dialect.STATELESS)
IN_EVERY_RUN = (Dialect.ENFORCES_NOTHING, Dialect.IGNORES_END_PORT, Dialect.STATELESS, Dialect.SHUTS_PODS)
"""A few: the others do the same to packets here as in the lab, and ``make e2e-all`` plays them as well."""
INVISIBLE = (Dialect.IGNORES_IPV6, Dialect.SHARES_DIRECTIONS, Dialect.NAMES_OF_ANY_POD)
"""What probe pods of one family can't meet, the other family; and what changes nothing between the pods of the shop."""


def test_an_enforcer_of_the_specification_passes(spec, kubectl, image):
    audited = run_audit(kubectl, image, seconds=True)
    assert wrong(kubectl, audited, Enforcement()) == []
    assert audited.code == 0, audited.report["findings"]
    assert left_behind(kubectl) == []
    inside = {(cell["source"], cell["destination"]) for cell in audited.report["cells"] if cell["expected"] == "denied"}
    workloads = [f"{world.PROD}/{name}" for name in ("api", "web")]
    assert inside >= {(name, f"{name}-2") for name in workloads}, "what pods alike send each other is tried"


def test_an_enforcer_that_rejects_passes(faulty, kubectl, image):
    faulty.use(Dialect.REJECTS)
    audited = run_audit(kubectl, image)
    assert wrong(kubectl, audited, Enforcement()) == []
    assert audited.code == 0, audited.report["findings"]


INSIDE_PODS = (Dialect.BLOCKS_SELF, Dialect.BLOCKS_OWN_NODE)
TRIES_INSIDE_PODS = 4
"""Rules of these go into each new pod after the pod runs: where the first probe is quicker, nothing is blocked yet, so
all is as expected or links fall silent in the middle.
"""


@pytest.mark.parametrize(
    "dialect", [one if one in IN_EVERY_RUN else slow(one) for one in EVERYWHERE], ids=[str(one) for one in EVERYWHERE]
)
def test_a_dialect_is_found(faulty, kubectl, image, dialect):
    faulty.use(dialect)
    for _ in range(TRIES_INSIDE_PODS if dialect in INSIDE_PODS else 1):
        audited = run_audit(kubectl, image)
        found_wrong = wrong(kubectl, audited, Enforcement.parse((dialect,)))
        if dialect is Dialect.BLOCKS_OWN_NODE:  # its rules know nodes by their own addresses, and kubelets have others
            found_wrong = [text for text in found_wrong if "'source': 'node/" not in text]
        if not found_wrong:
            break
    assert found_wrong == []
    expected = 0 if dialect in (*INVISIBLE, Dialect.BLOCKS_OWN_NODE) else 1
    assert audited.code == expected, audited.complaints


@pytest.mark.parametrize("dialect", [ON_ONE_NODE[0], *map(slow, ON_ONE_NODE[1:-1]), ON_ONE_NODE[-1]])
def test_a_dialect_on_one_node_is_found(faulty, kubectl, image, dialect):
    node = kubectl.items("pods", "-n", world.PROD, "-l", "app=web")[0]["spec"]["nodeName"]
    faulty.use(f"{dialect}@{node}")
    audited = run_audit(kubectl, image, "--per-node")
    assert wrong(kubectl, audited, Enforcement.parse((f"{dialect}@{node}",))) == []
    assert audited.code == 1, audited.complaints


def test_a_stale_enforcer_is_found(faulty, kubectl, image):
    faulty.use(Dialect.STALE)
    before = read_world(kubectl).policies
    opened = world.policy(world.PROD, "opened", {"app": "db"}, ingress=[{}])
    kubectl.apply([opened])
    try:
        faulty.settle()
        audited = run_audit(kubectl, image)
        assert wrong(kubectl, audited, Enforcement.parse(("stale",)), before) == []
    finally:
        kubectl.run("delete", "networkpolicy", "-n", world.PROD, "opened")
        faulty.settle()
    assert audited.code == 1
    assert audited.report["summary"]["outages"] > 0


def test_a_slow_enforcer_is_waited_for(faulty, kubectl, image):
    faulty.use("slow:2")
    audited = run_audit(kubectl, image, "--settle", "8")
    assert wrong(kubectl, audited, Enforcement()) == []
    assert audited.code == 0, audited.report["findings"]


def test_a_slow_enforcer_leaves_new_pods_open_and_that_is_found(faulty, kubectl, image):
    faulty.use("slow:3")
    audited = run_audit(kubectl, image, "--late-isolation", "1")
    assert audited.code == 1
    assert any("after their start" in fact for fact in audited.report["facts"])
    assert any("some of it was open for up to" in fact for fact in audited.report["facts"])
    assert any("after the start" in finding["title"] for finding in audited.report["findings"])
    faults = [one for one in audited.results().values() if one["result"] != "match"]
    assert {(one["result"], one["expected"]) for one in faults} == {("unstable", "denied")}
    faulty.use()
    audited = run_audit(kubectl, image, "--late-isolation", "1")
    assert audited.code == 0, audited.report["findings"]
    assert any("all of it was closed" in fact for fact in audited.report["facts"])


@pytest.mark.slow
def test_an_enforcer_that_is_too_slow_is_found(faulty, kubectl, image):
    faulty.use("slow:60")
    audited = run_audit(kubectl, image)
    assert wrong(kubectl, audited, Enforcement.parse(("enforces-nothing",))) == []
    assert audited.code == 1


@pytest.mark.slow
def test_a_flaky_enforcer_is_found(faulty, kubectl, image):
    faulty.use("flaky:0.5")
    audited = run_audit(kubectl, image)
    assert wrong(kubectl, audited, Enforcement.parse(("flaky:0.5",))) == []
    assert audited.code == 1
    assert audited.report["summary"]["unstable"] > 0
