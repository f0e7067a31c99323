"""Policies that a test has in force for a while: taken back, owned by a Lease, and never in the place of another."""

from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.session import lent_policies as lent_policies_module
from auditor.cluster.kubernetes.session.lent_policies import lent_policies
from auditor.model.errors import ClusterError, UsageError
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.kubernetes.living import PROD_POLICIES, policy
from tests.unit.kubernetes.store import Store

POLICIES = "".join(
    f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: prod}}
spec: {{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}
---
"""
    for name in ("first", "second")
).encode()


@pytest.fixture
def lent():
    return read_snapshot([Source("policies.yaml", POLICIES)]).policies


async def test_they_are_there_inside_the_block_alone_and_owned_by_a_lease_that_locks_nothing(lent):
    store = Store(policy("other"))
    async with lent_policies(store, lent):
        assert store.names("networkpolicies") == ["first", "other", "second"]
        first = store.objects[f"{PROD_POLICIES}/first"]
        assert first["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}]
        (lease,) = store.names("leases")
        assert lease == first["metadata"]["ownerReferences"][0]["name"] != "netpol-audit"
    assert list(store.objects) == [f"{PROD_POLICIES}/other"]


async def test_whoever_dies_with_them_leaves_what_goes_with_the_lease(lent):
    store = Store()
    stay = lent_policies(store, lent)
    await stay.__aenter__()
    store.remove(next(path for path in store.objects if "/leases/" in path))
    assert store.objects == {}
    await stay.__aexit__(None, None, None)


async def test_one_that_is_there_is_not_replaced_and_what_was_put_in_goes(lent):
    store = Store(policy("second"))
    before = store.objects[f"{PROD_POLICIES}/second"]["metadata"]["uid"]
    with pytest.raises(UsageError, match="prod/second is in the cluster already, and is not replaced"):
        async with lent_policies(store, lent):
            raise AssertionError
    assert [path for path in store.objects if "lease" in path] == []
    assert store.names("networkpolicies") == ["second"]
    assert store.objects[f"{PROD_POLICIES}/second"]["metadata"]["uid"] == before


async def test_what_a_killed_session_lent_is_waited_for_until_it_is_gone(lent, monkeypatch):
    monkeypatch.setattr(lent_policies_module, "PAUSE", 0.01)
    left = policy("second")
    left[1]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "netpol-audit"}
    store = Store(left)
    asyncio.get_running_loop().call_later(0.2, store.remove, f"{PROD_POLICIES}/second")
    async with lent_policies(store, lent):
        assert store.names("networkpolicies") == ["first", "second"]
    assert store.objects == {}


async def test_what_a_living_session_has_lent_is_not_waited_for_without_end(lent, monkeypatch):
    monkeypatch.setattr(lent_policies_module, "GONE_WITHIN", 0.1)
    monkeypatch.setattr(lent_policies_module, "PAUSE", 0.01)
    left = policy("second")
    left[1]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "netpol-audit"}
    with pytest.raises(UsageError, match="is in the cluster already"):
        async with lent_policies(Store(left), lent):
            raise AssertionError


@pytest.mark.parametrize("end", [asyncio.CancelledError, ValueError])
async def test_however_the_block_ends_nothing_stays(lent, end):
    store = Store()
    with pytest.raises(end):
        async with lent_policies(store, lent):
            raise end
    assert store.objects == {}


@pytest.mark.parametrize("right", [("create", "networkpolicies"), ("create", "leases")])
async def test_without_the_right_nothing_is_put_in(lent, right):
    store = Store()
    store.denied = {(*right, "prod")}
    with pytest.raises(ClusterError, match=right[1]):
        async with lent_policies(store, lent):
            raise AssertionError
    assert store.objects == {}


async def test_another_object_that_took_the_place_is_left_alone(lent):
    store = Store()
    async with lent_policies(store, lent):
        store.discard(f"{PROD_POLICIES}/first")
        store.put(*policy("first"))
    assert store.names("networkpolicies") == ["first"]
