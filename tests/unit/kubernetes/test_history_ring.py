"""``--history configmap://NAMESPACE/NAME``: records in a ConfigMap, whole or not at all, and never too many of them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from auditor.cli.application import audit
from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.cluster.kubernetes import history_ring
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.history_ring import ROOM, within
from auditor.history.codec import compress, encode
from auditor.history.store import Retention
from auditor.model.errors import UsageError
from auditor.model.standing import FailOn
from auditor.model.verdict import Conclusion, Result
from auditor.report.conclusion import conclude
from tests.unit.history.nights import night, pod, run_of, tried
from tests.unit.kubernetes.fake_api import KeepingApi, refused

LIST = "/api/v1/namespaces/audits/configmaps"
PATH = f"{LIST}/nights"
PLACE = "configmap://audits/nights"
WEB, DB = pod("prod/web"), pod("prod/db", "n2")
CLEAN = run_of([WEB, DB], [tried(WEB, DB), tried(DB, WEB)])
LEAKY = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB)])


@pytest.fixture
def cluster():
    with KeepingApi() as fake:
        yield fake


def options(fake, directory, place=PLACE, **more):
    connection = ConnectionOptions(kubeconfig=fake.kubeconfig(directory), qps=10_000)
    return NightlyOptions(place, fail_on=FailOn.NEW, connection=connection, **more)


def nights(fake, directory, *reports, first=1, **more):
    chosen = options(fake, directory, **more)
    for day, report in enumerate(reports, first):
        yield after_run(replace(report, began=f"2999-11-{day:02d}T02:00:00Z", run_id=f"r{day}"), read_nightly(chosen))


def keys(fake):
    return sorted(fake.kept[PATH]["binaryData"])


def test_nights_of_which_one_brings_a_leak_and_one_takes_it_away(cluster, tmp_path, capsys):
    seen = list(nights(cluster, tmp_path, CLEAN, LEAKY, LEAKY, CLEAN))
    assert [conclude(each) for each in seen] == [Conclusion.PASS, Conclusion.FAIL, Conclusion.PASS, Conclusion.PASS]
    assert [each.age.value for each in seen[3].comparison.departed] == ["gone"]
    assert keys(cluster) == [f"299911{day:02d}T020000Z-r{day}.json.gz" for day in range(1, 5)]
    assert cluster.kept[PATH]["metadata"]["labels"] == {"netpol-audit/history": "records"}
    assert capsys.readouterr().err == ""


def test_only_so_many_stay(cluster, tmp_path):
    list(nights(cluster, tmp_path, CLEAN, CLEAN, CLEAN, keep=2))
    assert [key[:8] for key in keys(cluster)] == ["29991102", "29991103"]


@pytest.mark.parametrize("count", [3, 40, 900])
def test_the_oldest_go_when_there_is_no_room(count):
    size = ROOM // 10
    records = {f"299911{day // 24:02d}T{day % 24:02d}0000Z-r.json.gz": b"x" * size for day in range(count)}
    latest = max(records)
    kept = within(records, latest, Retention(400, 400))
    assert sorted(kept) == sorted(records)[-10:]
    assert within({**records, latest: b"x" * ROOM}, latest, Retention(400, 400)).keys() == {latest}


def test_what_is_too_old_goes_and_the_latest_stays():
    records = {f"{year}1101T020000Z-r.json.gz": b"x" for year in (2001, 2002, 2999)}
    assert within(records, "20021101T020000Z-r.json.gz", Retention(9, 9)).keys() == {
        "20021101T020000Z-r.json.gz",
        "29991101T020000Z-r.json.gz",
    }


def test_a_record_that_no_config_map_takes_is_told_and_costs_no_other(cluster, tmp_path, monkeypatch, capsys):
    list(nights(cluster, tmp_path, CLEAN))
    monkeypatch.setattr(history_ring, "ROOM", 100)
    list(nights(cluster, tmp_path, CLEAN, first=2))
    (line,) = capsys.readouterr().err.splitlines()
    assert "a ConfigMap has room for 100: keep records in a directory; no record of this run is kept" in line
    assert len(keys(cluster)) == 1


def test_two_runs_at_once_lose_no_record(cluster, tmp_path):
    list(nights(cluster, tmp_path, CLEAN))
    theirs = base64.b64encode(compress(encode(night([WEB, DB], [tried(WEB, DB)])))).decode()

    def meanwhile():
        if len(keys(cluster)) == 1:
            stored = cluster.kept[PATH]
            stored["binaryData"]["29991101T030000Z-theirs.json.gz"] = theirs
            stored["metadata"]["resourceVersion"] = "another"

    before = read_nightly(options(cluster, tmp_path))
    cluster.after_a_read = meanwhile
    after_run(replace(LEAKY, began="2999-11-02T02:00:00Z", run_id="r2"), before)
    assert [key[17:-8] for key in keys(cluster)] == ["r1", "theirs", "r2"]


@pytest.mark.parametrize("labels", [{}, {"app": "shop"}])
def test_what_is_not_a_history_stays_as_it_is(cluster, tmp_path, capsys, labels):
    cluster.kept[PATH] = {"metadata": {"name": "nights", "labels": labels, "resourceVersion": "1"}, "data": {"a": "b"}}
    before = json.dumps(cluster.kept[PATH])
    (made,) = nights(cluster, tmp_path, LEAKY)
    assert conclude(made) is Conclusion.FAIL
    assert json.dumps(cluster.kept[PATH]) == before
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("; ")[2] for line in lines] == [
        "nothing is known of earlier runs",
        "no record of this run is kept",
    ]
    assert all("is not a history: choose another name" in line for line in lines)


@pytest.mark.parametrize(("path", "verb"), [(PATH, "get"), (LIST, "create")])
def test_a_missing_right_costs_the_record_and_not_the_run(cluster, tmp_path, capsys, path, verb):
    cluster.faults[path] = [refused(403, f'User "u" cannot {verb} resource "configmaps" in API group ""')] * 9
    (made,) = nights(cluster, tmp_path, CLEAN)
    assert conclude(made) is Conclusion.PASS
    said = capsys.readouterr().err
    assert f"grant it the verb {verb} on configmaps" in said
    assert said.endswith("no record of this run is kept\n")


def test_a_damaged_record_is_told_and_skipped(cluster, tmp_path, capsys):
    list(nights(cluster, tmp_path, LEAKY))
    cluster.kept[PATH]["binaryData"]["29991102T020000Z-x.json.gz"] = "AAAA"
    (made,) = nights(cluster, tmp_path, LEAKY, first=3)
    assert conclude(made) is Conclusion.PASS
    assert "29991102T020000Z-x.json.gz: skipped:" in capsys.readouterr().err


def test_the_other_commands_read_it(cluster, tmp_path, monkeypatch):
    list(nights(cluster, tmp_path, CLEAN, LEAKY))
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig(tmp_path))
    done = CliRunner().invoke(audit, ["history", PLACE])
    assert "a leak" in done.output
    assert CliRunner().invoke(audit, ["baseline", PLACE]).output.startswith('{"schema":"audit.night/v1"')


@pytest.mark.parametrize("place", ["configmap://", "configmap://a", "configmap://a/b/c", "configmap://A/b"])
def test_what_names_no_config_map_is_refused_before_the_run(cluster, tmp_path, place):
    with pytest.raises(UsageError, match="write configmap://NAMESPACE/NAME"):
        read_nightly(options(cluster, tmp_path, place))


def test_neither_audits_nor_conformance_push_the_other_out():
    audits = {f"202611{day:02d}T020000Z-r.json.gz": b"x" * (ROOM // 4) for day in range(1, 4)}
    weekly = {"20261101T040000Z-c.conformance.json.gz": b"x" * (ROOM // 4)}
    latest = "20261104T020000Z-r.json.gz"
    kept = within({**audits, **weekly, latest: b"x" * (ROOM // 4)}, latest, Retention(400, 400))
    assert kept.keys() == {latest, *weekly, "20261103T020000Z-r.json.gz", "20261102T020000Z-r.json.gz"}
    kept = within({**audits, **weekly, latest: b"x"}, latest, Retention(1, 400))
    assert kept.keys() == {latest, *weekly}
    latest = "20261108T040000Z-c.conformance.json.gz"
    kept = within({**audits, **weekly, latest: b"x"}, latest, Retention(1, 400))
    assert kept.keys() == {latest, *audits}
