"""A scenario: a small cluster and the truth table that the specification demands of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auditor.model.errors import Problem
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family, Snapshot
from auditor.model.verdict import Cell, Verdict


@dataclass(frozen=True, slots=True)
class ExpectedProblem:
    """A problem that reading the scenario's manifests must report: on this line, at this path, in words that contain
    ``contains``.
    """

    line: int
    path: str
    contains: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, ready to be evaluated and to be built in the lab.

    Every endpoint of ``snapshot`` has its addresses, one of each of ``families``, and every pod its node. ``truth`` has
    a verdict for each cell of the table, named ports resolved; it is empty for a scenario whose point is that its
    manifests are refused, for which ``problems`` are the problems found in them, just those that the scenario demands.
    ``previous_policies`` are the policies before the last change, or None if nothing changed.
    """

    name: str
    title: str
    file: str
    nodes: tuple[str, ...]
    families: tuple[Family, ...]
    snapshot: Snapshot
    ports: tuple[PortRequest, ...] = ()
    truth: Mapping[Cell, Verdict] = field(default_factory=dict, hash=False)
    previous_policies: tuple[NetworkPolicy, ...] | None = None
    problems: tuple[Problem, ...] = ()
    documents: tuple[str, ...] = ()
    claim: str = ""
    claim_is_right: bool | None = None
    covers: tuple[int, ...] = ()
