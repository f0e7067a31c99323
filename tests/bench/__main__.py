"""All benchmarks: ``python -m tests.bench``."""

from __future__ import annotations

import subprocess
import sys

from tests.bench import diagnosing, evaluating, growing, repositories, round_trips, running, sizes


def main() -> None:
    evaluating.run()
    repositories.run()
    diagnosing.run()
    growing.run_briefly()
    sizes.run()
    running.run()
    round_trips.run()
    subprocess.run([sys.executable, "-m", "tests.bench.agent"], check=True)


if __name__ == "__main__":
    main()
