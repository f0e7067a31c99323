"""The example of docs/testing.md, run as its users run it: by the manifests and on the lab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.lab


def test_what_the_documentation_begins_with_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    first = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    exec(compile(first[1], "docs/testing.md", "exec"), {})  # noqa: S102 - our own documentation


@pytest.mark.slow
def test_its_tests_pass():
    words = [sys.executable, "-m", "pytest", "-p", "pytest_netpol", "-p", "no:cacheprovider", "-c", os.devnull]
    tests = [f"examples/shop/test_{name}.py" for name in ("manifests", "lab")]
    done = subprocess.run(
        [*words, "--rootdir", "examples/shop", *tests],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout
