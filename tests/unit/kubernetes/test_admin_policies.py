"""Policies of administrators in a live cluster: read where their CRDs are, and followed during a run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import web

from auditor.cli.application import run
from auditor.cluster.kubernetes.admin_policies import PREFIX, ServedKind, kind_at, read_live_admin_policy
from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.session.changes import POLICIES, Changes
from auditor.cluster.kubernetes.session.history import merged
from auditor.model.admin_policy import AdminPolicy
from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from auditor.run.conformance.administrators import keep_clear_of_administrators
from tests.unit.kubernetes.living import snapshot, until, versions, world
from tests.unit.kubernetes.test_reading import from_files, take

GROUP = "policy.networking.k8s.io"
CLUSTER = f"{PREFIX}v1beta1/clusternetworkpolicies"
ADMIN = f"{PREFIX}v1alpha1/adminnetworkpolicies"
SERVED = ServedKind("ClusterNetworkPolicy", "v1beta1")
EVERYONE = {"namespaces": {}}


def guard(name="guard", *, peer=None, action="Deny", priority=10, **more):
    rule = {"action": action, "from": [EVERYONE if peer is None else peer]}
    spec = {"tier": "Admin", "priority": priority, "subject": EVERYONE, "ingress": [rule], **more}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
def tiered(api):
    """A cluster with the CRDs, and one policy."""
    api.groups[GROUP] = ("v1beta1", ["clusternetworkpolicies"])
    api.objects[CLUSTER] = [guard()]
    return api


async def test_without_crds_nothing_is_asked(api, tmp_path):
    live = await take(api, tmp_path)
    assert (live.snapshot.admin_policies, live.snapshot.unknown) == ((), ())
    assert not any(GROUP in path for path, *_ in api.requests)


async def test_what_is_installed_is_read_as_from_files(tiered, tmp_path):
    live = await take(tiered, tmp_path)
    (policy,) = live.snapshot.admin_policies
    assert policy.full_name == "ClusterNetworkPolicy guard"
    (saved,) = [each for each in live.manifests if each["kind"] == "ClusterNetworkPolicy"]
    assert from_files(json.dumps(saved)).admin_policies == (policy,)
    assert evaluate(live.snapshot).verdict("prod/api", "prod/db", Protocol.TCP, 80).value == "denied"
    assert CLUSTER in live.resource_versions


def saved_by_snapshot(api, tmp_path, capsys):
    """The policies in the file that ``audit snapshot`` writes, and all that it says."""
    saved = tmp_path / "saved.json"
    assert run(["snapshot", "--kubeconfig", api.kubeconfig(tmp_path), "-o", str(saved)]) == 0
    return from_files(saved.read_text(encoding="utf-8")).admin_policies, capsys.readouterr().err


def test_a_snapshot_counts_them(tiered, tmp_path, capsys):
    policies, said = saved_by_snapshot(tiered, tmp_path, capsys)
    assert [policy.full_name for policy in policies] == ["ClusterNetworkPolicy guard"]
    assert ", 2 network policies, 1 policy of administrators; " in said


def test_a_snapshot_without_those_that_may_not_be_listed_says_so(tiered, tmp_path, capsys):
    tiered.faults[CLUSTER] = [web.json_response({"kind": "Status", "message": "no"}, status=403)] * 3
    policies, said = saved_by_snapshot(tiered, tmp_path, capsys)
    assert policies == ()
    (warning, saved) = said.splitlines()
    assert warning.startswith("warning: ClusterNetworkPolicy")
    assert f"may not list clusternetworkpolicies.{GROUP}" in warning
    assert "what is expected from the file may be wrong" in warning
    assert "administrators" not in saved


async def test_one_that_can_not_be_read_leaves_its_subjects_in_doubt(tiered, tmp_path):
    tiered.objects[CLUSTER] = [guard(tierr="Admin")]
    live = await take(tiered, tmp_path)
    (unknown,) = live.snapshot.unknown
    assert (unknown.full_name, unknown.tier) == ("ClusterNetworkPolicy guard", "Admin")
    assert "tierr" in unknown.why
    cell = Cell("prod/api", "prod/db", Protocol.TCP, 80, Family.IPV4)
    assert "ClusterNetworkPolicy guard" in doubtful_cells(live.snapshot, live.snapshot.unknown, [cell])[cell]


async def test_a_peer_that_only_the_api_server_knows_fails_closed_and_is_reported(tiered, tmp_path):
    tiered.objects[CLUSTER] = [guard(peer={"moons": {}}, action="Pass")]
    live = await take(tiered, tmp_path)
    assert live.snapshot.unknown == ()
    assert any("fails closed" in note and "denies everything" in note for note in live.notes)
    assert evaluate(live.snapshot).verdict("prod/api", "prod/db", Protocol.TCP, 80).value == "denied"


async def test_what_may_not_be_listed_may_decide_anything(tiered, tmp_path):
    tiered.faults[CLUSTER] = [web.json_response({"kind": "Status", "message": "no"}, status=403)] * 3
    live = await take(tiered, tmp_path)
    (unknown,) = live.snapshot.unknown
    assert (unknown.pod_selector, unknown.tier) == (None, "Admin")
    cell = Cell("prod/api", "prod/db", Protocol.TCP, 80, Family.IPV4)
    assert cell in doubtful_cells(live.snapshot, live.snapshot.unknown, [cell])


def test_lists_are_told_by_their_paths():
    assert kind_at(CLUSTER) == SERVED
    assert SERVED.question.path == CLUSTER
    assert kind_at(ADMIN) == ServedKind("AdminNetworkPolicy", "v1alpha1")
    assert kind_at(POLICIES.path) is None
    assert kind_at("/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies") is None


def put(store, **more):
    store.put(CLUSTER, guard(**more))


async def test_it_comes_changes_and_goes_during_a_run():
    store = world()
    async with Changes(store, snapshot((), ()), {**versions(store), CLUSTER: "1"}) as changes:
        await changes.take_states()
        put(store)
        put(store, priority=20)
        store.delete(f"{CLUSTER}/guard")
        await until(lambda: len(changes._history.states) == 3)
        states = await changes.take_states()
    assert [[each.priority for each in state.admin_policies] for state in states] == [[10], [20], []]
    assert changes.trouble == ""


async def test_a_namespace_of_its_name_is_something_else():
    store = world()
    async with Changes(store, snapshot((), ()), {**versions(store), CLUSTER: "1"}) as changes:
        put(store)
        await until(lambda: changes._history.states)
        (state,) = await changes.take_states()
        assert "guard" not in state.namespaces
        await asyncio.sleep(0)
        assert list(await changes.take_states()) == []


def test_of_two_states_with_other_policies_what_they_decide_is_unknown():
    one, other = (read_live_admin_policy(guard(priority=number), SERVED) for number in (10, 20))
    assert isinstance(one, AdminPolicy)
    before, after = snapshot((), ()), snapshot((), ())
    state = merged(replace(before, admin_policies=(one,)), replace(after, admin_policies=(other,)))
    assert state.admin_policies == ()
    assert [(each.full_name, each.tier) for each in state.unknown] == [("ClusterNetworkPolicy guard", "Admin")]


MADE = (
    Snapshot(
        {"prod": Namespace.of("prod", {"team": "shop"})},
        (Endpoint("prod/web", EndpointKind.POD, "prod", {"app": "web"}),),
    ),
)


async def clear_of(api, tmp_path):
    connection = await connect(ConnectionOptions(kubeconfig=api.kubeconfig(tmp_path), qps=10_000))
    async with ApiServer(connection, first_pause=0.01) as server:
        return await keep_clear_of_administrators(server, MADE)


@pytest.mark.parametrize(
    "subject",
    [
        {"namespaces": {"matchLabels": {"team": "other"}}},
        {"namespaces": {"matchExpressions": [{"key": "netpol-audit/run", "operator": "DoesNotExist"}]}},
    ],
)
async def test_conformance_puts_up_with_policies_for_others(tiered, tmp_path, subject):
    tiered.objects[CLUSTER] = [guard(subject=subject)]
    assert await clear_of(tiered, tmp_path) == ()


@pytest.mark.parametrize("policy", [guard(), guard(tierr="Admin")])
async def test_conformance_refuses_where_administrators_would_decide(tiered, tmp_path, policy):
    tiered.objects[CLUSTER] = [policy]
    with pytest.raises(ClusterError, match=r"1 policy of administrators would decide .*ClusterNetworkPolicy guard"):
        await clear_of(tiered, tmp_path)


async def test_conformance_reports_what_it_may_not_list(tiered, tmp_path):
    tiered.faults[CLUSTER] = [web.json_response({"kind": "Status", "message": "no"}, status=403)] * 3
    (fact,) = await clear_of(tiered, tmp_path)
    assert "whether a ClusterNetworkPolicy decides about these pods" in fact
