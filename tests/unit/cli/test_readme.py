"""What the README shows of the command line is what the command line says."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from auditor.cli.application import audit
from auditor.model.dialect import FAULTLESS, Dialect

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


def test_the_help_text_is_the_real_one():
    shown = re.search(r"```\n\$ audit --help\n(.*?)```", README, re.DOTALL)
    said = CliRunner().invoke(audit, ["--help"], prog_name="audit", terminal_width=78).output
    assert shown
    assert shown[1].strip() == said.strip()


def test_the_number_of_departures_is_the_real_one():
    assert f"{len(set(Dialect) - FAULTLESS)} precise ways to depart from it" in README


def test_every_linked_file_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [
        link for link in links if not link.startswith("http") and not (Path(__file__).parents[3] / link).exists()
    ] == []
