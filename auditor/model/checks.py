"""What people's own tests ask, connection by connection, and what came of it.

A check has one of three outcomes. That nothing is known is an outcome of its own, and never taken for a denial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from auditor.model.addresses import IPAddress
from auditor.model.ports import PortRequest
from auditor.model.verdict import Conclusion, Verdict


class Outcome(StrEnum):
    """What came of a check."""

    REACHED = "reached"
    """On every connection that the check stands for."""
    DENIED = "denied"
    """On every connection that the check stands for."""
    INCONCLUSIVE = "inconclusive"
    """Nothing certain is known, or of several connections some are reached and others are not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question: can ``source`` reach ``destination`` on ``port``? Both are names as ``audit explain`` takes them.

    ``hosts`` are the addresses outside the cluster that the names ``host/NAME`` in it mean.
    """

    source: str
    destination: str
    port: PortRequest
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False, compare=False)

    @property
    def id(self) -> str:
        """As tests are called: ``shop/web->shop/db:TCP/5432``."""
        return f"{self.source}->{self.destination}:{self.port}"

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of ``check`` where it was made (``made_on``, in words).

    ``expected`` is what the policies demand, None where nothing certain is known, ``because`` what decides that, one
    line for each rule or isolation. ``observed`` says what was seen of each connection, empty where nothing was sent.
    ``why`` is the reason of an inconclusive one. ``causes`` name what would explain a difference, ``reproduce`` is a
    shell command.
    """

    check: Check
    outcome: Outcome
    made_on: str
    expected: Verdict | None = None
    because: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    why: str = ""
    causes: tuple[str, ...] = ()
    reproduce: str = ""
    run_id: str = ""

    @property
    def differs(self) -> bool:
        """Whether packets went otherwise than the policies demand."""
        demanded = {Verdict.ALLOWED: Outcome.REACHED, Verdict.DENIED: Outcome.DENIED}
        known = self.expected is not None and self.outcome is not Outcome.INCONCLUSIVE
        return bool(self.observed) and known and demanded[Verdict(str(self.expected))] is not self.outcome

    @property
    def headline(self) -> str:
        """The answer in one line."""
        why = f": {self.why}" if self.outcome is Outcome.INCONCLUSIVE else ""
        return f"{self.check} is {self.outcome} ({self.made_on}){why}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The answer in full: what the policies say and why, what was observed, the cause, and how to try it again."""
        lines = [self.headline]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}, by the policies")
            lines += [f"    {line}" for line in self.because]
        lines += [f"  observed: {line}" for line in self.observed]
        lines += [f"  {line}" for line in self.causes]
        return (*lines, f"  reproduce: {self.reproduce}") if self.reproduce else tuple(lines)


@dataclass(frozen=True, slots=True)
class ExpectedCheck:
    """A check with what is expected of it, ``name`` for people, and where that is written down."""

    check: Check
    verdict: Verdict
    name: str = ""
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """Where it stands: ``intent.yaml:12``."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def wanted(self) -> Outcome:
        return Outcome.REACHED if self.verdict is Verdict.ALLOWED else Outcome.DENIED


@dataclass(frozen=True, slots=True)
class CheckResult:
    """An expected check and its answer."""

    expected: ExpectedCheck
    answer: Answer

    @property
    def conclusion(self) -> Conclusion:
        if self.answer.outcome is Outcome.INCONCLUSIVE:
            return Conclusion.INCONCLUSIVE
        return Conclusion.PASS if self.answer.outcome is self.expected.wanted else Conclusion.FAIL


@dataclass(frozen=True, slots=True)
class RulesResult:
    """The rules of an intent held against the policies alone: what was found, in words, and what is in doubt."""

    file: str
    rules: int
    findings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def conclusion(self) -> Conclusion:
        if self.findings:
            return Conclusion.FAIL
        return Conclusion.INCONCLUSIVE if self.doubts else Conclusion.PASS


@dataclass(frozen=True, slots=True)
class ChecksReport:
    """All that ``audit test`` made, on ``subject``; ``seconds`` it took."""

    subject: str
    checks: tuple[CheckResult, ...]
    rules: tuple[RulesResult, ...] = ()
    seconds: float = 0.0

    def count(self, conclusion: Conclusion) -> int:
        """How many checks and intents came to ``conclusion``."""
        conclusions = [*(each.conclusion for each in self.checks), *(each.conclusion for each in self.rules)]
        return conclusions.count(conclusion)

    @property
    def conclusion(self) -> Conclusion:
        for conclusion in (Conclusion.FAIL, Conclusion.INCONCLUSIVE):
            if self.count(conclusion):
                return conclusion
        return Conclusion.PASS
