"""Nothing that comes from outside moves a cursor, hides text or commands a CI system, whatever is printed
and wherever.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from auditor.model.lint import LintReport, Severity, Sorted
from auditor.model.printable import printable
from auditor.report import as_json, as_junit, as_table, lint_as_json, lint_as_junit, lint_as_table
from auditor.report.console import MIN_WIDTH, open_console, print_line, print_paragraph
from auditor.report.lines import say, say_aside, say_traceback, say_what_libraries_say
from auditor.report.progress import LineProgress
from auditor.report.progress_bar import BarProgress
from tests.unit.report.hostile import COMMANDS, HOSTILE, is_command, is_harmless, texts
from tests.unit.report.reports import ACCEPTED, UNTESTED, leak, report, result, skipped, with_untested

PACKAGE = Path(__file__).parents[3] / "auditor"
STYLING = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_what_is_hostile_here_would_be_obeyed():
    assert all(map(is_command, COMMANDS))
    assert not any(map(is_harmless, HOSTILE))


@given(texts)
def test_a_printable_line_is_one_line_and_harmless(text):
    line = printable(text)
    assert "\n" not in line
    assert is_harmless(line)
    assert printable(line) == line


@pytest.mark.parametrize(
    "text",
    ["größe", "数据/db", "{a: [1, 2]}", "::1", "::/0 and fe80::1", "::a and ::b", "2001:db8::1", "# a ## b", "a::b"],
)
def test_what_is_harmless_stays_as_it_is(text):
    assert printable(text) == text


@given(texts, st.integers(0, 30), st.integers(0, 40))
def test_a_console_prints_harmless_lines(text, indent, hang):
    for stream in (io.StringIO(), Terminal()):
        console = open_console(stream)
        print_paragraph(console, text, indent, hang)
        print_paragraph(console, Text.assemble((text, "bold red"), text), indent, hang)
        print_line(console, Text(text, style="dim"))
        print_line(console, text)
        assert is_harmless(STYLING.sub("", stream.getvalue()))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_line_of_a_paragraph_begins_with_a_command(stream):
    shown = stream()
    print_paragraph(open_console(shown), "word " * 15 + "::error file=a::b")
    assert len(shown.getvalue().splitlines()) == 2
    assert is_harmless(STYLING.sub("", shown.getvalue()))


@given(st.text("ab \u00e4", max_size=200), st.integers(0, 45), st.integers(0, 45))
@example("a" * 50 + " b", 0, 0)
@example(" " * 50 + "b", 0, 0)
def test_a_paragraph_begins_a_new_line_before_each_word_that_has_no_room(text, indent, hang):
    stream = io.StringIO()
    console = open_console(stream)
    console.width = MIN_WIDTH
    print_paragraph(console, text, indent, hang)
    lines, room = [""], MIN_WIDTH - indent
    for blanks, word in re.findall("( *)([^ ]+)", text):
        if lines[-1] + blanks and len(lines[-1] + blanks + word) > room:
            lines[-1] = lines[-1].rstrip()
            lines, room = [*lines, word], MIN_WIDTH - hang
        else:
            lines[-1] += blanks + word
    margins = [indent, *[hang] * (len(lines) - 1)]
    assert stream.getvalue() == "".join(
        f"{' ' * margin if line else ''}{line}\n" for margin, line in zip(margins, lines, strict=True)
    )


def test_styles_stay_where_they_are_around_an_escape():
    stream = Terminal()
    print_line(open_console(stream), Text.assemble(("a\u202eb", "bold"), "c"))
    assert "\x1b[1m\\u202e\x1b[0m\x1b[1mb\x1b[0mc" in stream.getvalue()


def test_whatever_is_printed_past_the_two_functions_is_printable_too():
    stream = Terminal()
    open_console(stream).print(Text("a\x1b[2Jb\u202e"), soft_wrap=True)
    assert is_harmless(STYLING.sub("", stream.getvalue()))


@given(texts)
def test_lines_beside_tables_are_harmless(text):
    stream = io.StringIO()
    LineProgress(stream).note(text)
    LineProgress(stream).phase(text, 3)
    assert len(stream.getvalue().split("\n")) == 3
    assert is_harmless(stream.getvalue())


def test_a_bar_is_harmless():
    stream = Terminal()
    with BarProgress(open_console(stream)) as bar:
        for text in HOSTILE:
            bar.note(text)
            bar.phase(text, 3)
    for unwanted in ("\x1b[2J", "\x1b]", "\x9b", "\u202e", "\n::error"):
        assert unwanted not in stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_standard_streams_get_harmless_lines(text, capsys):
    say(text)
    say_aside(text)
    say_traceback(ValueError(text))
    shown = capsys.readouterr()
    assert is_harmless(shown.out)
    assert is_harmless(shown.err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_line_is_told_in_the_characters_that_there_are(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say("größe 数据")
    assert stream.buffer.getvalue().decode(encoding).endswith("\\u6570\\u636e\n")


def test_what_libraries_say_is_harmless(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    say_what_libraries_say()
    logging.getLogger("asyncio").error("lost: %s", HOSTILE[-1], exc_info=ValueError("a\x1b[2J\n::error::no"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a\x1b[2J\n::error::no", stacklevel=1)
    _Failing()
    shown = capsys.readouterr().err
    assert "error: asyncio: lost: " in shown
    assert "UserWarning: a\\x1b[2J\\n::error::no" in shown
    assert "ValueError: gone\\x1b[2J" in shown
    assert is_harmless(shown)


class _Failing:
    def __del__(self):
        raise ValueError("gone\x1b[2J")


def hostile_report(text):
    cells = [
        leak(f"prod/{text}", "prod/b", "TCP/1"),
        skipped(text, "prod/b", "SCTP/1"),
        replace(made := result("prod/a", "prod/c", "TCP/2"), observation=replace(made.observation, outcome=text)),
    ]
    policies = (replace(one, policy=text, reasons=(text, f"why {text}")) for one in (UNTESTED, ACCEPTED))
    return with_untested(replace(report(cells), facts=(text, f"fact {text}"), subject=text), *policies)


@given(texts)
def test_reports_are_harmless_in_every_format(text):
    made = hostile_report(text)
    linted = LintReport(text, 1, Sorted((), (), (), ()), Severity.WARNING)
    for render, whole in ((as_table.render, made), (as_json.render, made), (as_junit.render, made)):
        stream = io.StringIO()
        render(whole, stream)
        assert is_harmless(stream.getvalue())
    for render in (lint_as_json.render, lint_as_junit.render, lint_as_table.render):
        stream = io.StringIO()
        render(linted, stream)
        assert is_harmless(stream.getvalue())


@given(texts)
def test_programs_get_the_very_text_from_json_and_well_formed_xml(text):
    stream = io.StringIO()
    as_json.render(hostile_report(text), stream)
    assert json.loads(stream.getvalue())["subject"] == text
    stream = io.StringIO()
    as_junit.render(hostile_report(text), stream)
    ET.fromstring(stream.getvalue())  # noqa: S314 - we wrote it


WRITERS = {
    "report/console.py": "the consoles",
    "report/lines.py": "single lines",
    "report/documents.py": "JSON and XML",
    "cluster/lab/agents.py": "what a forked agent dies of, printable",
    "cluster/lab/channel.py": "a pipe to an agent",
    "cluster/lab/name_server.py": "that a name server is ready, to the lab",
    "cluster/lab/networks.py": "the standard input of nft and ip",
    "cli/help.py": "click's own formatter, for texts of ours",
    "history/store.py": "compressed records",
    "report/as_metrics.py": "numbers, and names that Kubernetes allows, escaped",
}
"""Who may write, and to what."""
FORBIDDEN = {
    "echo",
    "secho",
    "print",
    "write",
    "writelines",
    "print_exception",
    "print_exc",
    "print_stack",
    "basicConfig",
    "StreamHandler",
    "log",
}


def writing_calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in FORBIDDEN:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {called}"


def test_nothing_else_writes_to_people():
    found = [
        call
        for path in PACKAGE.rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in WRITERS
        for call in writing_calls(path)
    ]
    assert found == []


@pytest.mark.parametrize("name", WRITERS)
def test_each_writer_named_above_writes(name):
    assert list(writing_calls(PACKAGE / name))
