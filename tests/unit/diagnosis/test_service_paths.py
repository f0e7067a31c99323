"""The search for what is wrong on the way through Services, on results as the tests' own prediction has them."""

from dataclasses import replace
from itertools import product

import pytest

from auditor.diagnosis.service_paths import diagnose_paths
from auditor.model.dialect import Enforcement
from auditor.model.path_dialect import OF_SERVICES, PathDialect
from auditor.model.ports import Protocol
from auditor.model.service_seen import PathFault, ServiceCell, ServiceResult, Way
from auditor.model.snapshot import Family
from auditor.model.verdict import Observation, Observed, Result, Verdict
from auditor.policy.service_ways import expectation
from tests.lab.lab_rig import (
    EGRESS,
    INGRESS,
    block,
    deny,
    labelled,
    node_endpoint,
    pod,
    pods,
    receive,
    rule,
    send,
    world,
)
from tests.oracle.paths import passes_through_service

PODS = tuple(
    pod(f"a/{app}-{node}", node, 10 + number, {"app": app, "on": node})
    for number, (app, node) in enumerate(product(("web", "db", "mute"), ("n0", "n1")))
)
NODES = {name: node_endpoint(name) for name in ("n0", "n1")}
SNAPSHOT = world(
    receive(rule(pods(labelled(app="web"))), app="db"),
    send(rule(pods(labelled(app="db"))), app="web"),
    deny(EGRESS, name="mute", app="mute"),
    deny(INGRESS, name="mute-in", app="mute", on="n0"),
    receive(rule(block("172.18.0.0/16")), name="nodes", app="mute"),
    endpoints=(*PODS, *NODES.values()),
)


def cells():
    for source, backend in product(PODS, PODS):
        common = (source.name, backend.name, Protocol.TCP, 80, Family.IPV4)
        yield ServiceCell(*common, Way.CLUSTER_IP, "10.96.0.7", 443)
        for at in NODES:
            yield ServiceCell(*common, Way.NODE_PORT, str(NODES[at].addresses[0]), 30001, at)
        own = NODES[backend.node]
        yield ServiceCell(*common, Way.NODE_PORT_LOCAL, str(own.addresses[0]), 30002, backend.node)


def results(enforcement):
    found = []
    for cell in cells():
        demanded = expectation(SNAPSHOT, cell)
        allowed = passes_through_service(SNAPSHOT, cell, enforcement, NODES)
        differs = allowed != (demanded.verdict is Verdict.ALLOWED)
        result = (Result.LEAK if allowed else Result.OUTAGE) if differs else Result.MATCH
        result = Result.CNI_DEPENDENT if differs and demanded.left_open else result
        seen = Observation(Observed.ALLOWED if allowed else Observed.DROPPED, "")
        found.append(ServiceResult(cell, demanded.verdict, seen, result, demanded.left_open))
    return found


def test_nothing_differs_where_nothing_is_wrong():
    assert not [each for each in results(Enforcement()) if each.is_fault]
    assert diagnose_paths(SNAPSHOT, NODES, results(Enforcement())) is None


@pytest.mark.parametrize("node", ["", "n0", "n1"])
@pytest.mark.parametrize("dialect", OF_SERVICES)
def test_each_fault_is_named_with_its_node(dialect, node):
    diagnosis = diagnose_paths(SNAPSHOT, NODES, results(Enforcement(on_path={node: dialect})))
    named = (diagnosis.fault, *diagnosis.alternatives)
    assert PathFault(dialect, node) in named
    assert diagnosis.unexplained == ()


@pytest.mark.parametrize(
    ("dialect", "node", "said"),
    [
        (
            "service-skips-policy",
            "n0",
            "on node n0, no policy is applied through Services between pods of the same node",
        ),
        (
            "service-snat",
            "n1",
            "on node n1, what pods send through Services to other nodes seems to come from their node",
        ),
        ("node-port-skips-policy", "", "no policy is applied through NodePorts at a pod's own node"),
        ("judges-before-dnat", "", "egress through Services is judged by the ClusterIP and the Service's port"),
    ],
)
def test_the_way_and_the_node_are_named_in_one_sentence(dialect, node, said):
    diagnosis = diagnose_paths(SNAPSHOT, NODES, results(Enforcement(on_path={node: PathDialect(dialect)})))
    assert diagnosis.title.startswith(f"{said}: explains ")


def test_what_no_known_fault_explains_is_said_to_be_so():
    wrong = [
        replace(each, result=Result.LEAK) if each.expected is Verdict.DENIED and not each.left_open else each
        for each in results(Enforcement())
        if each.cell.way is Way.CLUSTER_IP and each.cell.source == "a/web-n0" and each.cell.backend == "a/mute-n1"
    ]
    diagnosis = diagnose_paths(SNAPSHOT, NODES, wrong)
    assert diagnosis.fault is None
    assert "no known fault explains 1 connection" in diagnosis.title


def test_what_fares_so_without_the_service_is_no_fault_of_the_way():
    alike = [replace(each, as_without=True) for each in results(Enforcement(on_path={"": PathDialect.SERVICE_SNAT}))]
    assert diagnose_paths(SNAPSHOT, NODES, alike) is None


def test_a_fault_that_would_explain_the_smaller_part_is_not_called_the_cause():
    skipping = results(Enforcement(on_path={"n0": PathDialect.SERVICE_SKIPS_POLICY}))
    everything = [
        replace(each, result=Result.LEAK, observation=Observation(Observed.ALLOWED, ""))
        if each.expected is Verdict.DENIED and each.cell.way is Way.CLUSTER_IP
        else each
        for each in skipping
    ]
    leaks = sum(each.is_fault for each in everything)
    assert 2 * sum(each.is_fault for each in skipping) < leaks
    diagnosis = diagnose_paths(SNAPSHOT, NODES, everything)
    assert diagnosis.fault is None
    assert len(diagnosis.unexplained) == leaks
