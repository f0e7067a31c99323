"""A tenant's policies make an audit compute for long: it renews its Leases meanwhile, ends when told to, and leaves
nothing.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from auditor.cluster.kubernetes import live as adapter
from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.loop.apart import THREAD_NAME
from auditor.loop.collections import brief_collections
from auditor.loop.watchdog import BOUND, Watchdog
from auditor.run import causes, concluding, expectation, planning
from tests.marking import slow
from tests.unit.run.hostile import Tenancy, auditing, closed, excepts, policy, rules

INSIDE = [(planning, "evaluate"), (causes, "diagnose"), (expectation, "evaluate"), (adapter, "evaluate")]
"""What computes while there are pods in the cluster."""
AFTERWARDS = [(concluding, "find"), (concluding, "unexercised"), (concluding, "remarks_on")]
PATIENCE = 30.0
"""Seconds of the processor's time after which nothing more is expected to happen."""


@pytest.fixture
def renewing(monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.lease.RENEW_EVERY", 0.01)


async def until_no_thread_is_left():
    async with asyncio.timeout(60):
        while any(thread.name == THREAD_NAME for thread in threading.enumerate()):  # noqa: ASYNC110 - threads tell no loop that they end
            await asyncio.sleep(0.001)


def restless(store):
    """Answers of nobody, and a policy that changes as soon as anybody is asked."""

    def answer(*_):
        if store.objects.get("/apis/networking.k8s.io/v1/namespaces/prod/networkpolicies/late") is None:
            store.put(*policy("prod", "late", "app-1"))
        return closed()

    return answer


@pytest.mark.parametrize(("module", "name"), INSIDE)
async def test_leases_are_renewed_while_the_audit_computes(monkeypatch, renewing, module, name):
    store = Tenancy(policy("prod", "p", "app-0"))
    work, waits = getattr(module, name), []

    def hard(*args, **kwargs):
        before, bound = store.renewals, time.process_time() + PATIENCE
        while store.renewals < before + 3 and time.process_time() < bound:
            pass
        waits.append(store.renewals >= before + 3)
        return work(*args, **kwargs)

    monkeypatch.setattr(module, name, hard)
    report = await auditing(store, monkeypatch, restless(store))
    assert waits
    assert all(waits)
    assert report.summary.cells
    assert store.left() == []


@pytest.mark.parametrize(("module", "name"), [*INSIDE, *AFTERWARDS])
async def test_an_audit_that_computes_for_ever_ends_when_it_is_told_to(monkeypatch, module, name):
    store = Tenancy(policy("prod", "p", "app-0"))
    begun = threading.Event()

    def endless(*_args, **_kwargs):
        begun.set()
        while True:
            pass

    monkeypatch.setattr(module, name, endless)
    task = asyncio.create_task(auditing(store, monkeypatch, restless(store)))
    async with asyncio.timeout(60):
        while not begun.is_set():  # noqa: ASYNC110 - a thread's event
            await asyncio.sleep(0.001)
    assert bool(store.left()) is ((module, name) in INSIDE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.left() == []
    await until_no_thread_is_left()


HOSTILE = {
    "twenty thousand excepts": lambda: (policy("prod", "p", "app-0", ingress=[excepts(20_000)]),),
    "three thousand excepts of somebody else": lambda: (policy("dev", "p", "api", ingress=[excepts(3_000)]),),
    "fifteen hundred rules": lambda: (policy("prod", "p", "app-0", ingress=rules(1_500)),),
    "six hundred policies": lambda: tuple(
        policy("prod", f"p-{number}", f"app-{number % 8}", ingress=rules(1)) for number in range(600)
    ),
}


LONGEST = ("twenty thousand excepts", "fifteen hundred rules", "six hundred policies")


def alone(policies):
    """The processor's time that reading these policies takes, in seconds."""
    began = time.process_time()
    for _, manifest in policies:
        read_live_policy(manifest)
    return time.process_time() - began


@pytest.mark.parametrize("which", [slow(which) if which in LONGEST else which for which in HOSTILE])
async def test_nothing_blocks_the_loop_whatever_a_tenant_writes(monkeypatch, renewing, which):
    monkeypatch.setattr(concluding, "ANALYSIS_SECONDS", 0.5)
    policies = HOSTILE[which]()
    store = Tenancy(*policies, apps=8)
    bound = max(2 * BOUND, alone(policies))
    with brief_collections(), Watchdog() as watchdog:
        await auditing(store, monkeypatch, closed)
    assert watchdog.longest.computing < bound, watchdog.longest
    assert store.left() == []
    await until_no_thread_is_left()


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 6))])
async def test_cancelled_at_any_moment_it_leaves_nothing(monkeypatch, seed):
    store = Tenancy(
        policy("prod", "p", "app-0", ingress=[excepts(3_000)]), policy("dev", "d", "api", ingress=rules(500))
    )
    task = asyncio.create_task(auditing(store, monkeypatch, restless(store)))
    await asyncio.wait([task], timeout=random.Random(seed).uniform(0, 3))
    task.cancel()
    await asyncio.wait([task])
    assert store.left() == []
    await until_no_thread_is_left()
