"""Records: small, whole or not at all, and trusted only where they are ours and undamaged."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auditor.history import store as store_module
from auditor.history.codec import BadRecordError, compress, decode, decompress, encode
from auditor.history.reading import read_night
from auditor.history.store import AUDITS, HistoryStore, Retention
from auditor.model.errors import InputError
from auditor.model.night import Surroundings
from auditor.model.verdict import Result
from auditor.parsing.source import Source
from tests.unit.history.nights import night, pod, run_of, tried
from tests.unit.report.test_as_json import document, validator

WEB, DB = pod("prod/web"), pod("prod/db", "n2")
SURROUNDINGS = Surroundings({"prod/db": "abc"}, {"prod": {"a": "b"}}, {"prod/web": {"app": "web"}}, ("n1",), {"k": "1"})
NIGHT = replace(night([WEB, DB], [tried(WEB, DB, Result.LEAK)]), surroundings=SURROUNDINGS)
MANY = Retention(1000, 100_000)


def at(day, run="r1"):
    return replace(NIGHT, began=f"2026-11-{day:02}T02:00:00Z", run=run)


def test_a_record_comes_back_as_it_was_and_keeps_to_the_schema():
    content = encode(NIGHT)
    assert decode(decompress(compress(content))) == NIGHT
    validator("night.schema.json").validate(json.loads(content))


def test_a_report_and_a_record_of_one_run_say_the_same():
    report = run_of([WEB, DB], [tried(WEB, DB, Result.LEAK), tried(DB, WEB, Result.SKIPPED)], surroundings=SURROUNDINGS)
    recorded = replace(night(report.endpoints, report.cells), surroundings=SURROUNDINGS)
    read = read_night(Source("report.json", json.dumps(document(report)).encode()))
    assert replace(read, version="1.0") == recorded


def test_nights_come_back_the_latest_first(tmp_path):
    store = HistoryStore(tmp_path / "new" / "history", AUDITS)
    for day in (2, 1, 3):
        store.keep(at(day), MANY)
    assert [each.began[8:10] for each in store.read(10).nights] == ["03", "02", "01"]
    assert [each.began[8:10] for each in store.read(2).nights] == ["03", "02"]


def test_two_runs_of_one_second_are_both_kept(tmp_path):
    store = HistoryStore(tmp_path, AUDITS)
    store.keep(at(1, "one"), MANY)
    store.keep(at(1, "two"), MANY)
    assert {each.run for each in store.read(10).nights} == {"one", "two"}


def test_what_is_too_many_goes_the_oldest_first(tmp_path):
    store = HistoryStore(tmp_path, AUDITS)
    for day in range(1, 6):
        store.keep(at(day), Retention(2, 100_000))
    assert [each.began[8:10] for each in store.read(10).nights] == ["05", "04"]


def test_what_is_too_old_goes_and_the_latest_stays_whatever_the_clock_says(tmp_path):
    store = HistoryStore(tmp_path, AUDITS)
    lately = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    store.keep(replace(NIGHT, began="2020-01-01T00:00:00Z"), Retention(9, 30))
    assert len(store.read(9).nights) == 1
    store.keep(replace(NIGHT, began=lately), Retention(9, 30))
    assert [each.began for each in store.read(9).nights] == [lately]


def test_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "20200101T000000Z-x.json.gz.bak").write_text("mine")
    HistoryStore(tmp_path, AUDITS).keep(at(1), Retention(1, 1))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_record_is_whole_or_not_there(tmp_path, monkeypatch, failing):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(store_module.os, "fsync", full)
    else:
        monkeypatch.setattr(store_module.Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        HistoryStore(tmp_path, AUDITS).keep(at(1), MANY)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_goes_once_it_is_old(tmp_path):
    store = HistoryStore(tmp_path, AUDITS)
    left, fresh = (tmp_path / f".20261101T020000Z-r1.json.gz.{digit * 12}.tmp" for digit in "01")
    for path in (left, fresh):
        path.write_text("half")
    os.utime(left, (1, 1))
    store.keep(at(1), MANY)
    assert (left.exists(), fresh.exists()) == (False, True)
    assert len(store.read(10).nights) == 1


CONTENT = json.loads(encode(NIGHT))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (compress(encode(NIGHT))[:-9], "it is cut off"),
        (compress(encode(NIGHT))[:200] + b"\0" + compress(encode(NIGHT))[201:], "it is damaged"),
        (compress(encode(NIGHT)) + b"more", "something follows its end"),
        (b"", "it is not a JSON object"),
        (b"[]", "it is not a JSON object"),
        (b'{"schema": "audit.night/v1", "more": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "it is nested too deeply"),
        (b'{"schema": "audit.night/v2"}', "it is audit.night/v2, of a newer version of audit"),
        (b'{"schema": "audit.lint/v1"}', "it is audit.lint/v1, not audit.night/v1"),
        (json.dumps({**CONTENT, "rows": [[0, 1]]}).encode(), "its rows don't fit its ends"),
        (json.dumps({**CONTENT, "rows": [[0, 7], [0, 0]]}).encode(), "its rows name patterns that it doesn't have"),
        (json.dumps({**CONTENT, "patterns": [[], [9, 1]]}).encode(), "its patterns name ports that it doesn't have"),
        (json.dumps({**CONTENT, "patterns": [[], [0]]}).encode(), "its patterns name ports that it doesn't have"),
        (json.dumps({**CONTENT, "patterns": [[], [0, 9]]}).encode(), "its patterns name findings that it doesn't have"),
        (json.dumps({**CONTENT, "ends": 1}).encode(), "it is at odds with audit.night/v1"),
    ],
)
def test_what_is_no_whole_record_of_ours_is_skipped_and_told(tmp_path, data, why):
    with pytest.raises(BadRecordError, match=why):
        decode(decompress(data))
    store = HistoryStore(tmp_path, AUDITS)
    store.keep(at(1), MANY)
    (tmp_path / "20261102T020000Z-bad.json.gz").write_bytes(data)
    past = store.read(10)
    assert [each.began[8:10] for each in past.nights] == ["01"]
    (told,) = past.skipped
    assert told.startswith(f"{tmp_path}/20261102T020000Z-bad.json.gz: skipped: {why}")


def test_what_unpacks_to_too_much_is_no_record(monkeypatch):
    monkeypatch.setattr("auditor.history.codec.LARGEST", 1000)
    with pytest.raises(BadRecordError, match="larger"):
        decompress(gzip.compress(b"x" * 100_000))


def test_a_report_of_an_older_version_is_refused_in_one_line():
    old = document(run_of([WEB, DB], [tried(WEB, DB)]))
    for endpoint in old["endpoints"]:
        del endpoint["stands_for"]
    with pytest.raises(InputError, match="written by an older version of audit"):
        read_night(Source("report.json", json.dumps(old).encode()))


def test_a_night_of_sixty_classes_takes_little(tmp_path):
    """docs/history.md says what a year of them takes; the bound here leaves room, and catches a record that grows."""
    pods = [pod(f"ns{number % 8}/app{number}", f"n{number % 5}") for number in range(60)]
    ports = [53, 80, 443, 3306, 5432, 6379, 8080, 8443, 9090, 9200]
    cells = [
        tried(one, other, Result.LEAK if (number * 7 + place) % 97 == 0 else Result.MATCH, port)
        for number, one in enumerate(pods)
        for place, other in enumerate(pods)
        for port in ports
    ]
    kept = HistoryStore(tmp_path, AUDITS).keep(night(pods, cells), MANY)
    assert kept.stat().st_size < 12_000
