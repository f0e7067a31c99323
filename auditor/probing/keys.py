"""What makes evidence the run's own: one secret that only its agents get, and the marks that stand for them on the
network.

Both go to an agent over its channel and nowhere else: not into an object of the cluster, an argument, the environment,
a log or a report. Questions and answers carry tags under the secret (see ``probes.agent``), so that anyone who merely
sees them can make up neither.
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
    """The secret of one run, and the mark of the agent at each site, by the site's name."""

    secret: bytes = field(repr=False)
    marks: Mapping[str, str] = field(repr=False)

    @classmethod
    def draw(cls, sites: Iterable[str]) -> Self:
        """A new one for the agents at ``sites``."""
        return cls(secrets.token_bytes(SECRET_BYTES), {site: secrets.token_hex(MARK_BYTES) for site in sites})

    def site(self, mark: str) -> str:
        """The name of the site whose agent has this mark, for people."""
        return next((site for site, its in self.marks.items() if its == mark), UNKNOWN)
