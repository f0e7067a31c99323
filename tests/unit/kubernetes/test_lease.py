from __future__ import annotations

import asyncio

import pytest

from auditor.cluster.kubernetes.objects import LONGEST_LEASE_SECONDS, NAME, config_map_manifest
from auditor.cluster.kubernetes.session import lease as module
from auditor.cluster.kubernetes.session.lease import Leases, holder
from auditor.cluster.kubernetes.session.lease_liveness import server_time
from auditor.model.errors import ClusterError
from tests.unit.kubernetes.store import Store

PROD = "/apis/coordination.k8s.io/v1/namespaces/prod/leases"
LEASE = f"{PROD}/{NAME}"
CONFIG_MAPS = "/api/v1/namespaces/prod/configmaps"


def leases(store, *namespaces, run_id="11111111"):
    return Leases(store, namespaces or ("prod",), run_id)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - whatever the condition is
            await asyncio.sleep(0.001)


async def test_they_are_taken_in_order_held_and_released():
    store = Store()
    held = leases(store, "prod", "dev", "prod")
    await held.take()
    created = [path.split("/")[5] for method, path in store.requests if method == "POST"]
    assert created == ["dev", "prod"]
    for name in ("dev", "prod"):
        assert held.anchors[name].uid == store.objects[LEASE.replace("prod", name)]["metadata"]["uid"]
    assert store.objects[LEASE]["spec"]["holderIdentity"] == holder("11111111")
    assert await held.release() == ()
    assert not store.objects
    assert await held.release() == ()


async def test_deleting_a_lease_collects_what_it_owns():
    store = Store()
    held = leases(store)
    await held.take()
    store.put(CONFIG_MAPS, config_map_manifest("prod", "11111111", held.anchors["prod"], "source"))
    store.collect_garbage()
    assert store.names("configmaps") == [f"{NAME}-11111111"]
    await held.release()
    assert not store.objects


async def test_a_living_run_is_named_and_left_alone_and_what_was_taken_is_given_back():
    store = Store()
    first, second = leases(store), Leases(store, ["dev", "prod"], "22222222", ["prod"])
    await first.take()
    store.pass_time(seconds=29)
    with pytest.raises(
        ClusterError,
        match=r"namespace prod: .*@.*, process \d+, run 11111111 has been auditing here since .* 29 s ago.*--run "
        r"11111111",
    ):
        await second.take()
    assert list(store.objects) == [LEASE]
    assert await second.release() == ()
    assert list(store.objects) == [LEASE]
    await first.release()


async def test_a_dead_run_is_cleared_away_by_the_servers_clock_whatever_the_holders_said():
    store = Store()
    dead, heir = leases(store), leases(store, run_id="22222222")
    await dead.take()
    store.objects[LEASE]["spec"]["renewTime"] = "2099-01-01T00:00:00.000000Z"
    store.put(CONFIG_MAPS, config_map_manifest("prod", "11111111", dead.anchors["prod"], "source"))
    store.pass_time(seconds=33)
    await heir.take()
    assert store.objects[LEASE]["spec"]["holderIdentity"] == holder("22222222")
    assert heir.anchors["prod"].uid != dead.anchors["prod"].uid
    assert not store.names("configmaps")
    assert await dead.release() == ()
    assert LEASE in store.objects
    await heir.release()


async def test_a_lease_without_server_times_is_judged_by_its_own():
    store = Store()
    dead, heir = leases(store), leases(store, run_id="22222222")
    await dead.take()
    metadata = store.objects[LEASE]["metadata"]
    metadata["managedFields"] = []
    store.objects[LEASE]["spec"]["renewTime"] = "2026-01-01T12:05:00.000000Z"
    store.pass_time(minutes=5, seconds=20)
    with pytest.raises(ClusterError, match="20 s ago"):
        await heir.take()
    await dead.release()


def somebody(store, namespace="prod", *, run_id="99999999", duration=30, name=NAME, **metadata):
    """A Lease that anybody who may create Leases in ``namespace`` can have put there."""
    labels = {"netpol-audit/run": run_id} if run_id else {}
    found = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels, **metadata},
        "spec": {"leaseDurationSeconds": duration},
    }
    return store.put(PROD.replace("prod", namespace), found)


async def test_a_lease_lives_no_longer_than_any_of_ours_whatever_it_says_itself():
    store = Store()
    somebody(store, duration=2**31 - 1)
    store.pass_time(seconds=LONGEST_LEASE_SECONDS)
    heir = leases(store)
    with pytest.raises(ClusterError, match="has been auditing here"):
        await heir.take()
    store.pass_time(seconds=3)
    await heir.take()
    assert store.objects[LEASE]["spec"]["holderIdentity"] == holder("11111111")
    await heir.release()


@pytest.mark.parametrize("fields", [[{"time": "2099-01-01T00:00:00Z"}], []])
async def test_a_sign_of_life_that_is_yet_to_come_is_none(fields):
    store = Store()
    somebody(store)
    store.objects[LEASE]["spec"]["renewTime"] = "2099-01-01T00:00:00.000000Z"
    store.objects[LEASE]["metadata"]["managedFields"] = fields
    store.pass_time(seconds=60)
    heir = leases(store)
    await heir.take()
    assert store.objects[LEASE]["spec"]["holderIdentity"] == holder("11111111")
    await heir.release()


async def test_servers_whose_clocks_disagree_a_little_take_nobody_for_dead():
    store = Store()
    somebody(store)
    store.objects[LEASE]["metadata"]["managedFields"] = [{"time": "2026-01-01T12:01:30Z"}]
    store.pass_time(seconds=60)
    with pytest.raises(ClusterError, match="has been auditing here"):
        await leases(store).take()


async def test_of_several_namespaces_one_that_somebody_holds_is_left_out_with_the_reason():
    store = Store()
    somebody(store, "dev", duration=2**31 - 1)
    held = leases(store, "dev", "prod")
    await held.take()
    assert set(held.anchors) == {"prod"}
    assert list(held.blocked) == ["dev"]
    assert held.blocked["dev"].startswith("namespace dev: somebody has been auditing here since a while")
    assert await held.release() == ()
    assert list(store.objects) == [LEASE.replace("prod", "dev")]


async def test_where_every_audited_namespace_is_held_there_is_no_audit():
    store = Store()
    somebody(store, "dev")
    somebody(store, "prod", run_id="")
    held = Leases(store, ["dev", "prod", "other"], "11111111", ["dev", "prod"])
    with pytest.raises(ClusterError, match=r"^namespace dev: .*\nnamespace prod: .* was not made by an audit"):
        await held.take()
    assert store.names("leases") == [NAME, NAME]


async def test_a_dead_lease_that_a_finalizer_keeps_costs_its_namespace_only():
    store = Store()
    somebody(store, "dev", finalizers=["example.com/keep"])
    store.pass_time(minutes=10)
    held = leases(store, "dev", "prod")
    await held.take()
    assert set(held.anchors) == {"prod"}
    assert "the finalizer example.com/keep" in held.blocked["dev"]
    await held.release()


async def test_a_namespace_that_takes_no_lease_is_left_out():
    store = Store()

    class Refusing(Store):
        def _create(self, path, resource, body, parameters):
            if path == PROD.replace("prod", "dev"):
                return 403, ("Forbidden", "leases.coordination.k8s.io is forbidden: exceeded quota: none")
            return super()._create(path, resource, body, parameters)

    store = Refusing()
    held = Leases(store, ["dev", "prod"], "11111111", ["prod"])
    await held.take()
    assert "exceeded quota: none" in held.blocked["dev"]
    assert set(held.anchors) == {"prod"}
    assert await held.release() == ()


async def test_a_lease_that_somebody_renews_while_it_is_cleared_away_stays():
    store = Store()
    alive = store.put(
        PROD,
        {
            "metadata": {"name": NAME, "namespace": "prod", "labels": {"netpol-audit/run": "11111111"}},
            "spec": {"leaseDurationSeconds": 30},
        },
    )
    store.pass_time(minutes=5)

    def renew(method, _path):
        if method == "DELETE":
            store._touch(store.objects[LEASE]["metadata"])

    store.before = renew
    with pytest.raises(ClusterError, match="namespace prod: somebody has been auditing here"):
        await leases(store, run_id="22222222").take()
    assert store.objects[LEASE]["metadata"]["uid"] == alive["metadata"]["uid"]


async def test_a_lease_of_somebody_else_is_never_touched():
    store = Store((PROD, {"metadata": {"name": NAME, "namespace": "prod"}, "spec": {}}))
    store.pass_time(days=1)
    held = leases(store)
    with pytest.raises(ClusterError, match="was not made by an audit"):
        await held.take()
    assert await held.release() == ()
    assert LEASE in store.objects


async def test_they_are_renewed_and_a_loss_is_told(monkeypatch, caplog):
    caplog.set_level("DEBUG", "auditor")
    monkeypatch.setattr(module, "RENEW_EVERY", 0.001)
    store = Store()
    held = leases(store)
    await held.take()
    version = store.objects[LEASE]["metadata"]["resourceVersion"]
    await until(lambda: store.objects[LEASE]["metadata"]["resourceVersion"] != version)
    store.objects[LEASE]["metadata"]["resourceVersion"] = "1000"
    await until(lambda: store.objects[LEASE]["metadata"]["resourceVersion"] not in (version, "1000"))
    store.broken.add(LEASE)
    seen = len(store.requests)
    await until(lambda: len(store.requests) > seen + 3)
    store.broken.clear()
    assert not held.lost
    logged = [record.getMessage() for record in caplog.records]
    assert any(line.endswith(" in namespace prod renewed") for line in logged)
    assert any(" in namespace prod not renewed: " in line for line in logged)
    del store.objects[LEASE]
    await until(lambda: held.lost)
    assert held.lost == "namespace prod: the Lease of this run was deleted, and its probe pods with it"
    assert await held.release() == ()


async def test_what_can_not_be_released_is_told_with_what_to_do():
    store = Store()
    held = leases(store, "dev", "prod")
    await held.take()
    store.denied.add(("delete", "leases", "prod"))
    lines = await held.release()
    assert list(store.objects) == [LEASE]
    assert len(lines) == 1
    assert lines[0].endswith("'audit cleanup --run 11111111' removes what is left in namespace prod")
    store.denied.clear()
    assert await held.release() == ()
    assert not store.objects


async def test_a_lease_whose_creation_got_lost_on_the_way_back_is_ours():
    store = Store()
    lost = leases(store)

    def create_first(method, path):
        if method == "POST" and path == PROD and LEASE not in store.objects:
            store.put(PROD, lost._held["prod"].manifest)

    store.before = create_first
    await lost.take()
    assert lost.anchors["prod"].uid == store.objects[LEASE]["metadata"]["uid"]
    await lost.release()
    assert not store.objects


async def test_the_time_is_the_servers():
    store = Store()
    assert await server_time(store) == store.now


REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def test_a_server_that_does_not_tell_the_time_has_nobody_taken_for_dead():
    store = Store()
    alive = leases(store)
    await alive.take()
    store.broken.add(REVIEWS)
    with pytest.raises(ClusterError, match="out of order"):
        await leases(store, run_id="22222222").take()
    assert store.objects[LEASE]["metadata"]["labels"]["netpol-audit/run"] == "11111111"
    await alive.release()


async def test_one_that_is_lost_leaves_the_others_renewed(monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 0.001)
    store = Store()
    held = leases(store, "dev", "prod")
    await held.take()
    del store.objects[LEASE]
    await until(lambda: held.lost)
    dev = LEASE.replace("prod", "dev")
    version = store.objects[dev]["metadata"]["resourceVersion"]
    await until(lambda: store.objects[dev]["metadata"]["resourceVersion"] != version)
    assert LEASE not in store.objects
    await held.release()


class Slow(Store):
    """``hold`` are paths of which the next request hangs until it is given up."""

    def __init__(self):
        super().__init__()
        self.hold = []
        self.urgent = []

    async def send(self, method, question, body=None, parameters=None):
        self.urgent += [method] if question.urgent else []
        if question.path in self.hold:
            self.hold.remove(question.path)
            await asyncio.sleep(3600)
        return await super().send(method, question, body, parameters)


async def test_a_renewal_that_hangs_is_given_up_for_the_next_and_none_stands_in_line(monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 0.001)
    monkeypatch.setattr(module, "RENEW_WITHIN", 0.01)
    store = Slow()
    held = leases(store)
    await held.take()
    store.hold.append(LEASE)
    await until(lambda: not store.hold)
    version = store.objects[LEASE]["metadata"]["resourceVersion"]
    await until(lambda: store.objects[LEASE]["metadata"]["resourceVersion"] != version)
    assert set(store.urgent) == {"PUT"}
    await held.release()


async def test_those_that_are_held_are_renewed_while_others_are_still_being_taken(monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 0.001)
    store = Slow()
    held = leases(store, "dev", "prod")
    store.hold.append(PROD)
    taking = asyncio.create_task(held.take())
    await until(lambda: any(method == "PUT" for method, _ in store.requests))
    assert LEASE not in store.objects
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert await held.release() == ()
    assert not store.objects


async def test_in_a_namespace_that_is_not_audited_runs_meet_and_each_removes_its_own():
    store = Store()
    one, other = Leases(store, ["dev", "prod"], "11111111", ["prod"]), Leases(store, ["dev"], "22222222", [])
    await one.take()
    await other.take()
    assert one.anchors["dev"].name == "netpol-audit-11111111"
    assert one.anchors["prod"].name == "netpol-audit"
    assert other.anchors["dev"].name == "netpol-audit-22222222"
    with pytest.raises(ClusterError, match="has been auditing here"):
        await Leases(store, ["prod"], "33333333", ["prod"]).take()
    await one.release()
    assert store.names("leases") == ["netpol-audit-22222222"]
    await other.release()
    assert not store.names("leases")


async def test_a_dead_run_is_cleared_away_where_nothing_locks():
    store = Store()
    dead = Leases(store, ["dev"], "11111111", [])
    await dead.take()
    store.pass_time(seconds=60)
    heir = Leases(store, ["dev"], "22222222", [])
    await heir.take()
    assert store.names("leases") == ["netpol-audit-22222222"]
    await heir.release()
    await dead.release()
