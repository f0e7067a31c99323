from __future__ import annotations

import io
import os
import sys

import pytest

from auditor.model.errors import UsageError
from auditor.run import sources
from auditor.run.sources import load_scenario, load_sources, manifests_beside, scenario_directory, scenario_names


def names(found):
    return [source.name for source in found]


@pytest.fixture
def directory(tmp_path):
    for name in ("b.yaml", "a.yml", "c.json", "notes.txt", "below/d.yaml", "below/deeper/e.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    return tmp_path


def test_a_file_is_read_under_the_name_that_was_given(directory, monkeypatch):
    monkeypatch.chdir(directory)
    (source,) = load_sources(["./b.yaml"])
    assert (source.name, source.data) == ("./b.yaml", b"# b.yaml")


def test_a_directory_gives_its_manifests_in_order(directory):
    assert names(load_sources([str(directory)])) == [f"{directory}/{name}" for name in ("a.yml", "b.yaml", "c.json")]


def test_recursive_reads_the_directories_below(directory):
    found = names(load_sources([str(directory)], recursive=True))
    assert [name.removeprefix(f"{directory}/") for name in found] == [
        "a.yml",
        "b.yaml",
        "below/d.yaml",
        "below/deeper/e.json",
        "c.json",
    ]


def test_a_loop_of_directories_ends(directory):
    (directory / "below" / "up").symlink_to(directory)
    assert len(load_sources([str(directory)], recursive=True)) == 5


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"kind: Pod")))
    (source,) = load_sources(["-"])
    assert (source.name, source.data) == ("<stdin>", b"kind: Pod")


def test_standard_input_twice_is_refused():
    with pytest.raises(UsageError, match="can be read once only"):
        load_sources(["-", "-"])


def test_what_never_ends_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 1 << 20)
    with pytest.raises(UsageError, match=r"^/dev/zero: more than 1 MiB: "):
        load_sources(["/dev/zero"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" " * ((1 << 20) + 1))))
    with pytest.raises(UsageError, match=r"^<stdin>: more than 1 MiB: "):
        load_sources(["-"])


def test_as_much_as_may_be_read_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "LARGEST", 4)
    (tmp_path / "full.yaml").write_bytes(b"a: 1")
    (source,) = load_sources([str(tmp_path / "full.yaml")])
    assert source.data == b"a: 1"


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match=f"{tmp_path}/absent.yaml: no such file or directory"):
        load_sources([f"{tmp_path}/absent.yaml"])


def test_a_directory_without_manifests(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"no \.json, \.yaml, \.yml file in this directory"):
        load_sources([str(tmp_path)])


@pytest.fixture
def closed(tmp_path):
    """A file that must not be read. Root may read everything, so the test becomes someone who may not."""
    path = tmp_path / "closed.yaml"
    path.touch(mode=0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield path
    os.seteuid(before)


def test_a_file_without_permission(closed):
    with pytest.raises(UsageError, match=r"closed\.yaml: permission denied"):
        load_sources([str(closed)])


def test_a_path_with_a_nul():
    with pytest.raises(UsageError, match="no path of a file"):
        load_sources(["a\0b"])


def test_the_scenarios_of_a_checkout_are_found():
    assert (scenario_directory() / "demo.yaml").is_file()
    assert "demo" in scenario_names()


def test_a_scenario_by_name_and_by_path():
    path = str(scenario_directory() / "demo.yaml")
    assert load_scenario("demo").snapshot == load_scenario(path).snapshot


@pytest.mark.parametrize(("text", "hint"), [("dmo", "did you mean demo?"), ("zzzzzz", "'audit scenarios' lists them")])
def test_an_unknown_scenario(text, hint):
    with pytest.raises(UsageError) as caught:
        load_scenario(text)
    assert str(caught.value).startswith(f"no scenario is called {text!r}: ")
    assert hint in str(caught.value)


def test_a_scenario_at_a_path_that_is_not_there():
    with pytest.raises(UsageError, match=r"\./demo\.yaml: no such file"):
        load_scenario("./demo.yaml")


def test_manifests_are_relative_to_their_scenario(directory):
    load = manifests_beside(str(directory / "scenario.yaml"))
    assert load("below/d.yaml").data == b"# below/d.yaml"
