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
def test_every_option_is_shown_once(name):
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


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_stand_in_the_usage_line_and_nowhere_by_themselves(name):
    command = audit.get_command(click.Context(audit), name)
    arguments = [
        parameter.make_metavar(click.Context(command))
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    lines = [line.strip() for line in shown(name).splitlines()]
    assert all(argument in lines[0] and argument not in lines for argument in arguments)


@pytest.mark.parametrize("name", ["diff"])
def test_what_reads_no_cluster_promises_none(name):
    assert "live cluster" not in shown(name)


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
