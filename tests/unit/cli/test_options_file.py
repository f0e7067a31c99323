"""``@FILE`` stands for the options in that file."""

from __future__ import annotations

import pytest

from auditor.cli.application import run
from auditor.cli.options_file import with_options_of_files
from auditor.model.errors import UsageError


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "options"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"@{path}"

    return written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("-A\n", ["-A"]),
        ("-n prod\n-n staging", ["-n", "prod", "-n", "staging"]),
        ("# nightly\n--timeout 2 # seconds\n\n  -q  \r\n", ["--timeout", "2", "-q"]),
        ("-l 'app in (web, db)'", ["-l", "app in (web, db)"]),
        ("--image '' $HOME *", ["--image", "", "$HOME", "*"]),
    ],
)
def test_a_file_stands_for_its_words(write, text, words):
    assert with_options_of_files(["run", write(text), "--dry-run"]) == ["run", *words, "--dry-run"]


def test_what_follows_two_dashes_and_a_lone_at_sign_stay(write):
    name = write("-A")
    given = ["run", "@", "demo@node-2", "--", name]
    assert with_options_of_files(given) == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-n prod\n-l 'app", ":2: no closing quotation"),
        (b"\xff\xfe", "is not text"),
        ("-A\n@other", ":2: a file with options can't name another one"),
    ],
)
def test_what_no_options_are_in_is_said(write, text, said):
    with pytest.raises(UsageError) as caught:
        with_options_of_files(["run", write(text)])
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_wrong_usage(capsys):
    assert run(["run", "@/nowhere/options"]) == 2
    assert capsys.readouterr().err == "error: @/nowhere/options: no such file or directory: name a file with options\n"


def test_a_command_gets_what_the_file_has(write, capsys):
    assert run(["rbac", write("--cleanup\n-n prod")]) == 0
    assert "namespace: prod" in capsys.readouterr().out
