"""``-o FORMAT``, ``-o FORMAT=FILE`` and ``--output-file``: what goes where, and what can't."""

from __future__ import annotations

import json
import os

import pytest

from auditor.cli.application import run
from auditor.report.registry import DEFAULT_FORMAT, FORMATS, LINT, RUN, Document, formats_of, renderer

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: prod}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}
"""

ONE_OF = ", ".join(map(repr, formats_of(LINT)))


@pytest.fixture
def lint(tmp_path, monkeypatch, capfd):
    """Lints a policy in a directory of its own with the options given: the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)

    def lint_with(*options):
        code = run(["lint", "-f", "policy.yaml", *map(str, options)])
        return code, *capfd.readouterr()

    return lint_with


def test_one_run_writes_as_many_formats_as_are_asked_for(lint, tmp_path):
    code, table, said = lint("-o", "json=out.json", "-o", "junit=out.xml", "-o", "table")
    assert code == lint()[0]
    assert (table, said) == lint()[1:]
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(lint("-o", "json")[1])
    assert "<testsuites " in (tmp_path / "out.xml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.xml", "policy.yaml"]


def test_the_output_file_is_for_the_format_that_names_none(lint, tmp_path):
    assert lint("-o", "json=out.json", "-o", "table", "--output-file", "out.txt")[1] == ""
    assert (tmp_path / "out.txt").read_text() == lint()[1]
    json.loads((tmp_path / "out.json").read_text())


def test_a_name_may_have_an_equals_sign(lint, tmp_path):
    lint("-o", "json=a=b.json")
    assert (tmp_path / "a=b.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "xml"], f"'xml' is not one of {ONE_OF}."),
        (["-o", "xml=out.xml"], f"'xml' is not one of {ONE_OF}."),
        (["-o", "=out.xml"], f"'' is not one of {ONE_OF}."),
        (["-o", "json="], "'json=' names no file: write json=FILE, or json for standard output."),
        (["-o", "json", "-o", "table"], "-o json and -o table both go to standard output: "),
        (["-o", "json", "-o", "json"], "-o json and -o json both go to standard output: "),
        (["-o", "json", "-o", "table=-"], "-o json and -o table=- both go to standard output: "),
        (["-o", "json", "-o", "table=/dev/stdout"], "-o json and -o table=/dev/stdout both go to standard output: "),
        (["-o", "json", "-o", "table", "--output-file", "out"], "--output-file out and --output-file out both go to "),
        (["-o", "json=out", "-o", "table=./out"], "-o json=out and -o table=./out both go to the same file, ./out: "),
        (["-o", "json=out", "-o", "table", "--output-file", "out"], "-o json=out and --output-file out both go to "),
        (["-o", "json=out", "--output-file", "other"], "--output-file other: each -o names its file already; "),
        (["-o", "json=out", "-o", "junit=absent/out"], "-o junit=absent/out: there is no directory "),
        (["-o", "json=out", "-o", "junit=."], "-o junit=.: is a directory"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line_before_anything_is_written(lint, tmp_path, options, said):
    code, out, err = lint(*options)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["policy.yaml"]


def test_two_links_to_one_file_are_the_same_file(lint, tmp_path):
    (tmp_path / "out").write_text("old")
    os.link(tmp_path / "out", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("out")
    for other in ("hard", "soft"):
        assert lint("-o", "json=out", "-o", f"table={other}")[0] == 2
    assert (tmp_path / "out").read_text() == "old"


def test_a_device_takes_any_number_of_formats(lint):
    assert lint("-o", "json=/dev/null", "-o", "table=/dev/null") == lint("-o", "json=/dev/null")


def test_a_file_that_can_not_be_written_takes_nothing_from_the_others(lint, tmp_path):
    code, out, err = lint("-o", "json=/dev/full", "-o", "junit=out.xml", "-o", "table")
    assert code == 4
    assert err == "error: -o json=/dev/full: no space left on device\n"
    assert out == lint()[1]
    assert "<testsuites " in (tmp_path / "out.xml").read_text()


def test_each_file_that_can_not_be_written_is_told(lint):
    assert lint("-o", "json=/dev/full", "-o", "junit=/dev/full")[2] == (
        "error: -o json=/dev/full: no space left on device\nerror: -o junit=/dev/full: no space left on device\n"
    )


def test_that_nobody_reads_a_pipe_takes_no_file_away(lint, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, _, err = lint("-o", f"table=/dev/fd/{writing}", "-o", "json=out.json")
    finally:
        os.close(writing)
    assert (code, err) == (4, "")
    json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize("option", ["-o json", "-o json=cluster.json", "-o yaml"])
def test_a_snapshot_is_not_written_to_a_file_called_as_a_format(option, capfd):
    assert run(["snapshot", *option.split()]) == 2
    assert "-o names a file here" in capfd.readouterr().err


@pytest.mark.parametrize(("document", "name"), FORMATS, ids=lambda each: getattr(each, "name", each))
def test_every_format_has_its_renderer(document, name):
    assert callable(renderer(document, name))
    assert DEFAULT_FORMAT in formats_of(document)


def test_help_and_option_offer_a_new_format_that_one_line_adds(lint, monkeypatch, capfd):
    from auditor.cli import outputs  # noqa: PLC0415

    toy = Document("toy")
    monkeypatch.setitem(FORMATS, (toy, "table"), FORMATS[RUN, "table"])
    monkeypatch.setitem(FORMATS, (toy, "csv"), FORMATS[RUN, "json"])
    command = outputs.output_options(toy)(lambda **_: 0)
    help_texts = [option.metavar for option in command.__click_params__]
    assert "table|csv[=FILE]" in help_texts


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--output-file", "out"], "--output-file out"), (["-o", "json=out", "-o", "junit=other"], "-o json=out")],
)
def test_a_folder_that_is_gone_is_told_by_what_was_to_be_written_there(tmp_path, monkeypatch, capfd, options, said):
    policy, gone = tmp_path / "policy.yaml", tmp_path / "gone"
    policy.write_text(POLICY)
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["lint", "-f", str(policy), *options]) == 4
    assert capfd.readouterr().err == f"error: {said}: no such file or directory; nothing was written there\n"


@pytest.mark.parametrize(
    "command",
    [
        ["lint", "-f", "policy.yaml", "-o", "json=policy.yaml"],
        ["lint", "-f", "policy.yaml", "-o", "json=out.json", "-o", "sarif=./link.yaml"],
        ["lint", "-f", "link.yaml", "--output-file", "policy.yaml"],
        ["lint", "-f", "other.yaml", "-f", "policy.yaml", "-o", "html=policy.yaml"],
        ["lint", "-f", "other.yaml", "--suppressions", "policy.yaml", "-o", "json=policy.yaml"],
        ["intent", "-f", "other.yaml", "--intent", "policy.yaml", "-o", "json=policy.yaml"],
        ["diff", "other.yaml", "policy.yaml", "-o", "json=policy.yaml"],
        ["test", "policy.yaml", "-f", "other.yaml", "-o", "tap=policy.yaml"],
        ["compare", "other.yaml", "policy.yaml", "-o", "json=policy.yaml"],
        ["baseline", "policy.yaml", "--output-file", "policy.yaml"],
        ["run", "--lab", "demo", "--baseline", "policy.yaml", "-o", "html=policy.yaml"],
        ["snapshot", "-A", "--kubeconfig", "policy.yaml", "--output-file", "policy.yaml"],
    ],
)
def test_what_a_command_reads_is_not_replaced_by_what_it_writes(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("policy.yaml", "other.yaml"):
        (tmp_path / name).write_text(POLICY)
    (tmp_path / "link.yaml").symlink_to("policy.yaml")
    before = sorted(tmp_path.iterdir())
    assert run(command) == 2
    assert "which would be replaced: write to another file" in capsys.readouterr().err
    assert (tmp_path / "policy.yaml").read_text() == POLICY
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [
        ["expect", "-f", "policy.yaml", "-n", "prod", "--output-file", "prod"],
        ["lint", "-f", "policy.yaml", "-n", "prod", "-o", "json=prod"],
        ["explain", "-f", "policy.yaml", "prod/web", "prod/web", "TCP/80", "--output-file", "prod/web"],
        ["run", "--lab", "demo", "--dry-run", "--from", "prod/api", "--output-file", "prod/api"],
        ["run", "--lab", "nothing-there", "--baseline", "known.json", "-o", "json=known.json"],
    ],
)
def test_what_has_a_name_of_the_cluster_or_is_the_next_baseline_may_be_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "known.json").write_text("{}")
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "prod").mkdir() if "/" in command[-1] else None
    run(command)
    assert "which would be replaced" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["lint", "-f", ""],
        ["expect", "-k", ""],
        ["expect", "--helm", ""],
        ["intent", "-f", "policy.yaml", "--intent", ""],
        ["diff", "", "policy.yaml"],
        ["test", "", "-f", "policy.yaml"],
        ["history", ""],
        ["compare", "", ""],
        ["baseline", ""],
        ["expect", "-f", "policy.yaml", "-n", ""],
        ["diff", "policy.yaml", "policy.yaml", "-n", ""],
    ],
)
def test_an_empty_value_is_not_the_working_directory_or_a_default(command, tmp_path, monkeypatch, capsys):
    """'-f "$UNSET"' in a script."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Invalid value for '")
    assert said.count("\n") == 1
