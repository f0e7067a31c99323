"""Directories as people have them (tests/corpus), each with what must be answered in its ``answer.txt``.

A line is one claim: ``SOURCE -> DESTINATION PORT allowed|denied|doubt``; ``skipped CAUSE COUNT``, and nothing else is;
``ignored KIND COUNT``, likewise; ``says WORDS`` on standard error; ``error WORDS``: exit code 2, and this is the error;
``exit CODE``; ``with OPTIONS`` of the command.
"""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from auditor.cli.application import run

ROOT = Path(__file__).parents[3]
CORPUS = Path("tests/corpus")
CASES = sorted(path.parent.name for path in (ROOT / CORPUS).glob("*/answer.txt"))
SCHEMA = json.loads(files("auditor").joinpath("schemas/expected.schema.json").read_text(encoding="utf-8"))


def claims(case: str) -> list[tuple[str, str]]:
    lines = (ROOT / CORPUS / case / "answer.txt").read_text().splitlines()
    split = [line.partition(" ") for line in lines if line]
    return [(line, "") if " -> " in line else (word, rest) for line, (word, _, rest) in zip(lines, split, strict=True)]


def of(found: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for known, rest in found if known == word]


@pytest.mark.parametrize("case", CASES)
def test_a_directory_is_answered(case: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "1000")
    told = claims(case)
    options = [word for text in of(told, "with") for word in shlex.split(text)]
    read = ["-R", "-f", str(CORPUS / case), *options]
    code = run(["expect", "--expand", "-o", "json", *read])
    output = capsys.readouterr()
    for words in of(told, "error"):
        assert words in output.err
    assert [code] == ([2] if of(told, "error") else [int(text) for text in of(told, "exit")] or [0])
    if of(told, "error"):
        return
    document = json.loads(output.out)
    jsonschema.validate(document, SCHEMA)
    assert verdicts(document, [line for line, _ in told if " -> " in line]) == []
    skipped = {f"{each['cause']} {each['count']}" for each in document["skipped"]}
    assert skipped == set(of(told, "skipped"))
    assert {f"{kind} {count}" for kind, count in document["ignored"].items()} == set(of(told, "ignored"))
    assert output.err.count("skipped ") == len(skipped)
    for words in of(told, "says"):
        assert words in output.err
    assert run(["lint", "--fail-on", "error", "-o", "json", *read]) in (0, 1, 3)


def verdicts(document: dict, expected: list[str]) -> list[str]:
    """Those of the lines ``expected`` that the document says otherwise of, with what it says."""
    wrong = []
    for line in expected:
        source, _, destination, port, verdict = line.split()
        protocol, _, number = port.partition("/")
        (cell,) = (
            cell
            for cell in document["cells"]
            if (cell["source"], cell["destination"], cell["protocol"]) == (source, destination, protocol)
            and cell["port"] <= int(number) <= cell["end_port"]
        )
        doubtful = cell.get("doubt") or "labels-unknown" in cell["notes"]
        said = "doubt" if doubtful else cell["verdict"]
        if said != verdict:
            wrong.append(f"{line}, but {said}")
    return wrong


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 63
