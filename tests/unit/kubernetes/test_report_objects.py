"""``--reports``: a run as objects of OpenReports, each night's in the place of the last one's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from auditor.cli.application import audit
from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.cli.reports import scope_of, write_reports
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.model.report_scope import NARROWING, WHOLE_CLUSTER, WIDENING, ReportScope
from auditor.model.standing import FailOn
from auditor.model.verdict import Result
from auditor.report.as_objects import LARGEST, MOST_RESULTS, report_objects
from tests.unit.history.nights import pod, run_of, tried
from tests.unit.kubernetes.fake_api import KeepingApi, refused

OPEN, ELDER = "/apis/openreports.io/v1alpha1", "/apis/wgpolicyk8s.io/v1alpha2"
GROUPS = {"openreports.io": ("v1alpha1", ["reports", "clusterreports"])}
ELDER_GROUPS = {"wgpolicyk8s.io": ("v1alpha2", ["policyreports", "clusterpolicyreports"])}
WEB, DB, OPS = pod("prod/web"), pod("prod/db", "n2"), pod("ops/prometheus")
LEAKY = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB)], run="r1")
CLEAN = run_of([WEB, DB], [tried(WEB, DB), tried(DB, WEB)], run="r2", began="2026-11-02T02:00:00Z")


@pytest.fixture
def cluster():
    with KeepingApi(GROUPS) as fake:
        yield fake


@pytest.fixture
def elder():
    with KeepingApi(ELDER_GROUPS) as fake:
        yield fake


def write(fake, directory, report, *audited, name="nightly", scope=WHOLE_CLUSTER):
    write_reports(report, name, ConnectionOptions(kubeconfig=fake.kubeconfig(directory), qps=10_000), audited, scope)


def scope(**values):
    """A scope by the options that narrow it and those that widen it."""
    parts = [{name: each for name, each in values.items() if name in names} for names in (NARROWING, WIDENING)]
    return ReportScope.of(*parts)


def test_a_night_takes_the_place_of_the_one_before(cluster, tmp_path, capsys):
    write(cluster, tmp_path, LEAKY, "prod")
    places = [f"{OPEN}/clusterreports/nightly", f"{OPEN}/namespaces/prod/reports/nightly"]
    assert sorted(cluster.kept) == places
    whole, here = (cluster.kept[path] for path in places)
    assert (whole["kind"], here["kind"], here["apiVersion"]) == ("ClusterReport", "Report", "openreports.io/v1alpha1")
    assert here["summary"] == whole["summary"] == {"pass": 1, "fail": 1, "warn": 0, "error": 0, "skip": 0}
    (result,) = here["results"]
    assert (result["policy"], result["result"], result["scored"]) == ("leak", "fail", True)
    assert result["rule"] == "ingress denied by prod/db"
    assert result["message"].endswith("expected denied, observed allowed (answered, 1 try)")
    assert result["timestamp"] == {"seconds": 1793498400, "nanos": 0}
    assert here["scope"] == {"apiVersion": "v1", "kind": "Namespace", "name": "prod"}
    assert here["configuration"]["limits"]["maxResults"] == MOST_RESULTS
    write(cluster, tmp_path, CLEAN, "prod")
    assert sorted(cluster.kept) == places
    here = cluster.kept[places[1]]
    assert (here["results"], here["summary"]["fail"]) == ([], 0)
    assert here["metadata"]["annotations"]["netpol-audit/run"] == "r2"
    assert capsys.readouterr().err == ""


def test_without_openreports_the_elder_kinds_are_written_with_their_own_fields(elder, tmp_path, capsys):
    write(elder, tmp_path, LEAKY, "prod")
    assert sorted(elder.kept) == [
        f"{ELDER}/clusterpolicyreports/nightly",
        f"{ELDER}/namespaces/prod/policyreports/nightly",
    ]
    here = elder.kept[f"{ELDER}/namespaces/prod/policyreports/nightly"]
    assert here["kind"] == "PolicyReport"
    assert not {"source", "configuration"} & here.keys()
    assert here["results"][0]["source"] == "netpol-audit"
    assert capsys.readouterr().err == ""


def test_openreports_goes_before_the_elder_kinds(tmp_path):
    with KeepingApi({**ELDER_GROUPS, **GROUPS}) as both:
        write(both, tmp_path, CLEAN, "prod")
    assert all(path.startswith(OPEN) for path in both.kept)


def test_a_cluster_without_such_kinds_costs_one_line(tmp_path, capsys):
    with KeepingApi({}) as bare:
        write(bare, tmp_path, LEAKY, "prod")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --reports: http://")
    assert "has no report objects: install the CustomResourceDefinitions of openreports.io/v1alpha1" in line
    assert line.endswith("; no report object was written")


def test_a_missing_right_costs_one_line_and_no_other_object(cluster, tmp_path, capsys):
    path = f"{OPEN}/namespaces/prod/reports/nightly"
    cluster.faults[path] = [refused(403, 'User "u" cannot get resource "reports" in API group "openreports.io"')]
    write(cluster, tmp_path, LEAKY, "prod")
    (line,) = capsys.readouterr().err.splitlines()
    assert "grant it the verb get on reports.openreports.io" in line
    assert line.endswith("; 1 of 2 report objects not written")
    assert list(cluster.kept) == [f"{OPEN}/clusterreports/nightly"]


def test_an_api_server_that_is_away_costs_one_line(cluster, tmp_path, capsys):
    cluster.faults["/apis"] = [refused(503)] * 9
    write(cluster, tmp_path, LEAKY, "prod")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("; no report object was written")


def test_what_somebody_else_has_put_there_stays(cluster, tmp_path, capsys):
    path = f"{OPEN}/clusterreports/nightly"
    cluster.kept[path] = {"metadata": {"name": "nightly", "resourceVersion": "7"}, "results": ["theirs"]}
    write(cluster, tmp_path, LEAKY, "prod")
    assert cluster.kept[path]["results"] == ["theirs"]
    assert "clusterreports.openreports.io nightly was made by somebody else" in capsys.readouterr().err


def test_labels_and_owners_that_somebody_has_added_stay(cluster, tmp_path):
    write(cluster, tmp_path, LEAKY, "prod")
    metadata = cluster.kept[f"{OPEN}/clusterreports/nightly"]["metadata"]
    metadata["labels"]["team"] = "net"
    metadata["ownerReferences"] = [{"kind": "ConfigMap", "name": "x"}]
    metadata["managedFields"] = [{"manager": "x"}]
    write(cluster, tmp_path, CLEAN, "prod")
    metadata = cluster.kept[f"{OPEN}/clusterreports/nightly"]["metadata"]
    assert metadata["labels"] == {"team": "net", "app.kubernetes.io/managed-by": "netpol-audit"}
    assert metadata["ownerReferences"]
    assert "managedFields" not in metadata


def test_a_namespace_that_holds_nothing_any_more_gets_an_empty_report_in_the_place_of_an_old_one(cluster, tmp_path):
    write(cluster, tmp_path, LEAKY, "prod", "idle")
    moved = run_of([OPS, WEB], [tried(WEB, OPS)], run="r3")
    write(cluster, tmp_path, moved, "prod", "idle", "ops")
    assert cluster.kept[f"{OPEN}/namespaces/prod/reports/nightly"]["summary"]["fail"] == 0
    assert f"{OPEN}/namespaces/ops/reports/nightly" in cluster.kept
    assert f"{OPEN}/namespaces/idle/reports/nightly" not in cluster.kept


def test_namespaces_of_which_nothing_was_probed_get_none():
    skipped = run_of([WEB, OPS], [tried(WEB, OPS, Result.SKIPPED), tried(OPS, WEB)])
    assert [each.namespace for each in report_objects(skipped, ())] == ["", "prod"]


def crowd(number, size=0):
    pods = [pod(f"prod/app-{'x' * size}{each}") for each in range(number)]
    cells = [tried(WEB, each, Result.LEAK if place % 2 else Result.INCONCLUSIVE) for place, each in enumerate(pods)]
    return run_of([WEB, *pods], cells)


@pytest.mark.parametrize(
    ("number", "kept", "more"), [(1000, 1000, ""), (1001, 1000, "and 2 more"), (1500, 1000, "501")]
)
def test_a_report_has_a_thousand_results_the_gravest_first(number, kept, more):
    _, here = report_objects(crowd(number), ())
    assert len(here.results) == kept
    assert here.summary == {"pass": 0, "fail": number // 2, "warn": 0, "error": (number + 1) // 2, "skip": 0}
    assert [each.status for each in here.results[: number // 2]] == ["fail"] * (number // 2)
    assert more in here.results[-1].message
    assert (here.results[-1].policy == "more") == bool(more)


def test_a_report_is_small_enough_for_etcd_whatever_names_are_like(cluster, tmp_path):
    write(cluster, tmp_path, crowd(1500, 230), "prod")
    kept = cluster.kept[f"{OPEN}/namespaces/prod/reports/nightly"]
    assert LARGEST // 2 < len(json.dumps(kept, separators=(",", ":")).encode()) < 1.5 * (1 << 20)
    assert "more: a JSON report" in kept["results"][-1]["message"]


def test_what_is_known_or_accepted_is_a_warning(tmp_path):
    options = NightlyOptions(str(tmp_path), fail_on=FailOn.NEW)
    after_run(LEAKY, read_nightly(options))
    known = after_run(replace(LEAKY, began="2026-11-02T02:00:00Z"), read_nightly(options))
    whole, here = report_objects(known, ())
    assert (whole.summary["warn"], whole.summary["fail"], here.results[0].status) == (1, 0, "warn")
    assert [each.status for each in whole.results] == ["warn"]
    assert here.results[0].properties["age"] == "known"


def test_a_run_without_a_verdict_is_an_error_of_its_own():
    unsure = run_of([WEB, DB], [tried(WEB, DB, Result.INCONCLUSIVE), tried(DB, WEB)])
    whole, here = report_objects(unsure, ())
    assert [(each.policy, each.status) for each in whole.results] == [
        ("conclusion", "error"),
        ("inconclusive", "error"),
    ]
    assert here.summary["error"] == 1


NIGHT = scope(namespaces=("prod", "ops"), intent=("yes",))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (scope(namespaces=("prod", "ops"), intent=("yes",), to=("prod/db",)), "with --to prod/db"),
        (scope(namespaces=("prod", "ops"), intent=("yes",), ports=("TCP/80",)), "with --ports TCP/80"),
        (scope(namespaces=("prod",), intent=("yes",)), "with -n prod"),
        (scope(namespaces=("ops", "dev"), intent=("yes",)), "with -n dev, ops"),
        (scope(namespaces=("prod", "ops")), "without --intent"),
    ],
)
def test_a_run_that_looks_at_a_part_leaves_the_whole_alone(cluster, tmp_path, capsys, part, why):
    write(cluster, tmp_path, LEAKY, "prod", "ops", scope=NIGHT)
    kept = dict(cluster.kept)
    later = run_of([OPS, WEB], [tried(WEB, OPS)], run="r3", began="2026-11-01T21:59:59Z")
    write(cluster, tmp_path, later, "prod", "ops", scope=part)
    assert cluster.kept == kept
    (line,) = capsys.readouterr().err.splitlines()
    said = f"clusterreports.openreports.io nightly is of a run of today that looked at more than this one ({why}): "
    assert said in line
    assert line.endswith("; no report object was written")


@pytest.mark.parametrize(
    "more",
    [
        NIGHT,
        WHOLE_CLUSTER,
        scope(namespaces=("prod", "ops", "dev"), intent=("yes",)),
        scope(namespaces=("prod", "ops"), intent=("yes",), external=("host/x:TCP/443",)),
    ],
)
def test_a_run_that_looks_at_as_much_or_more_takes_the_place(cluster, tmp_path, capsys, more):
    write(cluster, tmp_path, LEAKY, "prod", scope=scope(namespaces=("prod", "ops")))
    write(cluster, tmp_path, replace(CLEAN, began=LEAKY.began), "prod", scope=more)
    assert {each["metadata"]["annotations"]["netpol-audit/run"] for each in cluster.kept.values()} == {"r2"}
    assert capsys.readouterr().err == ""


def test_the_object_of_one_namespace_stays_when_a_part_is_written_beside_it(cluster, tmp_path, capsys):
    write(cluster, tmp_path, LEAKY, "prod", scope=NIGHT)
    del cluster.kept[f"{OPEN}/clusterreports/nightly"]
    write(cluster, tmp_path, replace(CLEAN, began=LEAKY.began), "prod", scope=scope(namespaces=("ops",)))
    here = cluster.kept[f"{OPEN}/namespaces/prod/reports/nightly"]
    assert here["metadata"]["annotations"]["netpol-audit/run"] == "r1"
    assert capsys.readouterr().err.endswith("; 1 of 2 report objects not written\n")


@pytest.mark.parametrize("began", ["2026-11-01T06:00:00Z", "2026-11-01", "yesterday", ""])
def test_a_night_that_looks_at_less_than_the_one_before_takes_its_place(cluster, tmp_path, capsys, began):
    write(cluster, tmp_path, LEAKY, "prod", scope=NIGHT)
    for each in cluster.kept.values():
        each["metadata"]["annotations"]["netpol-audit/began"] = began
    write(cluster, tmp_path, CLEAN, "prod", scope=scope(namespaces=("prod",)))
    assert {each["metadata"]["annotations"]["netpol-audit/run"] for each in cluster.kept.values()} == {"r2"}
    assert capsys.readouterr().err == ""


PLACES = {name: f"{OPEN}/namespaces/{name}/reports/nightly" for name in ("prod", "ops")}
BOTH = run_of([WEB, DB, OPS], [tried(WEB, DB, Result.LEAK), tried(WEB, OPS, Result.LEAK)], run="r1")
PROD = scope(namespaces=("prod",))


def narrowed(fake, directory, began, run="r2"):
    """A run of prod alone, after one of prod and ops."""
    write(fake, directory, replace(CLEAN, began=began, run_id=run), "prod", scope=PROD)


def test_a_namespace_that_was_dropped_keeps_its_object_for_a_week_and_is_reported_with_its_age(
    cluster, tmp_path, capsys
):
    write(cluster, tmp_path, BOTH, "prod", "ops", scope=NIGHT)
    for day in (2, 5, 8):
        kept = cluster.kept[PLACES["ops"]]
        narrowed(cluster, tmp_path, f"2026-11-{day:02d}T02:00:00Z")
        assert cluster.kept[PLACES["ops"]] == kept
        (line,) = capsys.readouterr().err.splitlines()
        assert "1 namespace at which this run doesn't look has an object of earlier runs: ops (2026-11-01); " in line
        assert "'kubectl delete reports.openreports.io nightly -n NAMESPACE' removes one" in line
    narrowed(cluster, tmp_path, "2026-11-09T02:00:01Z", "r9")
    here = cluster.kept[PLACES["ops"]]
    assert (here["results"], {*here["summary"].values()}) == ([], {0})
    said = here["metadata"]["annotations"]["netpol-audit/headline"]
    assert said == "no longer looked at: the last run that did began at 2026-11-01T02:00:00Z"
    assert "ops (2026-11-01, emptied)" in capsys.readouterr().err
    narrowed(cluster, tmp_path, "2026-11-10T02:00:00Z")
    assert capsys.readouterr().err == ""
    assert cluster.kept[PLACES["ops"]] == here


def test_a_narrower_run_by_hand_takes_nothing_from_the_night(cluster, tmp_path, capsys):
    """Whenever it comes: at once it writes nothing, and later it leaves the other namespaces alone."""
    write(cluster, tmp_path, BOTH, "prod", "ops", scope=NIGHT)
    kept = dict(cluster.kept)
    narrowed(cluster, tmp_path, "2026-11-01T12:00:00Z")
    assert cluster.kept == kept
    narrowed(cluster, tmp_path, "2026-11-03T02:00:00Z")
    assert cluster.kept[PLACES["ops"]] == kept[PLACES["ops"]]
    capsys.readouterr()
    write(cluster, tmp_path, replace(BOTH, run_id="r4", began="2026-11-04T02:00:00Z"), "prod", "ops", scope=NIGHT)
    assert cluster.kept[PLACES["ops"]]["metadata"]["annotations"]["netpol-audit/run"] == "r4"
    assert capsys.readouterr().err == ""


def test_an_object_that_was_deleted_or_is_not_ours_is_not_missed(cluster, tmp_path, capsys):
    write(cluster, tmp_path, BOTH, "prod", "ops", scope=NIGHT)
    theirs = cluster.kept[PLACES["ops"]]
    theirs["metadata"]["labels"] = {}
    narrowed(cluster, tmp_path, "2026-11-20T02:00:00Z")
    assert cluster.kept[PLACES["ops"]] == theirs
    assert capsys.readouterr().err == ""
    write(cluster, tmp_path, replace(BOTH, began="2026-11-21T02:00:00Z"), "prod", "ops", scope=NIGHT)
    capsys.readouterr()
    del cluster.kept[PLACES["ops"]]
    narrowed(cluster, tmp_path, "2026-11-30T02:00:00Z")
    assert PLACES["ops"] not in cluster.kept
    assert capsys.readouterr().err == ""


def test_without_the_right_to_look_there_it_is_named_as_long_as_it_would_be_kept(cluster, tmp_path, capsys):
    write(cluster, tmp_path, BOTH, "prod", "ops", scope=NIGHT)
    kept = cluster.kept[PLACES["ops"]]
    for day, lines in ((4, 1), (10, 0), (11, 0)):
        cluster.faults[PLACES["ops"]] = [refused(403, 'User "u" cannot get resource "reports" in API group ""')] * 9
        narrowed(cluster, tmp_path, f"2026-11-{day:02d}T02:00:00Z")
        assert len(capsys.readouterr().err.splitlines()) == lines
        assert cluster.kept[PLACES["ops"]] == kept


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"ops":7}', '{"ops":""}'])
def test_namespaces_that_cannot_be_read_cost_nothing(cluster, tmp_path, capsys, text):
    write(cluster, tmp_path, BOTH, "prod", "ops", scope=NIGHT)
    cluster.kept[f"{OPEN}/clusterreports/nightly"]["metadata"]["annotations"]["netpol-audit/namespaces"] = text
    narrowed(cluster, tmp_path, "2026-11-04T02:00:00Z")
    assert "not written" not in capsys.readouterr().err
    assert cluster.kept[PLACES["ops"]]["metadata"]["annotations"]["netpol-audit/run"] == "r1"


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"namespaces":7}'])
def test_an_object_without_a_scope_that_can_be_read_is_replaced(cluster, tmp_path, text):
    write(cluster, tmp_path, LEAKY, "prod", scope=NIGHT)
    for each in cluster.kept.values():
        each["metadata"]["annotations"]["netpol-audit/scope"] = text
    write(cluster, tmp_path, replace(CLEAN, began=LEAKY.began), "prod", scope=scope(to=("prod/db",)))
    assert {each["metadata"]["annotations"]["netpol-audit/run"] for each in cluster.kept.values()} == {"r2"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-A",), {"probe-pods": ["yes"], "seconds": ["yes"]}),
        (("-A", "--one-per-class"), {"probe-pods": ["yes"]}),
        (("-A", "--in-place"), {}),
        (("-A", "--in-place", "--per-node"), {"per-node": ["yes"], "seconds": ["yes"]}),
        (
            (
                "-n",
                "prod",
                "-l",
                "app=web",
                "--from",
                "prod/web",
                "--to",
                "ops/*",
                "--ports",
                "80,UDP/53",
                "--all-pods",
            ),
            {
                "namespaces": ["prod"],
                "pods": ["app in (web)"],
                "from": ["prod/web"],
                "to": ["ops/*"],
                "ports": ["TCP/80", "UDP/53"],
                "per-node": ["yes"],
                "all-pods": ["yes"],
                "probe-pods": ["yes"],
                "seconds": ["yes"],
            },
        ),
    ],
)
def test_the_scope_is_what_the_options_say(monkeypatch, options, expected):
    seen = []
    monkeypatch.setattr("auditor.cli.run_live.run_live", lambda options: seen.append(options) or 0)
    assert CliRunner().invoke(audit, ["run", *options, "--reports", "nightly"]).exit_code == 0
    (chosen,) = seen
    assert json.loads(str(scope_of(chosen.live, chosen.audit))) == expected
