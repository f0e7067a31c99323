"""Checks by policies alone: what is reached, what is denied, and that nothing else passes for either."""

from __future__ import annotations

import shlex

import pytest

from auditor.cli.application import run
from auditor.model.errors import InputError, UsageError
from auditor.testing import InconclusiveError, netpol_cells, netpol_manifests
from tests.unit.testing.worlds import NOBODY, ONLY_WEB, PODS, SHOP, written


@pytest.fixture
def prod(tmp_path):
    return netpol_manifests(written(tmp_path / "prod", PODS, ONLY_WEB))


@pytest.mark.parametrize("source", ["prod/web", "prod/web-0", "deploy/prod/web", "prod/app=web", "pod/prod/web-1"])
@pytest.mark.parametrize(
    ("destination", "port"), [("prod/db", 5432), ("prod/app=db", "TCP/main"), ("service/prod/db", 15432)]
)
def test_subjects_by_each_kind_of_name(prod, source, destination, port):
    assert prod(source).reaches(destination, port)
    assert not prod("prod/job").reaches(destination, port)
    assert not prod(source).reaches("prod/db", 80)


def test_a_failure_says_what_is_expected_by_which_rule_and_how_to_ask_again(prod, capsys):
    reached = prod("prod/job").reaches("prod/db", 5432)
    text = str(reached)
    assert text.startswith("prod/job -> prod/db TCP/5432 is denied (by the policies alone)")
    assert "expected: denied, by the policies" in text
    assert "ingress: prod/db-0 is isolated by prod/db" in text
    command = text.rpartition("reproduce: ")[2]
    assert run(shlex.split(command)[1:]) == 0
    assert "DENIED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "destination", "port", "why"),
    [
        ("prod/web", "prod/node", 9100, "hostNetwork"),
        ("prod/db", "prod/main", 80, "no endpoint is called"),
        ("prod/nobody", "prod/db", 5432, "no endpoint is called"),
        ("prod/web", "service/prod/nothing", 80, "no Service"),
        ("prod/web", "service/prod/db", 5432, "sends TCP/5432 nowhere"),
        ("prod/web", "prod/db", "TCP/nothing", "declares no TCP port"),
        ("prod/web", "prod/db", 70000, "outside 1-65535"),
        ("prod/web-0", "prod/web-0", 80, "a pod always reaches itself"),
        ("prod", "prod/db", 80, "no endpoint is called"),
    ],
)
def test_what_is_not_known_raises_and_never_passes(prod, source, destination, port, why):
    for negated in (False, True):
        with pytest.raises((InconclusiveError, UsageError), match=why):
            assert bool(prod(source).reaches(destination, port)) is not negated


def test_some_reached_and_some_denied_is_neither(prod):
    for negated in (False, True):
        with pytest.raises(InconclusiveError, match=r"of 5 connections, 3 reached and 2 denied"):
            assert bool(prod("prod/web-0").reaches("prod/app in (db,job,web)", 80)) is not negated


def test_an_address_that_an_ip_block_may_cover_is_not_known(tmp_path):
    block = ONLY_WEB.replace("[{podSelector: {matchLabels: {app: web}}}]", "[{ipBlock: {cidr: 10.0.0.0/8}}]")
    netpol = netpol_manifests(written(tmp_path / "prod", PODS, block))
    with pytest.raises(InconclusiveError, match="an ipBlock may cover a pod whose address"):
        assert not netpol("prod/web").reaches("prod/db", 5432)
    elsewhere = netpol_manifests(tmp_path / "prod", pod_networks=["192.168.0.0/16", "fd00::/8"])
    assert not elsewhere("prod/web").reaches("prod/db", 5432)
    inside = netpol_manifests(tmp_path / "prod", pod_networks=["192.168.0.0/16", "10.200.0.0/16"])
    with pytest.raises(InconclusiveError, match="an ipBlock"):
        assert not inside("prod/web").reaches("prod/db", 5432)
    (tmp_path / "prod" / "1.yaml").write_text(block.replace("10.0.0.0/8}", "10.0.0.0/8, except: [10.128.0.0/9]}"))
    excepted = netpol_manifests(tmp_path / "prod", pod_networks=["10.200.0.0/16"])
    assert not excepted("prod/web").reaches("prod/db", 5432)
    assert netpol("10.1.2.3").reaches("prod/db", 5432)
    assert not netpol("203.0.113.1").reaches("prod/db", 5432)


def test_reached_by_only_names_whoever_else_can(prod):
    assert prod("prod/db").reached_by_only("prod/web", port=5432)
    more = prod("prod/db").reached_by_only("prod/web", "prod/job", port=5432)
    assert not more
    assert "prod/job is denied" in repr(more)
    less = prod("prod/web").reached_by_only("prod/db", port=80)
    assert not less
    assert "prod/job-0 is reached" in repr(less)
    assert "outside" in repr(less)


def test_a_matrix_is_compared_as_a_whole(prod):
    assert prod.matrix(["prod/web", "prod/job", "prod/db"], ["prod/db"], [5432, "UDP/53"]) == {
        "prod/web->prod/db:TCP/5432": "reached",
        "prod/web->prod/db:UDP/53": "denied",
        "prod/job->prod/db:TCP/5432": "denied",
        "prod/job->prod/db:UDP/53": "denied",
    }
    with pytest.raises(UsageError, match="without a connection"):
        prod.matrix(["prod/db"], ["prod/db"], [1])


def test_applied_policies_come_in_the_place_of_those_with_the_same_name(prod, tmp_path):
    nobody = tmp_path / "nobody.yaml"
    nobody.write_text(NOBODY)
    with prod.applied(nobody) as changed:
        assert not changed("prod/web").reaches("prod/db", 5432)
    assert prod("prod/web").reaches("prod/db", 5432)
    nobody.write_text(NOBODY.replace("namespace: prod", "namespace: nowhere"))
    with pytest.raises(UsageError, match="no namespace 'nowhere'"), prod.applied(nobody):
        pass
    nobody.write_text(PODS)
    with pytest.raises(UsageError, match="no NetworkPolicy in it"), prod.applied(nobody):
        pass


def intent(tmp_path, text):
    path = tmp_path / "intent.yaml"
    path.write_text("schema: audit.intent/v1\n" + text)
    return path


RULE = "- {name: only web, from: prod/app=web, to: prod/app=db, ports: [TCP/5432], verdict: allowed}\n"
JOB = "- {name: the job, from: prod/job, to: prod/db, ports: [TCP/5432], verdict: allowed}\n"


def test_an_intent_and_the_connections_that_it_expects(prod, tmp_path):
    prod.assert_intent(intent(tmp_path, f"otherwise: unspecified\nrules:\n{RULE}"))
    with pytest.raises(AssertionError, match=r"the policies are not what .*intent.yaml means:\nclosed"):
        prod.assert_intent(intent(tmp_path, f"otherwise: unspecified\nrules:\n{RULE.replace('TCP/5432', 'TCP/80')}"))
    with pytest.raises(
        AssertionError, match=r"intent.yaml:3 \(the job\): prod/job -> prod/db TCP/5432 must be allowed"
    ):
        prod.assert_intent(intent(tmp_path, f"expect:\n{JOB}"))
    with pytest.raises(InconclusiveError, match="hostNetwork"):
        prod.assert_intent(intent(tmp_path, f"expect:\n{JOB.replace('prod/job', 'prod/node')}"))


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        (JOB.replace("verdict: allowed", "verdict: maybe"), "must be allowed or denied"),
        (JOB.replace(", ports: [TCP/5432]", ""), "name at least one port"),
        (JOB.replace("TCP/5432", "TCP/1-2"), "not a single port"),
        (JOB.replace("from: prod/job, ", ""), "name a pod, workload"),
        (JOB.replace("name:", "nome:"), "nome"),
    ],
)
def test_what_is_expected_is_read_strictly(tmp_path, expect, problem):
    with pytest.raises(InputError, match=problem):
        netpol_cells(intent(tmp_path, f"expect:\n{expect}"))


def test_nothing_expected_is_no_test(tmp_path):
    with pytest.raises(UsageError, match="expects no single connection"):
        netpol_cells(intent(tmp_path, f"otherwise: unspecified\nrules:\n{RULE}"))
    assert run(["intent", "--intent", str(intent(tmp_path, f"expect:\n{JOB}")), "-f", "x"]) == 2


def test_cells_have_names_that_people_can_read():
    name, cells = netpol_cells(SHOP / "intent.yaml")
    assert name == "netpol_cell"
    assert cells[0].id == "edge/ingress->service/shop/web:TCP/80-allowed"


def test_findings_of_lint_and_of_namespaces_that_are_not_there(prod, tmp_path):
    prod.assert_no_findings("prod")
    with pytest.raises(UsageError, match="no namespace 'produ'"):
        prod.assert_no_findings("produ")
    wrong = ONLY_WEB + "  egress:\n  - {}\n"
    with pytest.raises(AssertionError, match="policyTypes"):
        netpol_manifests(written(tmp_path / "wrong", PODS, wrong)).assert_no_findings("prod")


def test_the_shop_is_what_its_intent_means():
    shop = netpol_manifests(SHOP / "manifests", pod_networks=["10.244.0.0/16"])
    shop.assert_intent(SHOP / "intent.yaml")
    assert shop("shop/db").reached_by_only("shop/api", "shop/backup", port=5432)
