"""tools/man-pages: a page for the program and for each command, which say what --help says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.cli.application import COMMANDS

TOOL = Path(__file__).parents[3] / "tools" / "man-pages"


def test_there_is_a_page_for_each_command_and_roff_has_nothing_to_say(tmp_path):
    subprocess.run([sys.executable, TOOL, str(tmp_path)], check=True, env={"PYTHONPATH": str(TOOL.parents[1])})
    assert {path.name for path in tmp_path.iterdir()} == {"audit.1", *(f"audit-{name}.1" for name in COMMANDS)}
    if shutil.which("groff") is None:
        pytest.skip("groff shows whether they are good roff")
    for path in tmp_path.iterdir():
        done = subprocess.run(
            ["groff", "-ww", "-man", "-Tascii", "-P-cbou", path], capture_output=True, text=True, check=True
        )
        assert not [line for line in done.stderr.splitlines() if "can't break line" not in line], done.stderr
        text = " ".join(done.stdout.split())
        assert "SYNOPSIS" in text
        assert "-h, --help" in text
    shown = (tmp_path / "audit-lint.1").read_text().replace("\\-", "-")
    assert "--fail-on [error|warning|info]" in shown
