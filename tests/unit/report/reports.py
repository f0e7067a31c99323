"""Reports made by hand for the tests of the renderers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from auditor.model.diagnosis import Unexercised
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.report import CellResult, Finding, PolicyTests, Report, Summary, UntestedPolicy
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.model.verdict import Cell, Note, Observation, Observed, Result, Verdict

OUTCOMES = {
    Observed.ALLOWED: "token",
    Observed.DROPPED: "timeout",
    Observed.REFUSED: "tcp-reset",
    Observed.MISDELIVERED: "answered by prod/other",
    Observed.INCONCLUSIVE: "agent of prod/web ended before finishing its batch",
    Observed.SKIPPED: "SCTP sockets are not available here",
}


def endpoint(name: str, number: int) -> Endpoint:
    namespace, _, _ = name.partition("/")
    kind = EndpointKind(namespace) if namespace in ("host", "node") else EndpointKind.POD
    return Endpoint(
        name, kind, "" if kind is not EndpointKind.POD else namespace, addresses=(ip_address(f"10.244.0.{number + 2}"),)
    )


def result(
    source: str,
    destination: str,
    port: str,
    expected: Verdict = Verdict.ALLOWED,
    observed: Observed = Observed.ALLOWED,
    kind: Result = Result.MATCH,
    *,
    tries: Iterable[Observed] | None = None,
    notes: tuple[Note, ...] = (),
    family: Family = Family.IPV4,
    outcome: str | None = None,
) -> CellResult:
    protocol, _, number = port.partition("/")
    history = (observed,) if tries is None else tuple(tries)
    without_tries = observed in (Observed.INCONCLUSIVE, Observed.SKIPPED)
    return CellResult(
        Cell(source, destination, Protocol(protocol), int(number), family),
        expected,
        Observation(
            observed, outcome or OUTCOMES[observed], () if without_tries else history, None if without_tries else 0.25
        ),
        kind,
        notes,
    )


def denied(source: str, destination: str, port: str) -> CellResult:
    return result(source, destination, port, Verdict.DENIED, Observed.DROPPED)


def leak(source: str, destination: str, port: str) -> CellResult:
    return result(
        source, destination, port, Verdict.DENIED, Observed.ALLOWED, Result.LEAK, tries=[Observed.ALLOWED] * 3
    )


def outage(source: str, destination: str, port: str) -> CellResult:
    return result(
        source, destination, port, Verdict.ALLOWED, Observed.DROPPED, Result.OUTAGE, tries=[Observed.DROPPED] * 3
    )


def unstable(source: str, destination: str, port: str) -> CellResult:
    tries = [Observed.ALLOWED, Observed.DROPPED, Observed.ALLOWED]
    return result(source, destination, port, Verdict.ALLOWED, Observed.ALLOWED, Result.UNSTABLE, tries=tries)


def inconclusive(source: str, destination: str, port: str) -> CellResult:
    return result(source, destination, port, Verdict.DENIED, Observed.INCONCLUSIVE, Result.INCONCLUSIVE)


def skipped(source: str, destination: str, port: str) -> CellResult:
    return result(source, destination, port, Verdict.DENIED, Observed.SKIPPED, Result.SKIPPED)


def report(
    cells: Iterable[CellResult],
    findings: Iterable[Finding] = (),
    *,
    names: Iterable[str] | None = None,
    min_coverage: float = 0.0,
) -> Report:
    cells = tuple(cells)
    if names is None:
        names = dict.fromkeys(name for each in cells for name in (each.cell.source, each.cell.destination))
    return Report(
        subject="scenario three-tier on the lab, enforcer spec",
        run_id="r-0123",
        endpoints=tuple(endpoint(name, number % 250) for number, name in enumerate(names)),
        cells=cells,
        findings=tuple(findings),
        summary=Summary.of(cells),
        min_coverage=min_coverage,
        facts=("2 ConfigMap objects play no part",),
        seconds={"lab": 0.5, "probing": 2.25},
        attempts=sum(each.observation.attempts for each in cells),
    )


def finding(cells: Iterable[CellResult], title: str = "something differs", **fields: object) -> Finding:
    cells = tuple(cells)
    given = {
        "expected_by": ("prod/db-policy isolates prod/db for Ingress (db.yaml:3), and no rule of it allows this",),
        "reproduce": f"audit run --lab three-tier --from {cells[0].cell.source} --to {cells[0].cell.destination} "
        "--ports TCP/3306",
        "advice": "Check that the CNI enforces egress on node-2.",
        **fields,
    }
    return Finding(cells[0].result, title, cells, **given)


WEB, API, DB, BACKUP = "prod/web", "prod/api", "prod/db", "host/backup"


def small() -> Report:
    """Four endpoints, with one of everything that a report can say."""
    leaks = [leak(WEB, DB, "TCP/3306"), leak(WEB, DB, "UDP/53"), leak(BACKUP, DB, "TCP/3306")]
    outages = [outage(API, DB, "TCP/3306")]
    shaky = [unstable(WEB, API, "TCP/8080")]
    open_cells = [
        result(
            BACKUP,
            API,
            "TCP/8080",
            Verdict.ALLOWED,
            Observed.DROPPED,
            Result.CNI_DEPENDENT,
            notes=(Note.CNI_DEPENDENT,),
        ),
    ]
    misdelivered = [result(API, WEB, "TCP/80", Verdict.ALLOWED, Observed.MISDELIVERED, Result.MISDELIVERED)]
    cells = [
        *leaks,
        *outages,
        *shaky,
        *open_cells,
        *misdelivered,
        result(WEB, WEB, "TCP/80"),
        result(API, API, "TCP/8080"),
        result(API, API, "TCP/80"),
        result(DB, DB, "TCP/3306"),
        denied(DB, API, "TCP/8080"),
        result(WEB, BACKUP, "TCP/80"),
        denied(WEB, BACKUP, "TCP/443"),
        inconclusive(DB, WEB, "TCP/80"),
        inconclusive(DB, BACKUP, "TCP/80"),
        skipped(API, BACKUP, "SCTP/9"),
        skipped(BACKUP, WEB, "SCTP/9"),
    ]
    findings = [
        finding(shaky, "prod/web -> prod/api answers differently from try to try"),
        finding(leaks, "ingress of prod/db is not enforced"),
        finding(outages, "prod/api is cut off from prod/db"),
        finding(misdelivered, "an address has two owners"),
        finding(open_cells, "ipBlock on an address inside the cluster", advice=""),
    ]
    return report(cells, findings, names=[WEB, API, DB, BACKUP])


UNTESTED = UntestedPolicy("prod/db", Direction.INGRESS, 15, ("none of its pods was probed: prod/db: left out",))
ACCEPTED = UntestedPolicy("prod/sctp", Direction.EGRESS, 3, ("no SCTP", "one", "two"), accepted=True)


def with_untested(made: Report, *untested: UntestedPolicy, in_scope: int = 4) -> Report:
    """``made``, of ``in_scope`` policies, of which nothing tells of ``untested``."""
    return replace(made, policies=PolicyTests(in_scope, 1, untested))


def small_untested() -> Report:
    """A report without a fault, of four policies: one that nothing tells of, and one of which that was accepted."""
    cells = [result(WEB, API, "TCP/80"), *(skipped(API, DB, f"TCP/{port}") for port in (80, 81))]
    part = Unexercised("prod/api", "prod/api ingress[0]", "the rule", "no source observed is one of its peers")
    return replace(with_untested(report(cells), UNTESTED, ACCEPTED), unexercised=(part,))


def square(count: int, *, ports: tuple[str, ...] = ("TCP/80", "TCP/443"), faults: int = 0) -> Report:
    """``count`` pods in namespaces of ten, each pair probed on ``ports``; the first ``faults`` pairs of different pods
    leak.
    """
    names = [f"namespace-{number // 10}/workload-{number % 10}" for number in range(count)]
    cells, leaks = [], []
    for row, source in enumerate(names):
        for column, destination in enumerate(names):
            for port in ports:
                if row != column and len(leaks) < faults * len(ports):
                    leaks.append(leak(source, destination, port))
                    cells.append(leaks[-1])
                elif (row + column) % 3 == 0 or (row == 1 and port == ports[0]):
                    cells.append(result(source, destination, port))
                else:
                    cells.append(denied(source, destination, port))
    return report(cells, [finding(leaks, "egress is not enforced")] if leaks else [])
