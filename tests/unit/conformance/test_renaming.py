"""A scenario under other names means the same, alone and among all others."""

from ipaddress import ip_address, ip_network

import pytest

from auditor.model.labels import NAMESPACE_NAME_LABEL
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.renaming import Renaming, readdressed, smallest_range
from auditor.run.conformance.scenario_run import lost_meaning, merged
from tests.lab import scenarios
from tests.unit.conformance.shipped import prepared_scenarios

NAMES = Renaming("run-7-")


def test_all_scenarios_in_one_cluster_keep_their_truth_tables():
    matrix = evaluate(merged([prepared.snapshot for prepared in prepared_scenarios()]))
    wrong = [
        cell
        for prepared in prepared_scenarios()
        for cell, verdict in prepared.truth.items()
        if matrix.verdict(*cell) is not verdict
    ]
    assert wrong == []


def test_no_two_scenarios_share_a_name():
    names = [
        name
        for prepared in prepared_scenarios()
        for name in (*prepared.snapshot.namespaces, *(each.name for each in prepared.snapshot.endpoints))
    ]
    assert len(names) == len(set(names))


def test_a_namespace_is_found_by_its_new_name():
    renamed = NAMES.snapshot(scenarios.read("rule-05-namespace-name-label").snapshot)
    assert renamed.namespaces["run-7-y"].labels[NAMESPACE_NAME_LABEL] == "run-7-y"
    asked = {
        value
        for policy in renamed.policies
        for rule in policy.ingress
        for peer in rule.peers
        for value in [
            *dict(peer.namespace_selector.match_labels).values(),
            *(value for each in peer.namespace_selector.match_expressions for value in each.values),
        ]
    }
    assert asked
    assert all(value.startswith("run-7-") for value in asked)


def test_names_come_back():
    cell = next(iter(scenarios.read("rule-09-except").truth))
    assert NAMES.cell(cell) != cell
    assert NAMES.original(NAMES.cell(cell)) == cell
    assert NAMES.name("host/backup") == "host/run-7-backup"
    assert NAMES.name("prod/web") == "run-7-prod/web"


def moved(prepared, addresses):
    """The pods of ``prepared`` at other addresses."""
    return [
        pod.__class__(
            pod.name,
            pod.kind,
            pod.namespace,
            pod.labels,
            (ip_address(addresses[pod.name.rpartition("/")[2]]),),
            pod.ports,
            pod.node,
        )
        for pod in prepared.snapshot.endpoints
    ]


@pytest.mark.parametrize(
    ("addresses", "means_the_same"),
    [
        ({"server": "10.9.1.5", "inside": "10.9.1.7", "excepted": "10.9.1.9", "elsewhere": "10.9.2.4"}, True),
        ({"server": "10.9.1.5", "inside": "10.9.1.7", "excepted": "10.9.1.9", "elsewhere": "10.9.1.6"}, False),
    ],
)
def test_ip_blocks_follow_their_pods(addresses, means_the_same):
    prepared = next(
        prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-09-ip-block-and-pods"
    )
    pods = moved(prepared, addresses)
    snapshot = prepared.snapshot.__class__(prepared.snapshot.namespaces, tuple(pods), prepared.snapshot.policies)
    assert lost_meaning(evaluate(snapshot), [prepared], ())
    policies = readdressed(prepared.snapshot.policies, prepared.snapshot.endpoints, pods)
    adapted = prepared.snapshot.__class__(prepared.snapshot.namespaces, tuple(pods), policies)
    assert bool(lost_meaning(evaluate(adapted), [prepared], ())) is not means_the_same


def test_what_is_about_absent_ends_does_not_count():
    prepared = next(
        prepared for prepared in prepared_scenarios() if prepared.scenario.name == "rule-09-ip-block-and-pods"
    )
    pods = moved(
        prepared, {"server": "10.9.1.5", "inside": "10.9.1.7", "excepted": "10.9.1.9", "elsewhere": "10.9.2.4"}
    )
    snapshot = prepared.snapshot.__class__(prepared.snapshot.namespaces, tuple(pods), prepared.snapshot.policies)
    assert not lost_meaning(evaluate(snapshot), [prepared], [pod.name for pod in pods if "inside" in pod.name])


def test_the_smallest_range():
    assert smallest_range([ip_address("10.0.0.4"), ip_address("10.0.0.7")]) == ip_network("10.0.0.4/30")
    assert smallest_range([ip_address("fd00::1")]) == ip_network("fd00::1/128")
