"""What ``audit run`` does with earlier runs: what it fails on, and that a history never costs a run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.history.codec import decompress
from auditor.history.store import AUDITS, HistoryStore
from auditor.model.draw import Draw, Place
from auditor.model.errors import InputError, UsageError
from auditor.model.standing import FailOn
from auditor.model.verdict import Result
from auditor.report.cause import opening_lines
from auditor.report.conclusion import Conclusion, conclude
from auditor.report.headline import headline
from tests.unit.history.nights import pod, run_of, tried
from tests.unit.report.test_as_json import document, validator
from tests.unit.report.test_as_junit import document as xml

WEB, DB = pod("prod/web"), pod("prod/db", "n2")
CLEAN = run_of([WEB, DB], [tried(WEB, DB), tried(DB, WEB)])
LEAKY = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB)], began="2026-11-02T02:00:00Z", run="r2")
ACCEPTED = """\
schema: audit.finding-suppressions/v1
suppressions:
- {kind: leak, source: prod/web, destination: prod/*, port: TCP/5432, owner: net, reason: old, expires: %s}
"""


def ended(report, **options):
    """``report`` after its comparison, once its record is kept."""
    chosen = NightlyOptions(**options)
    made = after_run(report, read_nightly(chosen))
    validator("report.schema.json").validate(document(made))
    return made


def test_without_any_of_the_options_nothing_is_compared():
    assert ended(LEAKY).comparison is None


def test_a_new_leak_fails_once_and_is_told_until_it_is_gone(tmp_path):
    history = {"history": str(tmp_path / "records"), "fail_on": FailOn.NEW}
    seen = [
        ended(replace(each, began=f"2026-11-0{day}T02:00:00Z"), **history)
        for day, each in enumerate([CLEAN, LEAKY, LEAKY, CLEAN], 1)
    ]
    assert [conclude(each) for each in seen] == [Conclusion.PASS, Conclusion.FAIL, Conclusion.PASS, Conclusion.PASS]
    assert headline(seen[1]).startswith("1 leak (1 finding: 1 new); ")
    assert headline(seen[2]).startswith("1 leak (1 finding: 1 known); ")
    assert headline(seen[3]).endswith("all as expected")
    assert [each.age.value for each in seen[3].comparison.departed] == ["gone"]


PLACES = frozenset(Place("prod/web", node) for node in ("n1", "n2", "n3"))


def test_each_run_with_a_history_takes_the_next_draw_and_says_how_far_around_it_is(tmp_path):
    history = {"history": str(tmp_path / "records"), "keep": 2}
    told = []
    for day, node in enumerate(("n1", "n2", "n2", "n3"), 1):
        seed = read_nightly(NightlyOptions(**history)).seed
        draw = Draw(seed, 3, PLACES, frozenset({Place("prod/web", node), Place("prod/db", "n9")}))
        made = ended(replace(CLEAN, began=f"2026-11-0{day}T02:00:00Z", draw=draw), **history)
        told.append(document(made)["draw"])
        assert str(made.draw) in opening_lines(made)
    assert [each["seed"] for each in told] == [0, 1, 2, 3]  # though no more than two records stay
    assert [(each["tried"], each["runs"]) for each in told] == [(1, 1), (2, 2), (2, 3), (2, 3)]
    assert {(each["of"], each["places"]) for each in told} == {(3, 3)}
    validator("night.schema.json").validate(json.loads(decompress(max((tmp_path / "records").iterdir()).read_bytes())))


def test_without_a_history_nobody_has_a_turn(tmp_path):
    assert read_nightly(NightlyOptions(fail_on=FailOn.LEAK)).seed is None
    assert "draw" not in document(ended(CLEAN))
    ended(CLEAN, history=str(tmp_path))  # as an older version keeps it
    assert read_nightly(NightlyOptions(history=str(tmp_path))).seed == 0


def test_the_record_has_the_conclusion_of_the_run_itself(tmp_path):
    ended(LEAKY, history=str(tmp_path), suppressions=None, fail_on=FailOn.NEW)
    ended(replace(LEAKY, began="2026-11-03T02:00:00Z"), history=str(tmp_path), fail_on=FailOn.NEW)
    assert {night.conclusion for night in HistoryStore(tmp_path, AUDITS).read(9).nights} == {"fail"}


def test_a_baseline_is_a_report_a_record_or_a_history(tmp_path):
    report, directory = tmp_path / "known.json", tmp_path / "records"
    report.write_text(json.dumps(document(LEAKY)))
    ended(LEAKY, history=str(directory))
    (record,) = directory.iterdir()
    for path in (report, record, directory):
        made = ended(LEAKY, baseline=str(path))
        assert (conclude(made), made.comparison.fail_on) == (Conclusion.PASS, FailOn.NEW)
        assert conclude(ended(LEAKY, baseline=str(path), fail_on=FailOn.ANY)) is Conclusion.FAIL


def test_a_known_leak_is_a_skipped_case_and_a_new_one_a_failure(tmp_path):
    known = xml(ended(LEAKY, history=str(tmp_path), fail_on=FailOn.LEAK))
    assert len(known.findall(".//failure")) == 1
    known = xml(ended(LEAKY, history=str(tmp_path), fail_on=FailOn.NEW))
    assert not known.findall(".//failure")
    assert known.find(".//skipped").get("message") == "known: leak on TCP/5432"


@pytest.mark.parametrize(
    ("expires", "conclusion", "told"),
    [("2999-12-31", Conclusion.PASS, "1 accepted"), ("2020-01-01", Conclusion.FAIL, "1 no longer accepted")],
)
def test_what_is_accepted_passes_until_it_expires(tmp_path, expires, conclusion, told):
    path = tmp_path / "accepted.yaml"
    path.write_text(ACCEPTED % expires)
    made = ended(LEAKY, suppressions=str(path))
    assert conclude(made) is conclusion
    assert told in headline(made)


def test_no_verdict_is_no_pass_though_every_finding_is_known(tmp_path):
    unsure = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB, Result.INCONCLUSIVE)])
    ended(LEAKY, history=str(tmp_path))
    made = ended(unsure, history=str(tmp_path), fail_on=FailOn.NEW)
    assert conclude(made) is Conclusion.INCONCLUSIVE


def test_a_history_that_cannot_be_written_costs_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert conclude(ended(CLEAN, history=str(tmp_path / "file" / "records"))) is Conclusion.PASS
    assert conclude(ended(CLEAN, history=str(tmp_path / "file"))) is Conclusion.PASS
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("warning: --history ") for line in lines)


def test_a_full_volume_costs_the_record_alone(tmp_path, monkeypatch, capsys):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("auditor.history.store._write", full)
    assert conclude(ended(CLEAN, history=str(tmp_path))) is Conclusion.PASS
    assert (
        capsys.readouterr().err
        == f"warning: --history {tmp_path}: no space left on device; no record of this run is kept\n"
    )


def test_a_damaged_record_is_told_and_the_one_before_it_counts(tmp_path, capsys):
    ended(LEAKY, history=str(tmp_path))
    (tmp_path / "20261109T020000Z-bad.json.gz").write_bytes(b"\x1f\x8bnothing")
    made = ended(LEAKY, history=str(tmp_path), fail_on=FailOn.NEW)
    assert conclude(made) is Conclusion.PASS
    assert "skipped: it is damaged" in capsys.readouterr().err


def test_what_is_new_needs_something_old():
    with pytest.raises(UsageError, match="new since when"):
        read_nightly(NightlyOptions(fail_on=FailOn.NEW))


def test_a_baseline_that_is_none_is_refused_in_one_line(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="neither a report of 'audit run -o json' nor a record"):
        read_nightly(NightlyOptions(baseline=str(path)))
    with pytest.raises(UsageError, match="no record of a run is there"):
        read_nightly(NightlyOptions(baseline=str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ACCEPTED.replace("kind: leak", "kind: leek") % "2999-12-31", "did you mean leak"),
        (ACCEPTED.replace("TCP/5432", "tcp/5432") % "2999-12-31", "'tcp/5432' is not a valid port"),
        (ACCEPTED.replace("owner: net, ", "") % "2999-12-31", "a suppression needs owner"),
        (ACCEPTED % "2999-02-30", "is not a valid date"),
    ],
)
def test_a_suppression_without_what_it_needs_is_refused(tmp_path, text, said):
    path = tmp_path / "accepted.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_nightly(NightlyOptions(suppressions=str(path)))


FULL = """
import os, sys
from tests.unit.cli.test_nightly import CLEAN, conclude, ended
print(conclude(ended(CLEAN, history=sys.argv[1])).value, sorted(os.listdir(sys.argv[1])))
"""


def test_on_a_volume_that_really_is_full_nothing_of_a_record_stays(tmp_path):
    fill = 'mount -t tmpfs -o size=16k x "$1" && head -c 64k /dev/zero >"$1/full" 2>/dev/null; exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", fill, "sh"]
    done = subprocess.run(
        [*command, tmp_path, sys.executable, FULL], capture_output=True, text=True, check=False, timeout=60
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine gives nobody a mount namespace of his own")
    assert done.stdout == "pass ['full']\n", done.stderr
    assert done.stderr == f"warning: --history {tmp_path}: no space left on device; no record of this run is kept\n"
