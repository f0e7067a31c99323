"""What is kept of all that a run tried beside the matrix: through Services, in lookups, at Services that were named.

Each is a connection between workloads, as those of the matrix are, whose port says besides by which way it went. So it
is held against earlier runs as these are. What has no verdict of its own, because the specification leaves it open or
because it differs without the Service, too, is kept as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from auditor.history.identity import finding_id, stable_reason
from auditor.model.beside import AT_SERVICE, DNS, PAIRS_LOST, THROUGH
from auditor.model.dns_seen import DNS_PORT, LookupResult
from auditor.model.night import NightFinding, Port
from auditor.model.ports import Protocol
from auditor.model.report import Report
from auditor.model.service_seen import ServiceResult, Way
from auditor.model.verdict import Observed, Result

NO_VERDICT = Result.INCONCLUSIVE.value
AS_EXPECTED = Result.MATCH.value
FAULTS = frozenset({Result.LEAK, Result.OUTAGE, Result.UNSTABLE, Result.MISDELIVERED})
BY = {
    Way.CLUSTER_IP: "through a ClusterIP",
    Way.NODE_PORT: "by a NodePort",
    Way.NODE_PORT_LOCAL: "by a NodePort with externalTrafficPolicy Local",
}
BY_NAME = "by name"
AT_ONCE = "two questions at once"
ANY_DNS = "dns/any/server"


class SeenBeside(NamedTuple):
    """One connection, or lookup, beside the matrix. ``source`` is the name of an endpoint, ``destination`` that of one,
    or what stands for a Service. ``finding`` is the one that it is part of, None where it is at fault in nothing.
    """

    source: str
    destination: str
    port: Port
    expected: str
    result: str
    finding: NightFinding | None = None

    @property
    def id(self) -> str:
        """That of its finding; empty where there is none."""
        return "" if self.finding is None else finding_id(self.finding.kind, self.finding.reason)


class Kept(NamedTuple):
    """What a report says of one connection: ``result`` as held against ``expected``, ``why`` which policies deny it."""

    source: str
    protocol: str
    port: int
    family: str
    expected: str
    result: str
    why: str = ""


def through_service(each: Kept, backend: str, way: Way, node: str, *, as_without: bool) -> SeenBeside:
    """A connection through a Service of the run's own to ``backend``; ``node`` is the one whose NodePort it is."""
    finding = None if as_without else _finding(THROUGH, each.result, (way.value,), _through(way))
    by = f"{each.family} {BY[way]}{f' of node {node}' if node else ''}"
    return _seen(each, backend, by, finding)


def looked_up(each: Kept, server: str) -> SeenBeside:
    """A lookup by the DNS ``server``, in the words of the report."""
    what = {
        Result.LEAK: f"names are resolved by {server}, although {each.why}",
        Result.OUTAGE: f"names can't be resolved by {server}, which policies allow",
        Result.MISDELIVERED: f"lookups at {server} are answered by something other than DNS",
    }.get(Result(each.result), f"lookups at {server} are answered at times")
    reason = (server, *stable_reason([each.why]))
    return _seen(each, f"{DNS}/{server}", each.family, _finding(DNS, each.result, reason, what))


def at_service(each: Kept, service: str, *, by_name: bool) -> SeenBeside:
    """A connection to the Service ``NAMESPACE/NAME`` of the cluster's own, or a lookup of its name."""
    what = {
        Result.LEAK: f"service/{service} is reached, although {each.why}",
        Result.OUTAGE: f"service/{service} can't be reached, which policies allow",
    }.get(Result(each.result), f"service/{service} answers otherwise at times, or something else does")
    title = f"the name of service/{service} is not resolved right" if by_name else what
    reason = (service, BY_NAME) if by_name else (service, *stable_reason([each.why]))
    family = f"{each.family} {BY_NAME}" if by_name else each.family
    return _seen(each, f"service/{service}", family, _finding(AT_SERVICE, each.result, reason, title))


def pairs_of(node: str, *, lost: bool) -> SeenBeside:
    """Whether of two questions that leave one socket of ``node`` at once one gets lost."""
    name = f"node/{node}"
    finding = NightFinding(PAIRS_LOST, (name,), f"DNS questions get lost on node {node}") if lost else None
    result = Result.UNSTABLE.value if lost else AS_EXPECTED
    return SeenBeside(name, ANY_DNS, Port("UDP", DNS_PORT, AT_ONCE), "allowed", result, finding)


def _through(way: Way) -> str:
    return f"connections {BY[way]} differ from the same ones without it"


def _finding(part: str, result: str, reason: tuple[str, ...], title: str) -> NightFinding | None:
    return NightFinding(f"{part}-{result}", tuple(filter(None, reason)), title) if result in FAULTS else None


def _seen(each: Kept, destination: str, family: str, finding: NightFinding | None) -> SeenBeside:
    known = each.result if finding is not None or each.result == AS_EXPECTED else NO_VERDICT
    return SeenBeside(each.source, destination, Port(each.protocol, each.port, family), each.expected, known, finding)


def is_service(workload: str) -> bool:
    """Whether what stands in a record for ``workload`` is a Service, or the DNS."""
    return workload.startswith((f"{DNS}/", "service/")) and workload.count("/") > 1


def kept_beside(report: Report) -> Iterator[SeenBeside]:
    """All that ``report`` has beside its cells."""
    if report.services is not None:
        yield from map(of_service, report.services.results)
    if report.dns is not None:
        yield from map(of_lookup, report.dns.results)
        nodes = {end.name: end.node for end in report.endpoints}
        asked = (
            nodes.get(each.cell.source, "")
            for each in report.dns.results
            if each.cell.protocol is Protocol.UDP and each.observation.verdict is Observed.ALLOWED
        )
        yield from pairs_on(asked, {each.node for each in report.dns.pairs_lost})
    if report.reached is not None:
        named = report.reached.named
        yield from (of_named(each, named.get(each.cell.name, "")) for each in report.reached.results)


def pairs_on(asked: Iterable[str], lost: set[str]) -> Iterator[SeenBeside]:
    """Of each node whose pods ``asked`` and were answered, and of those on which pairs were ``lost``."""
    for node in sorted({*filter(None, asked), *lost}):
        yield pairs_of(node, lost=node in lost)


def of_service(each: ServiceResult) -> SeenBeside:
    """What is kept of one connection through a Service."""
    cell = each.cell
    kept = Kept(cell.source, cell.protocol, cell.port, str(cell.family), each.expected, each.result)
    return through_service(kept, cell.backend, cell.way, cell.at, as_without=each.as_without)


def of_lookup(each: LookupResult) -> SeenBeside:
    """What is kept of one lookup by DNS."""
    return looked_up(_of(each), each.expectation.server)


def of_named(each: LookupResult, named: str = "") -> SeenBeside:
    """What is kept of one connection to a Service of the cluster's own, or of a lookup of that Service ``named``."""
    return at_service(_of(each), named or each.cell.service, by_name=bool(each.cell.name))


def _of(each: LookupResult) -> Kept:
    cell, expected = each.cell, each.expectation
    return Kept(
        cell.source, cell.protocol, cell.port, str(cell.family), expected.verdict, each.result, why=expected.why
    )
