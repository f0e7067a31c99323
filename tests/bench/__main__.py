"""All benchmarks: ``python -m tests.bench``; with ``brief``, those that say most in little time."""

from __future__ import annotations

import subprocess
import sys

from tests.bench import diagnosing, evaluating, growing, repositories, round_trips, running, sizes


def main() -> None:
    if sys.argv[1:] == ["brief"]:
        evaluating.run()
        diagnosing.run()
        round_trips.run()
        running.run()
        return
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
