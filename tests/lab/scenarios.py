"""The shipped scenarios, read for tests that send packets."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from auditor.model.scenario import Scenario
from auditor.parsing.scenario import read_scenario
from auditor.parsing.source import Source

FOLDER = Path(__file__).parents[2] / "scenarios"


def names() -> list[str]:
    """The names of all scenarios, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def read(name: str) -> Scenario:
    """One scenario."""
    path = FOLDER / f"{name}.yaml"
    return read_scenario(
        Source(f"scenarios/{name}.yaml", path.read_bytes()),
        lambda other: Source(f"scenarios/{other}", (FOLDER / other).read_bytes()),
    )


def with_truth() -> list[str]:
    """The names of the scenarios that can be built: all but those whose point is that they are refused."""
    return [name for name in names() if read(name).truth]
