"""What an intent, held against policies, comes to; told by one renderer per format."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.model.intent import IntentFinding
from auditor.report.conclusion import Conclusion


@dataclass(frozen=True, slots=True)
class IntentReport:
    """The findings about ``rules`` rules of the file ``intent``, held against the policies of ``subject``.

    ``unknown`` names policies in force that can't be read: with any, nothing is certain.
    """

    intent: str
    subject: str
    rules: int
    policies: int
    findings: tuple[IntentFinding, ...]
    unknown: tuple[str, ...] = ()

    @property
    def conclusion(self) -> Conclusion:
        """Inconclusive where nothing was found but not everything is known."""
        if self.findings:
            return Conclusion.FAIL
        return Conclusion.INCONCLUSIVE if self.unknown else Conclusion.PASS
