"""What all formats of a report of checks have in common: its cases, each with a name and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.model.checks import CheckResult, ChecksReport, RulesResult
from auditor.model.verdict import Conclusion
from auditor.model.words import pluralize


@dataclass(frozen=True, slots=True)
class Case:
    """One check, or the rules of one intent. ``lines`` say more where it did not pass."""

    file: str
    name: str
    conclusion: Conclusion
    lines: tuple[str, ...]


def cases(report: ChecksReport) -> Iterator[Case]:
    """All of them, in the order of the files."""
    files = dict.fromkeys([*(each.expected.file for each in report.checks), *(each.file for each in report.rules)])
    for file in files:
        yield from (_of_check(each) for each in report.checks if each.expected.file == file)
        yield from (_of_rules(each) for each in report.rules if each.file == file)


def _of_check(result: CheckResult) -> Case:
    expected = result.expected
    name = f"{expected.check} {expected.verdict}" + (f" ({expected.name})" if expected.name else "")
    lines = () if result.conclusion is Conclusion.PASS else (f"expected at {expected.place}", *result.answer.lines)
    return Case(expected.file, name, result.conclusion, lines)


def _of_rules(result: RulesResult) -> Case:
    found = [line for finding in result.findings for line in finding.split("\n")]
    name = f"the policies are what {pluralize(result.rules, 'rule')} mean"
    return Case(result.file, name, result.conclusion, (*found, *(f"in doubt: {doubt}" for doubt in result.doubts)))


def headline(report: ChecksReport) -> str:
    """The counts in one line."""
    passed, failed, unknown = map(report.count, (Conclusion.PASS, Conclusion.FAIL, Conclusion.INCONCLUSIVE))
    total = pluralize(passed + failed + unknown, "check")
    return (
        f"{total} {report.subject}: {passed} passed, {failed} failed, {unknown} inconclusive in {report.seconds:.1f} s"
    )
