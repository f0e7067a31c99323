"""People read of connections and answers, not of cells and tokens, which are words of the code and of JSON fields."""

import ast
import re
from pathlib import Path

import pytest

import auditor
from auditor.cli.application import COMMANDS, run
from auditor.run.sources import scenario_names

INTERNAL = re.compile(r"\b(cells?|tokens?|contradictions?|identity class(es)?)\b", re.IGNORECASE)
SOURCES = Path(auditor.__file__).parent
ABOUT_CREDENTIALS = ("it gave no token and no certificate",)


def texts(path):
    """The texts in a module that people may read: of more than one word and no docstring, or a word to be counted."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    documentation = {node.value for node in nodes if isinstance(node, ast.Expr)}
    counted = {
        word
        for node in nodes
        if isinstance(node, ast.Call) and "pluralize" in getattr(node.func, "id", getattr(node.func, "attr", ""))
        for word in node.args
    }
    for node in nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node in documentation:
            continue
        if (" " in node.value or node in counted) and node.value not in ABOUT_CREDENTIALS:
            yield node.lineno, node.value


def test_no_message_has_a_word_of_the_code():
    found = [
        f"{path.relative_to(SOURCES)}:{line}: {text}"
        for path in sorted(SOURCES.rglob("*.py"))
        for line, text in texts(path)
        if INTERNAL.search(text)
    ]
    assert found == []


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_text_has_one(command, capsys):
    run([command, "--help"])
    assert not INTERNAL.search(capsys.readouterr().out)


@pytest.mark.parametrize("scenario", scenario_names())
def test_no_table_of_a_scenario_has_one(scenario, capsys):
    run(["run", "--lab", scenario, "--dry-run"])
    said = capsys.readouterr()
    assert not INTERNAL.search(said.out + said.err)
