from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.client.creation import RefusedHereError, all_of, create
from auditor.cluster.kubernetes.client.errors import ConflictError, Question
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.store import Store

PODS = Question("/api/v1/namespaces/prod/pods", "create", "pods", " in namespace prod")
POD = {"metadata": {"name": "one", "namespace": "prod"}}


async def test_what_is_there_already_is_refused_unless_an_answer_was_lost():
    store = Store((PODS.path, POD))
    with pytest.raises(RefusedHereError, match="already exists"):
        await create(store, PODS, POD)

    class Lossy:
        async def send(self, *_):
            error = ConflictError("already exists", "AlreadyExists")
            error.after_lost_answer = True
            raise error

    assert await create(Lossy(), PODS, POD) == b""


@pytest.mark.parametrize(("status", "here"), [(403, True), (404, True), (422, True), (500, False)])
async def test_a_refusal_is_about_one_place_and_a_failure_about_the_cluster(status, here):
    store = Store()
    store.admit = lambda _pod: (status, ("Reason", "because"))
    with pytest.raises(ClusterError, match="because") as caught:
        await create(store, PODS, POD)
    assert isinstance(caught.value, RefusedHereError) is here


async def test_a_failure_is_told_once_everything_else_has_ended():
    ended = []

    async def work(number):
        await asyncio.sleep(0)
        if number == 0:
            raise ClusterError("first")
        await asyncio.sleep(0)
        ended.append(number)
        if number == 1:
            raise ClusterError("second")
        return number

    with pytest.raises(ClusterError, match="first"):
        await all_of(map(work, range(4)))
    assert ended == [1, 2, 3]
    assert await all_of(map(work, (3, 2))) == [3, 2]
