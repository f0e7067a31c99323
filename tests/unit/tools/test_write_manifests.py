"""deploy/ is what tools/write-manifests writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[3] / "tools" / "write-manifests"


def test_what_is_shipped_follows_from_the_rights_in_the_code():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "run .venv/bin/python tools/write-manifests"
