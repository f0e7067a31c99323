"""``audit run --output-file`` on a disk that is full, or nearly: a report arrives whole or the run says that it did
not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.lab_rig import ROOT
from tests.lab.trouble_worlds import Plan
from tests.unit.cli.audit_process import environment

ROOM = 1 << 20
PATIENCE = 100.0
BODY = """
set -e
mount -t tmpfs -o size={room} none "$1"
head -c {filled} /dev/zero >"$1/filler" || true
folder=$1
shift
set +e
"$@"
code=$?
mkdir -p "$folder.kept"
cp -a "$folder/." "$folder.kept/" && rm -f "$folder.kept/filler"
exit $code
"""


def on_a_full_disk(plan: Plan, filled: int) -> tuple[int, str, str]:
    """Audit ``plan``'s scenario with ``filled`` bytes of a small disk in use. The exit code, what it said, and what is
    wrong with that.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "disk")
        place.mkdir()
        under = [f"{enforcer}@{node}" for node, enforcer in plan.enforcement.on_node.items()] or [
            str(plan.enforcement.everywhere)
        ]
        sides = [
            word
            for option, names in (("--from", plan.sources), ("--to", plan.destinations))
            for name in names
            for word in (option, name)
        ]
        arguments = [
            "run",
            "--lab",
            plan.world.name,
            "--enforcer",
            *under,
            *sides,
            "--settle",
            "0.5",
            "-o",
            "json",
            "-q",
        ]
        audit = [sys.executable, "-m", "auditor", *arguments, "--output-file", str(place / "report")]
        script = BODY.format(room=ROOM, filled=filled)
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", str(place), *audit],
            env=environment(PYTHONPATH=str(ROOT)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        kept = {path.name: path.read_text() for path in Path(f"{place}.kept").iterdir()}
    return done.returncode, done.stderr.strip(), _problem(done.returncode, done.stdout + done.stderr, kept)


def _problem(code: int, said: str, kept: dict[str, str]) -> str:
    if "Traceback" in said or "internal error" in said:
        return said
    if set(kept) - {"report"}:
        return f"left beside the report: {sorted(kept)}"
    if code != 4 and not _is_whole(kept.get("report", "")):
        return f"exit code {code}, and no whole report"
    if code == 4 and kept.get("report"):
        return "exit code 4, and a part of a report"
    return ""


def _is_whole(report: str) -> bool:
    try:
        return "cells" in json.loads(report)
    except ValueError:
        return False
