"""``audit conformance --history``: what it fails on, and that a history never costs a run."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from auditor.cli.conformance_nightly import after_conformance, read_before_conformance, verdict_of
from auditor.cli.nightly import NightlyOptions, after_run, read_nightly
from auditor.model.dialect import Dialect
from auditor.model.errors import UsageError
from auditor.model.scorecard import Score
from auditor.model.standing import FailOn
from tests.schemas import validator
from tests.unit.cli.test_nightly import LEAKY
from tests.unit.report.test_scorecard_metrics import card


def ended(made, **options):
    chosen = NightlyOptions(**options)
    return after_conformance(made, read_before_conformance(chosen))


def nights(tmp_path, **options):
    """A run a night: fine, lost, lost, fine."""
    dialects = (Dialect.SPEC, Dialect.IGNORES_END_PORT, Dialect.IGNORES_END_PORT, Dialect.SPEC)
    for day, dialect in enumerate(dialects, 1):
        yield ended(card(dialect, run=f"r{day}", day=day), history=str(tmp_path), **options)


def test_a_lost_feature_fails_once_and_is_known_until_it_is_mended(tmp_path):
    scores = [verdict_of(each) for each in nights(tmp_path, fail_on=FailOn.NEW)]
    assert scores == [Score.CONFORMS, Score.DEPARTS, Score.CONFORMS, Score.CONFORMS]


def test_without_being_asked_it_fails_as_long_as_it_is_lost(tmp_path):
    scores = [verdict_of(each) for each in nights(tmp_path)]
    assert scores == [Score.CONFORMS, Score.DEPARTS, Score.DEPARTS, Score.CONFORMS]


def test_audits_and_conformance_share_a_directory_and_not_their_records(tmp_path, capsys):
    before = after_run(LEAKY, read_nightly(NightlyOptions(history=str(tmp_path), keep=1, fail_on=FailOn.NEW)))
    assert before.comparison.standings[0].age.value == "incomparable"
    list(nights(tmp_path, fail_on=FailOn.NEW, keep=2, days=36500))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.endswith(".conformance.json.gz") for name in names] == [False, True, True]
    again = after_run(LEAKY, read_nightly(NightlyOptions(history=str(tmp_path), keep=1, fail_on=FailOn.NEW)))
    assert again.comparison.standings[0].age.value == "known"
    assert run(["history", str(tmp_path), "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["nights"]) == 1
    assert run(["history", str(tmp_path), "--conformance", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    validator("conformance-history.schema.json").validate(told)
    assert [each["conclusion"] for each in told["runs"]] == ["conforms", "departs"]


def test_a_history_that_cannot_be_written_costs_one_line(tmp_path, monkeypatch, capsys):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("auditor.history.store._write", full)
    assert verdict_of(ended(card(), history=str(tmp_path))) is Score.DEPARTS
    said = f"warning: --history {tmp_path}: no space left on device; no record of this run is kept\n"
    assert capsys.readouterr().err == said


def test_a_damaged_record_is_reported_and_the_one_before_it_counts(tmp_path, capsys):
    ended(card(), history=str(tmp_path))
    (tmp_path / "20261109T020000Z-bad.conformance.json.gz").write_bytes(b"\x1f\x8bnothing")
    made = ended(card(day=2), history=str(tmp_path), fail_on=FailOn.NEW)
    assert verdict_of(made) is Score.CONFORMS
    assert "skipped: it is damaged" in capsys.readouterr().err


def test_what_is_new_needs_something_old():
    with pytest.raises(UsageError, match="new since when"):
        ended(card(), fail_on=FailOn.NEW)


def test_a_history_without_conformance_says_what_keeps_it(tmp_path, capsys):
    assert run(["history", str(tmp_path), "--conformance"]) == 2
    assert f"'audit conformance --history {tmp_path}' keeps them" in capsys.readouterr().err
    assert run(["conformance", "--lab", "--history", "configmap://a/b"]) == 2
    assert "for the lab, name a directory" in capsys.readouterr().err
