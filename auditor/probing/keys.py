"""What makes evidence the run's own: one secret that only its agents get, and the marks that stand for them on the network.

Both go to an agent over its channel and nowhere else: not into an object of the cluster, an argument, the environment, a log or a report.
Questions and answers carry tags under the secret (see ``probes.agent``), so that whoever merely sees them can make up neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

SECRET_BYTES = 32
MARK_BYTES = 8
UNKNOWN = "somebody unknown"


@dataclass(frozen=True, slots=True)
class RunKey:
    """The secret of one run, and the mark of the agent at each seat, by the seat's name."""

    secret: bytes = field(repr=False)
    marks: Mapping[str, str] = field(repr=False)

    @classmethod
    def draw(cls, seats: Iterable[str]) -> Self:
        """A new one for the agents at ``seats``."""
        return cls(secrets.token_bytes(SECRET_BYTES), {seat: secrets.token_hex(MARK_BYTES) for seat in seats})

    def seat(self, mark: str) -> str:
        """The name of the seat whose agent has this mark, for people."""
        return next((seat for seat, its in self.marks.items() if its == mark), UNKNOWN)
