"""The findings of an intent for a person: what was meant, which cells differ, what decides them, and the change that
mends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from auditor.model.intent import AlsoCloses, CellGroup, IntentFinding, IntentKind, IntentReport, ProposedChange
from auditor.model.ports import EVERY_PORT, FIRST_PORT, LAST_PORT, PortRange, Protocol
from auditor.model.verdict import Conclusion
from auditor.model.words import in_brief, pluralize
from auditor.report.conclusion import CONCLUSION_STYLES
from auditor.report.console import open_console, print_line, print_paragraph
from auditor.report.skipped import ignored_line

STYLES = {IntentKind.OPEN: "bold red", IntentKind.CLOSED: "bold yellow", IntentKind.EMPTY: "bold cyan"}
MOST_NAMES = 4
MOST_GROUPS = 5


def render(report: IntentReport, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    console = open_console(stream)
    conclusion = report.conclusion
    print_paragraph(
        console, Text.assemble((conclusion.value.upper(), CONCLUSION_STYLES[conclusion]), f"  {headline(report)}")
    )
    for name in report.unknown:
        print_paragraph(console, f"in doubt: policy {name} is not evaluated", 0, 4)
    for doubt in report.doubts:
        print_paragraph(console, f"in doubt: {doubt}", 0, 4)
    for unchecked in report.not_checked:
        print_paragraph(console, f"not checked: {unchecked}", 0, 4)
    if ignored := ignored_line(report.left_out):
        print_paragraph(console, f"ignored: {ignored}", 0, 4)
    if report.findings:
        print_paragraph(console)
    print_findings(console, report.findings)


def headline(report: IntentReport) -> str:
    """What came out, of how many rules, against which policies."""
    outcome = {
        Conclusion.PASS: "the policies are what was meant",
        Conclusion.FAIL: pluralize(len(report.findings), "finding"),
        Conclusion.INCONCLUSIVE: "no finding, but not everything is known",
    }[report.conclusion]
    policies = f"{pluralize(report.policies, 'policy', 'policies')} of {report.subject}"
    return f"{outcome}: {pluralize(report.rules, 'rule')} of {report.intent} against {policies}"


def print_findings(console: Console, findings: Sequence[IntentFinding]) -> None:
    """Each finding in full."""
    for finding in findings:
        _print_finding(console, finding)


def _print_finding(console: Console, finding: IntentFinding) -> None:
    line = Text(finding.kind.value, style=STYLES[finding.kind])
    line.append(f"  {finding.title}", style="not bold default")
    print_paragraph(console, line, 0, 4)
    for group in finding.groups[:MOST_GROUPS]:
        print_paragraph(console, group_in_words(group), 2, 6)
    if len(finding.groups) > MOST_GROUPS:
        print_paragraph(console, f"and {len(finding.groups) - MOST_GROUPS} more such groups (-o json has all)", 2)
    if finding.example is not None:
        print_paragraph(console, f"such as {finding.example}:", 2, 6)
    for reason in finding.because:
        print_paragraph(console, reason, 4, 6)
    if finding.change is not None:
        _print_change(console, finding.change)
    elif finding.closes is not None:
        _print_closes(console, finding.closes)
    elif finding.example is not None:
        why = _admins_alone(finding) or (
            f"none of {finding.tried} that were evaluated mends it without harm"
            if finding.tried
            else "not looked for; mend others first"
        )
        print_paragraph(console, f"change: {why}", 2, 6)
    print_paragraph(console)


def _admins_alone(finding: IntentFinding) -> str:
    """Why no NetworkPolicy opens what administrators deny; empty where they don't."""
    if finding.kind is not IntentKind.CLOSED or not finding.decided_before:
        return ""
    told = f"none in a NetworkPolicy: {finding.decided_before[0]} denies it before these are asked"
    return f"{told}; none of {finding.tried} changes of its tier mends it without harm" if finding.tried else told


def _print_change(console: Console, change: ProposedChange) -> None:
    print_paragraph(console, f"change, evaluated: {change.title}", 2, 6)
    for line in change.yaml.split("\n"):
        print_line(console, Text("      " + line, style="dim"))
    if change.unspecified:
        pairs = pluralize(change.unspecified, "pair")
        print_paragraph(
            console, f"it also opens something between {pairs} of endpoints that the intent doesn't speak of", 2, 6
        )


def _print_closes(console: Console, closes: AlsoCloses) -> None:
    least = (
        f"the least harmful of those tried ({closes.title}) would also close: {in_brief(closes.examples, MOST_NAMES)}"
    )
    print_paragraph(console, f"change: none, as each closes what the intent doesn't speak of; {least}", 2, 6)


def group_in_words(group: CellGroup) -> str:
    """``prod/web, prod/job -> prod/db on TCP/3306``."""
    families = f" over {' and '.join(map(str, group.families))}" if group.families else ""
    sources, destinations = (in_brief(names, MOST_NAMES) for names in (group.sources, group.destinations))
    return f"{sources} -> {destinations} on {_ports(group.ports)}{families}"


def _ports(ports: Sequence[PortRange]) -> str:
    whole = [port for port in ports if (port.first, port.last) == (FIRST_PORT, LAST_PORT)]
    if len(whole) == len(Protocol):
        return EVERY_PORT
    return ", ".join(f"every {port.protocol} port" if port in whole else str(port) for port in ports)
