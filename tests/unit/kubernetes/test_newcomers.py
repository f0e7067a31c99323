"""Probe pods that come while others are there: what is made, and what is made of what they tell."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict

import pytest

from auditor.cluster.kubernetes import live as module
from auditor.cluster.kubernetes.session import newcomers
from auditor.cluster.kubernetes.session.first_tries import ASK, KNOCK
from auditor.model.errors import ClusterError
from auditor.model.ports import Protocol
from auditor.model.probe_pod import FirstMoments, Newcomer
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from tests.unit.kubernetes.living import NAMES, live, ours, running, world

API, DB, WEB = NAMES
OUT = Cell(DB, API, Protocol.TCP, 80, Family.IPV4)
IN = Cell(WEB, DB, Protocol.TCP, 5432, Family.IPV4)
WANTED = Newcomer(DB, (OUT,), (IN,))
PODS = "/api/v1/namespaces/prod/pods"


class Stream:
    """A process that tells the time since ``began``, and until when each of its targets was open."""

    closed = 0

    def __init__(self, began, until):
        self.began, self.until = began, until

    async def receive(self):
        await asyncio.sleep(0)
        age = time.monotonic() - self.began
        return json.dumps([age, [[0.1, self.until(age)]]]).encode() + b"\n"

    async def close(self):
        Stream.closed += 1


@pytest.fixture
def told(monkeypatch):
    """What was started in pods; newcomers began 3 s ago, and what is tried from elsewhere just now."""
    monkeypatch.setattr(newcomers, "PAUSE", 0.001)
    started = defaultdict(list)

    class Told:
        sends = staticmethod(lambda _age: None)
        receives = staticmethod(lambda _age: None)
        commands = started
        began = time.monotonic() - 3

    async def open_exec(_api, namespace, pod, _container, command):
        started[namespace, pod].append(command)
        if command[2] == ASK:
            return Stream(Told.began, Told.sends)
        if command[2] == KNOCK:
            Told.knocked = time.monotonic()
            return Stream(Told.knocked, Told.receives)
        raise ClusterError("no agents here")

    monkeypatch.setattr(module, "open_exec", open_exec)
    return Told


def pods_of(store):
    return [path for path in ours(store) if "/pods/" in path]


async def test_a_newcomer_tries_from_its_start_and_is_tried_once_it_has_an_address(told):
    store = world()
    async with live(store, newcomers=1) as cluster:
        before = pods_of(store)
        seen = await cluster.newcomers([WANTED], 20)
        (new,) = set(pods_of(store)) - set(before)
        assert new == f"{PODS}/netpol-audit-11111111-3-x"
        spec = store.objects[new]["spec"]
        assert spec["containers"][0]["command"][3:] == ["5432", "10.0.0.1|80"]
        old = next(path for path in before if store.objects[path]["metadata"]["labels"]["app"] == "db")
        assert store.objects[new]["metadata"]["labels"] == store.objects[old]["metadata"]["labels"]
        assert [term["values"] for term in _terms(spec)] == [["node-1"]]
    assert ours(store) == []
    assert seen.pods == 1
    assert (seen.sends[OUT].began, seen.sends[OUT].open_until) == (0.1, None)
    # It was tried from elsewhere no later than that, by the newcomer's clock.
    assert 2.5 <= seen.receives[IN].began < 4
    assert seen.receives[IN].open_until is None
    (knocked,) = [command for commands in told.commands.values() for command in commands if command[2] == KNOCK]
    assert knocked[3:] == ("10.0.0.4|5432",)
    assert Stream.closed


def _terms(spec):
    affinity = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [field for term in affinity["nodeSelectorTerms"] for field in term["matchFields"]]


async def test_what_is_open_is_waited_for_and_never_said_to_be_so_for_too_long(told):
    told.sends, told.receives = (lambda _age: 1.9), (lambda age: min(age, 0.7))
    async with live(world(), newcomers=4) as cluster:
        seen = await cluster.newcomers([WANTED], 20)
    assert seen.sends[OUT].open_until == 1.9
    assert 0 <= told.knocked + 0.7 - told.began - seen.receives[IN].open_until < 0.5
    assert seen.receives[IN].age >= seen.receives[IN].open_until + 1


@pytest.mark.parametrize("room", [{"newcomers": 0}, {"newcomers": 4, "room": frozenset({"node-2"})}])
async def test_none_comes_where_there_is_no_room(told, room):
    store = world()
    async with live(store, **room) as cluster:
        before = pods_of(store)
        assert await cluster.newcomers([WANTED], 1) == FirstMoments()
        assert pods_of(store) == before
    assert not told.commands.keys() - {(path.split("/")[4], path.split("/")[6]) for path in before}


async def test_one_that_does_not_start_or_can_t_be_asked_shows_nothing(told, monkeypatch):
    monkeypatch.setattr(module, "NEWCOMER_SECONDS", 0.05)
    store = world()
    store.start = lambda number, _pod: running(number) if number <= 3 else None
    async with live(store, newcomers=4) as cluster:
        assert await cluster.newcomers([WANTED], 1) == FirstMoments()
    assert ours(store) == []
    told.sends = lambda _age: "never"
    async with live(world(), newcomers=4) as cluster:
        seen = await cluster.newcomers([WANTED], 0.1)
    assert (seen.sends, seen.receives) == ({}, {})


async def test_interrupted_it_leaves_nothing(told):
    told.sends = lambda age: age  # open for ever
    store = world()
    async with live(store, newcomers=4) as cluster:
        task = asyncio.create_task(cluster.newcomers([WANTED], 60))
        while len(pods_of(store)) < 4:  # noqa: ASYNC110 - somebody else's doing
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
    assert ours(store) == []
