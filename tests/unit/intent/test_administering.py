"""Changes in the tiers of administrators, on random clusters and intents, judged cell by cell by the oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from auditor.intent import check_intent
from auditor.intent.admin_notation import VERSIONS, admin_policy_yaml, admin_rule_yaml
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.errors import InputError
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, PolicyPort
from auditor.model.ports import Protocol
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.policy.evaluator import evaluate
from tests.marking import slow
from tests.strategies import Shape, random_snapshot
from tests.unit.intent.meaning import Meaning, after_change_of, random_intent, sparse_intent

SHAPES = (
    Shape(pods=4, policies=1, admin_policies=2, host_network=0.0),
    Shape(pods=4, policies=0, admin_policies=2, hosts=0, node_endpoints=False, host_network=0.0),
)


def world(seed):
    """A cluster with all tiers, no two policies of one priority, and an intent."""
    random = Random(seed)
    snapshot = random_snapshot(random, SHAPES[seed % len(SHAPES)])
    admin = tuple(replace(each, priority=10 * n + 5) for n, each in enumerate(snapshot.admin_policies))
    return replace(snapshot, admin_policies=admin), (random_intent if seed % 2 else sparse_intent)(random)


def held(seed):
    """Each change that is shown, by the kind of its finding and whether it is one of administrators."""
    snapshot, intent = world(seed)
    try:
        findings = [each for each in check_intent(evaluate(snapshot), intent) if each.change is not None]
    except InputError:
        return
    meaning = Meaning(snapshot, intent)
    before = meaning.violation(snapshot) if findings else {}
    for finding in findings:
        after_change = after_change_of(finding.change, snapshot)
        after = meaning.violation(after_change)
        assert after.keys() <= before.keys(), f"seed {seed}: {finding.change.title}"
        cell = finding.example
        assert tuple(cell) not in after, f"seed {seed}: {finding.change.title}"
        assert not meaning.closed(snapshot, after_change), f"seed {seed}: {finding.change.title}"
        yield finding.kind, any(edit.of_administrators for edit in finding.change.edits)


@pytest.mark.parametrize("seeds", [range(41), slow(range(41, 90))], ids=str)
def test_every_change_that_is_shown_mends_its_finding_and_harms_no_cell(seeds):
    shown = Counter(each for seed in seeds for each in held(seed))
    assert min(shown[kind, True] for kind in ("open", "closed")) > 0, shown


PODS = AdminPeer(LabelSelector((("team", "shop"),)), LabelSelector((("app", "web"),)))
EVERYBODY = AdminPeer(LabelSelector(), LabelSelector())
PORTS = (
    PolicyPort(Protocol.TCP, 80),
    PolicyPort(Protocol.UDP, 5000, 5010),
    PolicyPort(Protocol.SCTP, 1, 65535),
    *(PolicyPort(protocol, name="http") for protocol in Protocol),
)


@pytest.mark.parametrize("kind", ["ClusterNetworkPolicy", "AdminNetworkPolicy"])
def test_what_is_to_be_written_is_read_as_what_was_evaluated(kind):
    rules = tuple(AdminRule(action, (PODS, EVERYBODY), PORTS, "a rule") for action in Action)
    networks = AdminPeer(networks=(IPBlock(ip_network("10.0.0.0/8")), IPBlock(ip_network("2001:db8::/32"))))
    egress = (AdminRule(Action.DENY, (networks,)),)
    written = AdminPolicy(kind, "new", AdminTier.ADMIN, 7, PODS.namespace_selector, PODS.pod_selector, rules, egress)
    (read,) = read_snapshot([Source("new.yaml", admin_policy_yaml(written).encode())]).admin_policies
    assert replace(read, ingress=(), egress=()) == replace(written, ingress=(), egress=())
    assert [set(each.ports) for each in read.ingress] == [set(PORTS)] * 3
    assert [replace(each, ports=()) for each in read.ingress] == [replace(each, ports=()) for each in rules]
    assert read.egress == egress


def test_the_oldest_kind_allows():
    rule = AdminRule(Action.ACCEPT, (EVERYBODY,))
    assert "action: Allow" in admin_rule_yaml(rule, "BaselineAdminNetworkPolicy", Direction.INGRESS)
    assert VERSIONS["BaselineAdminNetworkPolicy"] == "v1alpha1"
