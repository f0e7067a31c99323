from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from auditor.model.labels import LabelSelector, Operator
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.traits import peers_in_force
from auditor.probe_pods.labels import PodSelectors, fewest_labels
from tests.oracle.clusters import EVERYTHING, cluster, having, pod, pods, policy, rule, where
from tests.strategies import Shape, random_labels, random_snapshot, snapshots

SHAPE = Shape(pods=6, policies=6, hosts=0, node_endpoints=False)
TEMPLATE = {
    "app": "web",
    "pod-template-hash": "6c9b7f8d5",
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": "web-1",
}


def identity_labels(snapshot: Snapshot, endpoint: Endpoint, avoid: Sequence[LabelSelector] = ()) -> dict[str, str]:
    """The labels of ``endpoint``, a pod on the pod network, without every one that policies can do without in any
    reading.
    """
    return fewest_labels(PodSelectors(snapshot).in_any_reading(endpoint.namespace), endpoint.labels, avoid)


def plain_signature(snapshot: Snapshot, endpoint: Endpoint, labels: dict[str, str]) -> tuple[list[bool], ...]:
    """Which policies select the pod, which peers match it, and which would if namespaces did not count, each asked one
    by one.
    """
    subject = [
        policy.namespace == endpoint.namespace and policy.pod_selector.matches(labels) for policy in snapshot.policies
    ]
    space = snapshot.namespaces[endpoint.namespace]
    peers = [
        (
            peer.namespace_selector.matches(space.labels)
            if peer.namespace_selector is not None
            else policy.namespace == endpoint.namespace
        )
        and (peer.pod_selector is None or peer.pod_selector.matches(labels))
        for policy in snapshot.policies
        for peer in peers_in_force([policy])
        if peer.ip_block is None
    ]
    anywhere = [
        peer.pod_selector.matches(labels) for peer in peers_in_force(snapshot.policies) if peer.pod_selector is not None
    ]
    return subject, peers, anywhere


def check_minimal(snapshot: Snapshot, avoid: tuple[LabelSelector, ...] = ()) -> None:
    for endpoint in snapshot.endpoints:
        if not endpoint.selectable:
            continue
        kept = identity_labels(snapshot, endpoint, avoid=avoid)
        assert kept.items() <= dict(endpoint.labels).items()
        wanted = plain_signature(snapshot, endpoint, dict(endpoint.labels))
        assert plain_signature(snapshot, endpoint, kept) == wanted, endpoint.name
        for key in kept:
            assert plain_signature(snapshot, endpoint, {k: v for k, v in kept.items() if k != key}) != wanted, (
                endpoint.name,
                key,
            )


@settings(max_examples=50)
@given(snapshots(SHAPE))
def test_the_signature_stays_and_no_further_label_can_go(snapshot: Snapshot) -> None:
    check_minimal(snapshot)


def test_the_same_on_many_random_clusters_with_and_without_selectors_to_avoid() -> None:
    dropped = 0
    for seed in range(150):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPE)
        check_minimal(snapshot)
        check_minimal(snapshot, tuple(having(random_labels(random)) for _ in range(2)))
        dropped += sum(
            len(identity_labels(snapshot, end)) < len(end.labels) for end in snapshot.endpoints if end.selectable
        )
    assert dropped > 50


def test_labels_that_no_policy_reads_go():
    web = pod("prod/web", TEMPLATE)
    assert identity_labels(cluster(web), web) == {}
    assert identity_labels(cluster(web, policies=[policy("prod/web", {"app": "web"}, ingress=[])]), web) == {
        "app": "web"
    }


def test_a_label_of_a_controller_stays_where_a_policy_reads_it():
    web = pod("prod/web", TEMPLATE)
    snapshot = cluster(web, policies=[policy("prod/canary", {"pod-template-hash": "6c9b7f8d5"}, ingress=[])])
    assert identity_labels(snapshot, web) == {"pod-template-hash": "6c9b7f8d5"}


@pytest.mark.parametrize("operator", [Operator.NOT_IN, Operator.DOES_NOT_EXIST])
def test_a_label_stays_where_a_selector_would_match_without_it(operator):
    web = pod("prod/web", {"app": "web", "tier": "x"})
    values = ("x",) if operator is Operator.NOT_IN else ()
    snapshot = cluster(web, policies=[policy("prod/others", where("tier", operator, *values), ingress=[])])
    assert identity_labels(snapshot, web) == {"tier": "x"}


def test_a_label_that_becomes_free_once_another_went_goes_too():
    web = pod("prod/web", {"a": "1", "b": "1"})
    needs_b_without_a = LabelSelector((("b", "1"),), where("a", Operator.DOES_NOT_EXIST).match_expressions)
    assert identity_labels(cluster(web, policies=[policy("prod/x", needs_b_without_a, ingress=[])]), web) == {}


@pytest.mark.parametrize("stage", ["prod", "test"])
def test_what_peers_elsewhere_read_stays_for_enforcers_that_overlook_their_namespace_selector(stage):
    web, db = pod("prod/web", {"app": "web"}), pod("data/db")
    let_in = policy("data/db", ingress=[rule(pods({"app": "web"}, {"stage": stage}))])
    snapshot = cluster(web, db, policies=[let_in], labels={"prod": {"stage": "prod"}})
    assert identity_labels(snapshot, web) == {"app": "web"}
    assert bool(PodSelectors(snapshot).signature("prod", web.labels)) == (stage == "prod")


@pytest.mark.parametrize("name", ["prod/db", "data/db"])
def test_what_peers_without_a_namespace_selector_read_stays_in_every_namespace(name):
    web = pod("prod/web", {"app": "web"})
    snapshot = cluster(web, policies=[policy(name, {"app": "db"}, ingress=[rule(pods({"app": "web"}))])])
    assert identity_labels(snapshot, web) == {"app": "web"}
    assert bool(PodSelectors(snapshot).signature("prod", web.labels)) == (name == "prod/db")


def test_subjects_of_policies_elsewhere_do_not_count():
    web = pod("prod/web", {"app": "web"})
    assert identity_labels(cluster(web, policies=[policy("data/web", {"app": "web"}, ingress=[])]), web) == {}


def test_rules_of_a_direction_that_is_not_in_policy_types_do_not_count():
    web = pod("prod/web", {"app": "web"})
    both = policy("prod/db", {"app": "db"}, ingress=[EVERYTHING], egress=[rule(pods({"app": "web"}))])
    for directions, kept in ((both.directions, {"app": "web"}), (frozenset([Direction.INGRESS]), {})):
        assert (
            identity_labels(
                cluster(web, policies=[replace(both, pod_selector=having({"x": "y"}), directions=directions)]), web
            )
            == kept
        )


def test_where_there_is_a_choice_what_is_to_be_avoided_does_not_match():
    web = pod("prod/web", {"app": "web", "tier": "x"})
    missing = Operator.DOES_NOT_EXIST
    neither = LabelSelector((), where("app", missing).match_expressions + where("tier", missing).match_expressions)
    snapshot = cluster(web, policies=[policy("prod/bare", neither, ingress=[])])
    assert identity_labels(snapshot, web) == {"tier": "x"}
    assert identity_labels(snapshot, web, avoid=[having({"tier": "x"})]) == {"app": "web"}
    assert identity_labels(snapshot, web, avoid=[having({"app": "web"})]) == {"tier": "x"}
    assert identity_labels(snapshot, web, avoid=[having({"app": "web"}), having({"tier": "x"})]) == {"tier": "x"}


def test_the_signature_of_a_namespace_without_policies_is_empty():
    web = pod("prod/web", {"app": "web"})
    assert PodSelectors(cluster(web)).signature("prod", web.labels) == frozenset()


def test_where_there_is_a_choice_labels_of_tools_go_first():
    web = pod("prod/web", {"app": "web", "pod-template-hash": "6c9b7f8d5"})
    missing = Operator.DOES_NOT_EXIST
    neither = LabelSelector(
        (), where("app", missing).match_expressions + where("pod-template-hash", missing).match_expressions
    )
    assert identity_labels(cluster(web, policies=[policy("prod/bare", neither, ingress=[])]), web) == {"app": "web"}
