"""The diagnosis, why there is no verdict, what the audit could not have caught, and what lint says, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.model.diagnosis import Diagnosis, ScopeKind, Unexercised
from auditor.model.noticing import Noticing
from auditor.model.report import PolicyRemark, PolicyTests, Report, UntestedPolicy
from auditor.model.verdict import Conclusion, Result
from auditor.model.words import in_brief, pluralize
from auditor.report.conclusion import conclude
from auditor.report.grouping import by_reason, in_words
from auditor.report.lines import what_json_has
from auditor.report.lookups import why_unheard_in_lookups
from auditor.report.reached import why_unheard_at_services
from auditor.report.services import cause_through_services, why_unheard_through_services

MOST_ALTERNATIVES = 3
TOO_FEW = "(too few pairs of endpoints, or policies, take part to be sure of this)"
MOST_PARTS = 8
MOST_MISSED = 3
MOST_REMARKS = 5
MOST_REASONS = 2
MOST_PODS = 8
OF_A_NODE = (ScopeKind.NODE, ScopeKind.SOURCE_NODE, ScopeKind.DESTINATION_NODE)


def sureness(diagnosis: Diagnosis) -> str:
    """What its hypothesis is called: the cause, or what the cause could be."""
    return "cause" if diagnosis.certain else "could be"


def cause_lines(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """The lines of a diagnosis, each with its label, empty where it is that of the line above."""
    yield sureness(diagnosis) if diagnosis.faults else "no cause", diagnosis.title
    yield "advice", diagnosis.advice
    if diagnosis.faults and not diagnosis.certain:
        yield "", TOO_FEW
    shown = diagnosis.alternatives[:MOST_ALTERNATIVES]
    for number, alternative in enumerate(shown):
        yield "" if number else "or possibly", alternative.title
    yield from (("", line) for line in what_json_has(diagnosis.alternatives, len(shown)))
    if diagnosis.alternatives:
        yield _told_apart(diagnosis)


def _told_apart(diagnosis: Diagnosis) -> tuple[str, str]:
    if not diagnosis.discriminating:
        return "", "(no connection between these endpoints tells them apart)"
    more = len(diagnosis.discriminating) - 1
    return "to decide", f"try {diagnosis.discriminating[0]}" + (
        f" and {pluralize(more, 'more connection')}" if more else ""
    )


def pods_on_named_nodes(report: Report) -> dict[str, list[str]]:
    """The pods that were audited on each node that the cause names, by the node's name: those of which any connection
    is in the report.
    """
    faults = () if report.diagnosis is None else report.diagnosis.faults
    nodes = dict.fromkeys(fault.scope.name for fault in faults if fault.scope.kind in OF_A_NODE)
    if not nodes:
        return {}
    audited = {name for each in report.cells for name in (each.cell.source, each.cell.destination)}
    there = [end for end in report.endpoints if end.selectable and end.name in audited]
    pods = {node: [end.name for end in there if end.node == node] for node in nodes}
    return {node: names for node, names in pods.items() if names}


def opening_lines(report: Report) -> list[str]:
    """What stands below the headline: what was audited, how many policies were tested, what that would notice, and how
    far runs have come, where pods take turns.
    """
    noticing = "" if report.noticing is None else noticing_line(report.noticing)
    draw = "" if report.draw is None else str(report.draw)
    return [report.subject, *filter(None, (tests_line(report), noticing, draw))]


def labelled_lines(report: Report) -> list[tuple[str, str]]:
    """The diagnosis and, of an inconclusive report, why it is one, each line with its label as in ``cause_lines``."""
    lines = [] if report.diagnosis is None else list(cause_lines(report.diagnosis))
    for node, names in pods_on_named_nodes(report).items():
        what = pluralize(len(names), "audited pod")
        lines.append(("there", f"{what} on node {node}: {in_brief(names, MOST_PODS)}"))
    lines += cause_through_services(report.services)
    if conclude(report) is Conclusion.INCONCLUSIVE:
        lines += list(why_lines(report)) or why_unheard_through_services(report.services)
        lines += [*why_unheard_at_services(report.reached), *why_unheard_in_lookups(report.dns)]
    return lines


def why_lines(report: Report) -> Iterator[tuple[str, str]]:
    """Why ``report`` is inconclusive: the most frequent reason why connections have no verdict, and what to do."""
    kind = Result.INCONCLUSIVE if report.summary.inconclusive else Result.SKIPPED
    elsewhere = [
        *why_unheard_through_services(report.services),
        *why_unheard_at_services(report.reached),
        *why_unheard_in_lookups(report.dns),
    ]
    if kind is Result.SKIPPED and elsewhere:
        return
    cells = [each for each in report.cells if each.result is kind]
    if not cells:
        return
    reasons = by_reason(cells)
    reason, having = next(iter(reasons.items()))
    yield "why", f"{len(having):,} of {pluralize(len(cells), f'{kind} connection')}: {in_words(reason)}"
    fix = "the cause" if len(reasons) == 1 else "the causes (all are listed below)"
    yield "advice", f"Fix {fix} and run again; these connections have no verdict."


def tests_line(report: Report) -> str:
    """How many policies were tested, and how many parts of them nothing exercises; empty where no policy is
    in scope.
    """
    policies = report.policies
    nothing = len({name for name, _ in policies.deciding_nothing})
    if not policies.in_scope and not policies.without_pods and not nothing:
        return ""
    parts = [f"{pluralize(policies.in_scope, 'policy', 'policies')} in scope, {policies.tested:,} tested"]
    if policies.without_pods:
        parts.append(f"{policies.without_pods:,} more {'selects' if policies.without_pods == 1 else 'select'} no pod")
    if nothing:
        parts.append(f"{nothing:,} more {'decides' if nothing == 1 else 'decide'} none of these connections")
    if report.unexercised:
        parts.append(f"{pluralize(len(report.unexercised), 'part')} of policies not covered by any connection")
    return "; ".join(parts)


def noticing_line(noticing: Noticing) -> str:
    """How much of what could be wrong the connections would have shown, and a little of what they would not."""
    missed = f"; not: {in_brief(noticing.missed, MOST_MISSED)}" if noticing.missed else ""
    more = f" ({noticing.unseen:,} more would change nothing between the pods of this cluster)"
    return f"{noticing}{missed}{more if noticing.unseen else ''}"


def untested_lines(policies: PolicyTests) -> Iterator[str]:
    """The policies of which nothing tells whether they are enforced, each with the reasons, and how to accept that."""
    if not policies.untested:
        return
    number = policies.in_scope - policies.tested
    yield (
        f"Not tested, so nothing shows whether they are enforced: {number:,} of "
        f"{pluralize(policies.in_scope, 'policy', 'policies')}"
    )
    for each in policies.untested[:MOST_PARTS]:
        yield f"{each}: {'accepted; ' if each.accepted else ''}{_why_untested(each)}"
    yield from what_json_has(policies.untested, MOST_PARTS)
    if policies.open:
        yield (
            f"Fix the causes and run again, or accept a policy as untested: --accept-untested "
            f"{policies.open[0].policy.replace(' ', '/')}"
        )


def _why_untested(each: UntestedPolicy) -> str:
    more = len(each.reasons) - MOST_REASONS
    reasons = "; ".join(each.reasons[:MOST_REASONS]) + (f"; and {pluralize(more, 'more reason')}" if more > 0 else "")
    return (
        f"{pluralize(each.connections, 'connection')} could have shown it: {reasons}" if each.connections else reasons
    )


def coverage_lines(parts: Sequence[Unexercised], most: int | None = MOST_PARTS) -> Iterator[str]:
    """What could be ignored without this audit noticing, by the reason; nothing where every part of every policy was
    exercised. At most ``most`` parts are listed, or all.
    """
    if not parts:
        return
    policies = pluralize(len({part.policy for part in parts}), "policy", "policies")
    yield (
        f"Not covered by any connection (a CNI could ignore these unnoticed): {pluralize(len(parts), 'part')} "
        f"of {policies}"
    )
    shown = parts[:most]
    for reason in dict.fromkeys(part.reason for part in shown):
        yield f"{reason}:"
        for place in dict.fromkeys(part.place for part in shown if part.reason == reason):
            yield f"  {place}: {', '.join(part.what for part in shown if (part.reason, part.place) == (reason, place))}"
    yield from what_json_has(parts, len(shown))


def lint_lines(remarks: Sequence[PolicyRemark]) -> Iterator[str]:
    """What is likely not meant in the policies; nothing where lint has nothing to say."""
    if not remarks:
        return
    yield (
        "Likely mistakes, whatever enforces the policies ('audit lint' says more): "
        f"{pluralize(len(remarks), 'place')} in "
        "the policies"
    )
    for remark in remarks[:MOST_REMARKS]:
        yield f"{remark.severity} {remark.check}  {remark.place}: {remark.message}"
    yield from what_json_has(remarks, MOST_REMARKS)
