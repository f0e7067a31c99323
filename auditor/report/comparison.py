"""Two runs held against each other, as ``audit compare`` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.model.night import Night
from auditor.model.standing import Comparison
from auditor.model.verdict import Conclusion


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """``comparison`` is that of ``new`` with ``old``."""

    old: Night
    new: Night
    comparison: Comparison

    @property
    def conclusion(self) -> Conclusion:
        """What it comes to: a run without findings that fail is no pass where it is inconclusive itself."""
        if self.comparison.failing:
            return Conclusion.FAIL
        return Conclusion.INCONCLUSIVE if self.new.conclusion == Conclusion.INCONCLUSIVE else Conclusion.PASS
