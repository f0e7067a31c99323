"""What commands take for a cluster of 400 teams: 24,000 pods, 1,600 policies, 500 nodes; and how that grows.

``python -m tests.bench.sizes large`` goes on to 2,000 teams: 100,000 pods, 10,000 policies, 2,000 nodes. That takes
minutes, so it is no part of all benchmarks.
"""

from __future__ import annotations

import math
import sys
import tempfile
from itertools import pairwise
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


LARGE: dict[tuple[str, ...], tuple[float, float]] = {
    ("lint",): (30.0, 2048.0),
    ("expect", "-o", "json"): (30.0, 2048.0),
    ("run", "-n", "team-3", "--dry-run"): (15.0, 2048.0),
}
"""Commands, with the seconds of processor and the MiB that each may take for the largest of ``SIZES``."""
SIZES = ((100, 60, 125), (400, 60, 500), (2000, 50, 2000))
"""Teams, pods of each, and nodes. The largest has five policies a team, the others four."""


def run_large() -> None:
    """Measure and print how the time of commands grows up to a cluster of 100,000 pods."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{teams}-teams.json" for teams, _, _ in SIZES]
        for (teams, each, nodes), path in zip(SIZES, files, strict=True):
            write(path, platform(teams, pods=each, nodes=nodes, crons=teams == SIZES[-1][0]))
        pods = [teams * each for teams, each, _ in SIZES]
        for (name, *options), (limit, most) in LARGE.items():
            runs = [measured([sys.executable, "-m", "auditor", name, "-f", str(path), *options]) for path in files]
            exponents = [
                math.log(after[0] / before[0], more / fewer)
                for (before, after), (fewer, more) in zip(pairwise(runs), pairwise(pods), strict=True)
            ]
            seconds, memory, code = runs[-1]
            say(
                f"{' '.join((name, *options))}: {pods[-1]:,} pods",
                f"{seconds:.2f} s",
                f"limit {limit:g} s: {seconds / limit:.2f}; exponents {exponents[0]:.2f} from {pods[0]:,} pods, "
                f"{exponents[1]:.2f} from {pods[1]:,}; {memory:.0f} MiB of {most:.0f}, exit {code}",
            )


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
    run_large() if sys.argv[1:] == ["large"] else run()
