"""The report for Prometheus: OpenMetrics text that the node exporter's textfile collector reads as well.

The labels are few and bounded: results, kinds, ages and namespaces, and never a pod, a pair of endpoints or, outside
of ``netpol_audit_info``, the id of a run.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TextIO

from auditor import __version__
from auditor.model.beside import KINDS_BESIDE
from auditor.model.report import Report
from auditor.model.standing import NO_FAULT, Age
from auditor.model.verdict import Conclusion, Result
from auditor.report.conclusion import conclude
from auditor.report.documents import as_utf8
from auditor.report.services import through_services

NOT_COMPARED = "not-compared"
"""The age of findings that were held against no earlier run."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One gauge: its name after ``netpol_audit_``, what it is, and its samples."""

    name: str
    help: str
    samples: Sequence[tuple[Labels, float]]


def render(report: Report, stream: TextIO) -> None:
    """Write ``report`` to ``stream``."""
    write_lines(metric_lines(report), stream)


def write_lines(lines: Iterable[str], stream: TextIO) -> None:
    """Write the ``lines`` of a document to ``stream``."""
    as_utf8(stream).writelines(f"{line}\n" for line in lines)


def metric_lines(report: Report) -> Iterator[str]:
    """The lines of the document."""
    return lines_of(_families(report))


def lines_of(families: Iterable[Family]) -> Iterator[str]:
    """``families`` as lines of OpenMetrics text."""
    for family in families:
        name = f"netpol_audit_{family.name}"
        yield f"# HELP {name} {family.help}"
        yield f"# TYPE {name} gauge"
        yield from (f"{name}{_labels(labels)} {_number(value)}" for labels, value in family.samples)
    yield "# EOF"


def _number(value: float) -> str:
    return "NaN" if isnan(value) else f"{value:.15g}"


def _labels(labels: Labels) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _families(report: Report) -> Iterator[Family]:
    conclusion = conclude(report)
    results = Counter(each.result for each in report.cells)
    seconds = sum(report.seconds.values())
    yield Family("cells", "Connections, by result.", [({"result": each}, results[each]) for each in Result])
    yield Family("findings", "Findings, by kind, namespace of a destination and age.", _findings(report))
    yield Family("failing_findings", "Findings that make the run fail.", [({}, _failing(report))])
    if report.services is not None:
        through = Counter(each.result for each in through_services(report.services))
        said = "Connections through Services, by result; not those that fare badly without them, too."
        yield Family("service_cells", said, [({"result": each}, through[each]) for each in Result])
    if report.dns is not None:
        lookups = Counter(each.result for each in report.dns.results)
        yield Family("lookups", "Lookups by DNS, by result.", [({"result": each}, lookups[each]) for each in Result])
        cut_off = len({each.cell.source for each in report.dns.cut_off})
        yield Family("lookups_cut_off", "Pods that can't resolve names, as policies mean it.", [({}, cut_off)])
    if report.reached is not None:
        said = "Connections to named Services, by result."
        reached = Counter(each.result for each in report.reached.connections)
        yield Family("named_service_cells", said, [({"result": each}, reached[each]) for each in Result])
        names = Counter(each.result for each in report.reached.lookups)
        said = "Lookups of the names of named Services, by result."
        yield Family("named_service_lookups", said, [({"result": each}, names[each]) for each in Result])
    yield Family("coverage_ratio", "Share of connections that got a verdict.", [({}, report.summary.coverage)])
    said = "Share of the ways to misread the policies that would be noticed; NaN where that was not looked at."
    yield Family("noticed_ratio", said, [({}, nan if report.noticing is None else report.noticing.share)])
    yield Family("untested_policies", "Policies that no probe tested.", [({}, len(report.policies.open))])
    yield from times("", report.began, seconds, conclusive=conclusion is not Conclusion.INCONCLUSIVE)
    conclusions = [({"conclusion": each}, float(each is conclusion)) for each in Conclusion]
    yield Family("conclusion", "1 for what the run comes to.", conclusions)
    yield Family("info", "The auditor and the run.", [({"version": __version__, "run": report.run_id}, 1)])


def _failing(report: Report) -> int:
    if report.comparison is not None:
        return len(report.comparison.failing)
    through = sum(part.is_faulty for part in report.beside)
    return sum(finding.kind not in NO_FAULT for finding in report.findings) + len(report.intent) + through


def times(prefix: str, began: str, seconds: float, *, conclusive: bool) -> Iterator[Family]:
    """How long a run that ``began`` then took, and when it ended, under names that begin with ``prefix``."""
    yield Family(f"{prefix}duration_seconds", "How long the run took.", [({}, round(seconds, 3))])
    if began:
        ended = timegm(time.strptime(began, "%Y-%m-%dT%H:%M:%SZ")) + round(seconds)
        yield Family(f"{prefix}last_run_timestamp_seconds", "When the last run ended.", [({}, ended)])
        if conclusive:
            said = "When the last conclusive run ended."
            yield Family(f"{prefix}last_conclusive_timestamp_seconds", said, [({}, ended)])


def _findings(report: Report) -> list[tuple[Labels, float]]:
    """How many findings there are, by kind, namespace and age; one counts in each namespace that it touches. Hosts
    outside and nodes are in none, which is "".

    There is always one: a Pushgateway keeps the last series of a name until it gets others.
    """
    homes = {endpoint.name: endpoint.namespace for endpoint in report.endpoints}
    standings = report.comparison.standings if report.comparison is not None else ()
    counts: Counter[tuple[str, str, str]] = Counter()
    for number, finding in enumerate(report.findings):
        age = standings[number].age.value if standings else NOT_COMPARED
        for namespace in {homes.get(each.cell.destination, "") for each in finding.cells}:
            counts[finding.kind, namespace, age] += 1
    others = standings[len(report.findings) :] if standings else ()
    counts.update((each.kind if each.kind in KINDS_BESIDE else "intent", "", each.age.value) for each in others)
    if not standings and report.intent:
        counts["intent", "", NOT_COMPARED] += len(report.intent)
    if not counts:
        counts[Result.LEAK, "", NOT_COMPARED if report.comparison is None else Age.NEW.value] = 0
    names = ("kind", "namespace", "age")
    return [(dict(zip(names, key, strict=True)), count) for key, count in sorted(counts.items())]
