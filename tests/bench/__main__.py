"""All benchmarks: ``python -m tests.bench``."""

from __future__ import annotations

from tests.bench import evaluating, running


def main() -> None:
    evaluating.run()
    running.run()


if __name__ == "__main__":
    main()
