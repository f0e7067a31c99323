"""What commands take for a cluster of 400 teams: 24,000 pods, 1,600 policies, 500 nodes; and how that grows."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

from tests.bench.clusters import platform
from tests.bench.growing import write
from tests.bench.measure import measured, say

TEAMS = 400
PARTS = (4, 1)
LIMITS: dict[tuple[str, ...], float] = {
    ("lint",): 5.0,
    ("expect", "-o", "json"): 5.0,
    ("explain", "team-3/web-0", "team-3/api-1", "TCP/8080"): 5.0,
    ("run", "-n", "team-3", "--dry-run"): 4.0,
    ("run", "-A", "--dry-run", "--max-probe-pods", "300"): 20.0,
}
"""Commands, and the seconds of processor that each may take."""


def run() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{TEAMS // part}-teams.json" for part in PARTS]
        for part, path in zip(PARTS, files, strict=True):
            write(path, platform(TEAMS // part, nodes=500 // part))
        for command, limit in LIMITS.items():
            _measure(command, limit, files)


def _measure(command: tuple[str, ...], limit: float, files: list[Path]) -> None:
    name, *options = command
    (part, _, _), (whole, memory, code) = (
        measured([sys.executable, "-m", "auditor", name, "-f", str(path), *options]) for path in files
    )
    say(
        f"{' '.join(command)}: {TEAMS} teams",
        f"{whole:.2f} s",
        f"limit {limit:g} s: {whole / limit:.2f}; {whole / part:.2f} x a quarter of it, exponent "
        f"{math.log(whole / part, PARTS[0]):.2f}; {memory:.0f} MiB, exit {code}",
    )


if __name__ == "__main__":
    run()
