"""The fixture that watches the loops of the lab's tests, on tests that hold theirs up and tests that don't."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = """
import asyncio
import time

from tests.watching import _watched, watched_loop


def compute(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_held_up():
    await asyncio.sleep(0.05)
    compute(0.6)
    await asyncio.sleep(0.05)


async def test_held_up_at_its_end():
    await asyncio.sleep(0.05)
    compute(0.6)


async def test_in_pieces():
    for _ in range(60):
        compute(0.01)
        await asyncio.sleep(0)


async def test_nothing():
    pass


def test_without_a_loop():
    compute(0.6)
"""


@pytest.mark.slow
def test_a_test_that_holds_up_its_loop_fails(tmp_path):
    path = tmp_path / "test_loops.py"
    path.write_text(TESTS, encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", str(tmp_path), "-rA"]
    command = [sys.executable, "-m", "pytest", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    passed, failed = (
        set(re.findall(rf"^{outcome} \S+::(\w+)", done.stdout, re.MULTILINE)) for outcome in ("PASSED", "ERROR")
    )
    assert failed == {"test_held_up", "test_held_up_at_its_end"}, done.stdout
    assert passed - failed == {"test_in_pieces", "test_nothing", "test_without_a_loop"}
    assert "the event loop was held up for 0." in done.stdout
