from __future__ import annotations

import pytest

from auditor.cli.application import run
from auditor.cluster.kubernetes.client import config
from auditor.cluster.kubernetes.client import server as api
from auditor.cluster.kubernetes.preflight.checks import Preflight
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Snapshot
from auditor.report.preflight_as_table import describe
from auditor.run.live import Outlook
from auditor.run.live_plan import LivePlan
from tests.unit.kubernetes.store import Store
from tests.unit.kubernetes.test_cleanup import ALIVE, DEAD
from tests.unit.kubernetes.test_cleanup import run as leave


@pytest.fixture
def store(monkeypatch):
    made = Store(("/api/v1/namespaces", {"metadata": {"name": "prod"}}))
    leave(made, "prod", DEAD)
    made.pass_time(hours=1)
    leave(made, "dev", ALIVE)

    async def connect(_options):
        return None

    monkeypatch.setattr(config, "connect", connect)
    monkeypatch.setattr(api, "ApiServer", lambda _connection: made)
    return made


def said(capsys):
    captured = capsys.readouterr()
    assert not captured.err
    return captured.out.splitlines()


def test_dead_runs_are_removed_and_living_ones_left_alone(store, capsys):
    assert run(["cleanup"]) == 0
    assert said(capsys) == [
        f"somebody, run {DEAD}: 1 Lease, 1 ConfigMap, 1 Pod in prod",
        (
            f"somebody, run {ALIVE}: 1 Lease, 1 ConfigMap, 1 Pod in dev: still going on, so it is left alone; --run "
            f"{ALIVE} ends it"
        ),
        "deleted 1 Lease, 1 ConfigMap, 1 Pod",
    ]
    assert {path.split("namespaces/")[1].split("/")[0] for path in store.objects} == {"dev", "prod"}
    assert not [path for path in store.objects if "/prod/" in path]
    assert run(["cleanup", "--run", ALIVE]) == 0
    assert list(store.objects) == ["/api/v1/namespaces/prod"]
    said(capsys)
    assert run(["cleanup"]) == 0
    assert said(capsys) == ["no audit has left anything behind"]


def test_a_dry_run_and_an_age_delete_nothing(store, capsys):
    before = set(store.objects)
    assert run(["cleanup", "--dry-run", "-A"]) == 0
    assert run(["cleanup", "--older-than", "2h", "-n", "prod"]) == 0
    assert set(store.objects) == before
    assert said(capsys)[-1] == f"somebody, run {DEAD}: 1 Lease, 1 ConfigMap, 1 Pod in prod: left alone"


def test_what_somebody_keeps_is_told_and_is_no_error_on_any_night(store, capsys, monkeypatch):
    monkeypatch.setattr("auditor.cluster.kubernetes.session.cleanup.HELD_PATIENCE", 0.0)
    pod = f"/api/v1/namespaces/prod/pods/netpol-audit-{DEAD}-0-x"
    store.objects[pod]["metadata"]["finalizers"] = ["example.com/keep"]
    line = (
        f"Pod prod/netpol-audit-{DEAD}-0-x is deleted, and kept by the finalizer example.com/keep, which is not "
        "ours: its owner has to remove it"
    )
    assert run(["cleanup", "-n", "prod"]) == 0
    assert said(capsys)[-2:] == [line, "deleted 2 of 3 objects"]
    assert run(["cleanup", "-n", "prod"]) == 0
    assert said(capsys) == [f"run {DEAD}, whose Lease is gone: 1 Pod in prod", line]


def test_what_only_looks_like_ours_is_told_and_left_alone(store, capsys):
    labels = {"netpol-audit/run": DEAD}
    store.put(
        "/api/v1/namespaces/dev/pods",
        {"metadata": {"name": f"netpol-audit-{DEAD}-5-x", "namespace": "dev", "labels": labels}},
    )
    assert run(["cleanup", "--run", DEAD]) == 0
    assert f"Pod dev/netpol-audit-{DEAD}-5-x has the label and the name of an audit" in " ".join(said(capsys))
    assert store.names("pods") == [f"netpol-audit-{DEAD}-5-x", f"netpol-audit-{ALIVE}-0-x"]


def test_a_run_that_somebody_claims_elsewhere_is_told_apart_from_the_real_one(store, capsys):
    leave(store, "evil", DEAD)
    assert run(["cleanup", "--dry-run"]) == 0
    dead, alive, claimed = said(capsys)
    assert dead == f"somebody, run {DEAD}: 1 Lease, 1 ConfigMap, 1 Pod in prod"
    assert alive.startswith(f"somebody, run {ALIVE}")
    assert (
        claimed
        == f"somebody, run {DEAD}: 1 Lease, 1 ConfigMap, 1 Pod in evil: still going on, so it is left alone; --run "
        f"{DEAD} ends it"
    )


def test_what_can_not_be_deleted_is_an_error(store, capsys):
    store.denied.add(("delete", "leases", "prod"))
    assert run(["cleanup"]) == 4
    captured = capsys.readouterr()
    assert "1 of 3 could not be deleted" in captured.out
    assert captured.err.startswith("error: Lease prod/netpol-audit could not be deleted: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "../x"], "is not a run id"),
        (["--older-than", "soon"], "is not a valid duration"),
        (["-n", "prod", "-A"], "exclude each other"),
        (["-n", "../x"], "is not a valid namespace name"),
    ],
)
def test_wrong_usage(store, capsys, arguments, words):
    before = set(store.objects)
    assert run(["cleanup", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert set(store.objects) == before


def test_a_preflight_is_told_line_by_line():
    probes = [
        ProbePod(f"prod/{name}", "prod", {}, (), node, ()) for name, node in (("a", "node-1"), ("b", ""), ("c", ""))
    ]
    found = Preflight({"prod/b": "why", "prod/c": "why"}, remarks=("by the way",))
    lines = ["ok        prod/a on node-1", "refused   prod/b, prod/c: why", "remark    by the way"]
    end = "1 of 3 probe pods in 1 namespace can be created: a run can"
    intended = LivePlan(None, Snapshot({}, (), ()), tuple(probes), frozenset(), ())
    assert list(describe(Outlook(intended, found))) == [*lines, f"{end} start"]
    (line,) = [line for line in describe(Outlook(intended, found, services=True)) if line.startswith("services")]
    assert line.startswith("services  up to 4 Services that lead to its own probe pods alone")
    stopped = Preflight(found.refused, ("in the way",), found.remarks)
    assert list(describe(Outlook(intended, stopped))) == [*lines, "obstacle  in the way", f"{end}'t start"]
    assert not Preflight({probe.name: "why" for probe in probes}).can_start(probes)
