from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.session import pods as pods_module
from auditor.cluster.kubernetes.session import session as module
from auditor.model.errors import ClusterError, UsageError
from tests.unit.kubernetes.living import live, ours, policy, until, world
from tests.unit.kubernetes.test_live import Stream

LEASE = "/apis/coordination.k8s.io/v1/namespaces/prod/leases/netpol-audit"
CLEAN_UP = r"'audit cleanup --run 11111111' removes what is left"


async def stay(store):
    """A whole stay, with a change to be read in the middle."""
    async with live(store) as cluster:
        await store.step()
        await cluster.changes()
        await store.step()


async def cancelled_stay(at, *, insisting):
    """A stay that is cancelled at this step. Whether it was, and the store that it leaves behind."""
    store = world(policy("db", "web"))
    store.cancel_at, store.insisting = at, insisting
    store.main = asyncio.create_task(stay(store))
    await asyncio.wait([store.main], timeout=20)
    assert store.main.done()
    reached = next(store.steps) > at
    assert store.main.cancelled() or not reached, at
    if not reached:
        store.main.result()
    return reached, store


@pytest.mark.parametrize("insisting", [False, True])
async def test_a_stay_cancelled_at_any_moment_leaves_nothing(insisting, monkeypatch):
    streams = []

    async def open_exec(store, *place):
        await store.step()
        streams.append(Stream(*place))
        return streams[-1]

    monkeypatch.setattr("auditor.cluster.kubernetes.live.open_exec", open_exec)
    before = asyncio.all_tasks()
    at, reached = 0, True
    while reached:
        assert at < 1000
        reached, store = await cancelled_stay(at, insisting=insisting)
        assert ours(store) == [], at
        assert all(stream.closed for stream in streams), at
        await until(lambda: asyncio.all_tasks() <= before)
        at += 1
    assert at > 40
    assert len(streams) > at


@pytest.mark.parametrize(
    "error", [UsageError("nothing to probe"), KeyError("a bug"), ClusterError("the cluster failed")]
)
async def test_an_error_inside_comes_out_once_everything_is_gone(error):
    store = world()
    with pytest.raises(type(error)) as caught:
        async with live(store):
            raise error
    assert caught.value is error
    assert ours(store) == []


async def test_while_something_of_ours_is_there_an_api_server_may_be_away_for_a_while():
    store = world()
    patience = {}
    store.before = lambda method, path: patience.setdefault(method, store.patience)
    async with live(store):
        assert store.patience == module.PATIENCE
    assert patience["DELETE"] == module.PATIENCE
    assert patience["POST"] == 0


async def test_where_nothing_can_be_removed_the_user_learns_what_may_be_left_and_what_to_do():
    store = world()
    with pytest.raises(ClusterError) as caught:
        async with live(store):
            store.away = True
    text = str(caught.value)
    assert "can't be reached" in text
    assert all("audit cleanup --run 11111111" in line for line in text.splitlines())
    assert {line.rpartition(" ")[2] for line in text.splitlines()} == {"dev", "prod"}
    # Patience was used up by the first thing that failed.
    assert "tried for 0 s" in text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UsageError("nothing to probe"), "nothing to probe"),
        (KeyError("a bug"), "KeyError: 'a bug'"),
        (asyncio.CancelledError(), None),
    ],
)
async def test_what_is_left_is_told_beside_whatever_else_went_wrong(error, told):
    store = world()

    async def failing_stay():
        async with live(store):
            store.away = True
            raise error

    with pytest.raises(ClusterError, match="audit cleanup --run 11111111") as caught:
        await failing_stay()
    assert caught.value.__cause__ is error
    assert str(caught.value).splitlines()[: 1 if told else 0] == ([told] if told else [])


async def test_what_is_left_is_told_even_if_leaving_was_cancelled():
    store = world()

    async def main():
        async with live(store):
            store.away, store.cancel_at, store.insisting = True, 0, True

    store.main = asyncio.create_task(main())
    with pytest.raises(ClusterError, match="audit cleanup --run 11111111"):
        await store.main


async def test_what_is_left_is_told_where_entering_failed():
    store = world()
    store.admit = lambda _pod: (403, ("Forbidden", "pods is forbidden: exceeded quota: small"))
    store.denied.add(("deletecollection", "pods", "prod"))
    with pytest.raises(ClusterError, match=r"exceeded quota: small\n.*audit cleanup --run 11111111"):
        await live(store).__aenter__()
    assert ours(store) == []


async def test_pods_that_may_not_be_deleted_go_with_the_lease_and_that_is_told():
    store = world()
    store.denied.add(("deletecollection", "pods", "prod"))
    with pytest.raises(ClusterError, match=rf"may not deletecollection pods .*{CLEAN_UP}$"):
        async with live(store):
            pass
    assert ours(store) == []


async def test_a_lease_that_may_not_be_deleted_is_told(monkeypatch):
    monkeypatch.setattr(pods_module, "PATIENCE_FOR_REMOVAL", 5.0)
    store = world()
    store.denied.add(("delete", "leases", "prod"))
    with pytest.raises(ClusterError, match=rf"{CLEAN_UP} in namespace prod$"):
        async with live(store):
            pass
    assert set(ours(store)) == {LEASE, "/api/v1/namespaces/prod/configmaps/netpol-audit-11111111"}
