"""``--help`` is short enough to be read: options stand under headings, the ones that matter first."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from auditor.cli.application import COMMANDS, audit
from auditor.cli.help import SECTIONS


def shown(*arguments):
    return CliRunner().invoke(audit, [*arguments, "--help"], prog_name="audit", terminal_width=80).output


def headings(text):
    return [
        line.removesuffix(":")
        for line in text.splitlines()
        if line.endswith(":") and not line.startswith((" ", "Usage"))
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_told_once(name):
    text = shown(name)
    text = text[text.index(f"{headings(text)[0]}:") :]
    command = audit.get_command(click.Context(audit), name)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (
                sum(
                    line.strip().split()[0].rstrip(",") in parameter.opts
                    for line in text.splitlines()
                    if line.startswith("  -")
                )
                == 1
            )


def test_an_audits_options_stand_under_headings():
    assert headings(shown("run")) == [
        "Examples",
        "Scope",
        "Probe pods",
        "Report",
        "From night to night",
        "Probing",
        "Options",
        "Connection to a live cluster",
    ]


def test_headings_without_options_are_left_out():
    assert headings(shown("snapshot")) == ["Scope", "Report", "Options", "Connection to a live cluster"]
    assert headings(shown("scenarios")) == ["Options"]


def test_sections_share_no_option():
    names = [name for section in SECTIONS.values() for name in section]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["run", "expect", "explain", "lint", "intent", "conformance"])
def test_there_is_an_example(name):
    assert f"  audit {name} " in shown(name)
