"""Probe pods that come to stay while others are there, to tell causes apart."""

from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes import live as module
from auditor.model.probe_pod import Copy, Newcomer
from tests.unit.kubernetes.living import NAMES, live, ours, running, world

API, DB, WEB = NAMES
NODE = "node-1"
PODS = "/api/v1/namespaces/prod/pods"
WANTED = Copy(f"{DB}@{NODE}", DB, NODE)


def pods_of(store):
    return [path for path in ours(store) if "/pods/" in path]


async def test_a_copy_is_a_probe_pod_as_the_others_are_and_goes_with_them():
    store = world()
    async with live(store, newcomers=2) as cluster:
        assert cluster.room == (2, {NODE})
        before = pods_of(store)
        assert await cluster.add([WANTED]) == []
        (new,) = set(pods_of(store)) - set(before)
        assert new == f"{PODS}/netpol-audit-11111111-3-x"
        old = next(path for path in before if store.objects[path]["metadata"]["labels"]["app"] == "db")
        assert store.objects[new]["metadata"]["labels"] == store.objects[old]["metadata"]["labels"]
        containers = [store.objects[path]["spec"]["containers"] for path in (old, new)]
        assert containers[0] == containers[1]
        assert cluster.room.pods == 1
        ends = {end.name: end for end in cluster.snapshot.endpoints}
        assert ends[WANTED.name].labels == ends[DB].labels
        assert ends[WANTED.name].addresses != ends[DB].addresses
        sites = {site.name: site for site in cluster.sites}
        assert sites[WANTED.name].answers
        assert sites[WANTED.name].created > sites[DB].created
        assert WANTED.name in await cluster.witnesses.heard([WANTED.name])
        assert await cluster.changes() == []
        assert cluster.failed == {}
    assert ours(store) == []


async def test_its_labels_are_looked_at_like_those_of_the_others():
    store = world()
    async with live(store, newcomers=2) as cluster:
        await cluster.add([WANTED])
        assert WANTED.name in await cluster._labels_now()


async def test_numbers_go_on_after_those_of_newcomers_and_no_more_come_than_may(monkeypatch):
    async def open_exec(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(module, "open_exec", open_exec)
    store = world()
    async with live(store, newcomers=2) as cluster:
        before = set(pods_of(store))
        await cluster.newcomers([Newcomer(WEB, (), ())], 0.05)
        assert cluster.room.pods == 1
        await cluster.add([WANTED, Copy(f"{API}@{NODE}", API, NODE)])
        assert cluster.room.pods == 0
        names = sorted(path.rpartition("/")[2] for path in set(pods_of(store)) - before)
        assert names == ["netpol-audit-11111111-3-x", "netpol-audit-11111111-4-x"]
        assert {site.name for site in cluster.sites} == {*NAMES, WANTED.name}
    assert ours(store) == []


@pytest.mark.parametrize(("change", "room"), [({"newcomers": 0}, 0), ({"newcomers": 4, "room": frozenset({"n"})}, 4)])
async def test_where_there_is_no_room_is_said(change, room):
    async with live(world(), **change) as cluster:
        assert cluster.room.pods == room
        assert cluster.room.nodes == (frozenset() if "room" in change else {NODE})


async def test_one_that_does_not_start_is_told_and_stands_for_nobody(monkeypatch):
    monkeypatch.setattr(module, "NEWCOMER_SECONDS", 0.05)
    store = world()
    store.start = lambda number, _pod: running(number) if number <= 3 else None
    async with live(store, newcomers=4) as cluster:
        (told,) = await cluster.add([WANTED])
        assert told.startswith(f"{WANTED.name}: its probe pod did not start within 0.05 s")
        assert {end.name for end in cluster.snapshot.endpoints if end.selectable} == set(NAMES)
        assert cluster.failed == {}
    assert ours(store) == []


async def test_interrupted_it_leaves_nothing():
    store = world()
    store.start = lambda number, _pod: running(number) if number <= 3 else None
    async with live(store, newcomers=4) as cluster:
        task = asyncio.create_task(cluster.add([WANTED]))
        while len(pods_of(store)) < 4:  # noqa: ASYNC110 - somebody else's doing
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
    assert ours(store) == []
