"""The picture in the README is what the command prints today, but for what differs from run to run."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
WORD = re.compile(r'<text [^>]*x="([\d.]+)"[^>]*y="([\d.]+)"[^>]*>(.*?)</text>')
VARYING = re.compile(
    r"[0-9a-f]{8} of audit|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\([a-z]+ \d.*\)|[\d,]+ (?:tries|retests|attempts)|\d+\.\d s"
)


def words(svg):
    """The text of a picture, word by word, in the order in which it is read."""
    rows = defaultdict(list)
    for x, y, text in WORD.findall(svg):
        rows[float(y)].append((float(x), html.unescape(text).replace("\xa0", " ")))
    told = "\n".join(" ".join(text for _, text in sorted(rows[y])) for y in sorted(rows))
    return VARYING.sub("…", " ".join(told.split())).split()


def test_the_picture_is_what_is_printed_today(tmp_path):
    shown = (ROOT / "docs/pictures/run.svg").read_text(encoding="utf-8")
    audit = str(Path(sys.executable).with_name("audit"))
    command = [audit, "run", "--lab", "demo", "--enforcer", "ignores-egress@node-2", "-q"]
    subprocess.run([sys.executable, "tools/picture", tmp_path / "new.svg", *command], cwd=ROOT, check=True, timeout=60)
    assert words((tmp_path / "new.svg").read_text(encoding="utf-8")) == words(shown)
    assert len(words(shown)) > 200
