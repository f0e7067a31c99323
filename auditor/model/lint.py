"""What lint says: findings, each from one check and about one place, and which of them somebody has accepted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from auditor.model.skipped import NOTHING_LEFT_OUT, LeftOut
from auditor.model.verdict import Conclusion

SPECIAL = frozenset("*?[")
"""What stands for other characters in a glob."""


class Severity(StrEnum):
    """How grave a finding is, the gravest first."""

    ERROR = "error"
    """The policy can't be what its author meant."""
    WARNING = "warning"
    """The policy is most likely not what its author meant, or will surprise someone."""
    INFO = "info"
    """Worth knowing; often meant so."""

    def reaches(self, threshold: Severity) -> bool:
        """Whether this is as grave as ``threshold``, or graver."""
        order = list(Severity)
        return order.index(self) <= order.index(threshold)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: ``subject`` is a policy as ``NAMESPACE/NAME``, or a namespace.

    ``line`` counts from 1, 0 when unknown; ``file`` means something only with a line. ``path`` is in kubectl's
    notation: ``spec.ingress[0].from[1]``.
    """

    subject: str
    file: str = ""
    line: int = 0
    path: str = ""

    @property
    def namespace(self) -> str:
        """The namespace of the policy, or the one that is meant itself."""
        return self.subject.partition("/")[0]

    def __str__(self) -> str:
        origin = f"{self.file}:{self.line}" if self.line else ""
        return " ".join(part for part in (origin, self.subject, self.path) if part)


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A remark with the check that made it. ``selector`` is the one that it is about, if it is about one.

    Findings of one check with the same ``cause`` are reported once: ``others`` are the places of the rest.
    """

    check: str
    severity: Severity
    place: Place
    message: str
    instead: str = ""
    selector: str = ""
    cause: str = ""
    others: tuple[Place, ...] = ()

    @property
    def count(self) -> int:
        """At how many places it is found."""
        return 1 + len(self.others)


def put_together(findings: Iterable[LintFinding]) -> tuple[LintFinding, ...]:
    """``findings``, of which those of one check and cause are one, at the place of the first."""
    alike: dict[tuple[str, str], list[LintFinding]] = {}
    for finding in findings:
        alike.setdefault((finding.check, finding.cause or f"{finding.place} {finding.message}"), []).append(finding)
    return tuple(replace(first, others=tuple(each.place for each in others)) for first, *others in alike.values())


@dataclass(frozen=True, slots=True)
class Suppression:
    """An accepted finding. ``policy`` is a glob on ``NAMESPACE/NAME`` or, for findings about a namespace, on its name.

    ``expires`` is the last day on which it holds, as ``YYYY-MM-DD``. With ``selector``, a glob as well, only findings
    about such a selector are meant.
    """

    check: str
    policy: str
    owner: str
    reason: str
    expires: str
    file: str = ""
    line: int = 0
    selector: str = ""

    def covers(self, finding: LintFinding) -> bool:
        """Whether it speaks of ``finding``, expired or not."""
        subject = finding.place.subject
        return (
            self.check == finding.check
            and (subject == self.policy if SPECIAL.isdisjoint(self.policy) else fnmatchcase(subject, self.policy))
            and (not self.selector or fnmatchcase(finding.selector, self.selector))
        )

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.check} for {self.policy}"
            f"{f' and {self.selector}' if self.selector else ''} ({self.owner}, until {self.expires}: {self.reason})"
        )


@dataclass(frozen=True, slots=True)
class Sorted:
    """Findings after suppression: those that count, those that don't with what suppresses them, and suppressions that
    do nothing.
    """

    findings: tuple[LintFinding, ...]
    suppressed: tuple[tuple[LintFinding, Suppression], ...] = ()
    expired: tuple[Suppression, ...] = ()
    unused: tuple[Suppression, ...] = ()

    def about(self, namespaces: Collection[str]) -> Sorted:
        """The same with findings about ``namespaces`` only; all of them when there are none."""
        if not namespaces:
            return self
        findings = tuple(each for each in self.findings if each.place.namespace in namespaces)
        suppressed = tuple((each, by) for each, by in self.suppressed if each.place.namespace in namespaces)
        return replace(self, findings=findings, suppressed=suppressed)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What lint says of ``subject``, which has ``policies`` policies; findings that reach ``fail_on`` make it fail.
    ``doubts`` say what makes uncertain what the policies mean.

    ``not_checked`` says in words what could not be; ``nothing``: there was no policy at all. ``in_full``: a person gets
    every finding, however many there are.
    """

    subject: str
    policies: int
    sorted: Sorted
    fail_on: Severity
    left_out: LeftOut = NOTHING_LEFT_OUT
    doubts: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    nothing: bool = False
    in_full: bool = False

    @property
    def failed(self) -> bool:
        return any(finding.severity.reaches(self.fail_on) for finding in self.sorted.findings)

    @property
    def conclusion(self) -> Conclusion:
        """Fail with findings; inconclusive without any where objects that can't be read are left out, or in doubt, or
        there was nothing to check.
        """
        if self.failed:
            return Conclusion.FAIL
        unsure = self.left_out.problems or self.doubts or self.nothing
        return Conclusion.INCONCLUSIVE if unsure else Conclusion.PASS

    def count(self, severity: Severity) -> int:
        """How many findings have ``severity``."""
        return sum(finding.severity is severity for finding in self.sorted.findings)
