"""The part of an audit that looks a name up as workloads do: by the cluster's DNS, at the address in resolv.conf."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from auditor.cluster.interface import Cluster
from auditor.diagnosis.comparison import compare
from auditor.loop.apart import apart
from auditor.model.addresses import IPAddress
from auditor.model.dns_seen import DnsSeen, LookupCell, LookupExpectation, LookupResult, NameService
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Family
from auditor.model.verdict import NOT_OBSERVED, Observation, Observed, Result
from auditor.model.words import in_brief, pluralize
from auditor.policy.lookups import DnsReading
from auditor.probing.agent_pool import AgentPool
from auditor.probing.lookup_run import PHASE, LookupOutcome, LookupTry, probe_lookups
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.session import Resolvers
from auditor.probing.sites import ProbeSite
from auditor.run.expectation import AuditState

CHANGED = "policies, labels or namespaces changed meanwhile"
UNHEARD = "no other connection shows that its network link carries packets"
DEFAULT_DOMAIN = "cluster.local"
KNOWN_NAME = "kubernetes.default.svc"
"""The name that every cluster's DNS has."""


async def look_names_up(
    cluster: Cluster,
    audit_state: AuditState,
    sources: Collection[str],
    options: ProbingOptions,
    progress: ProbingProgress,
) -> tuple[DnsSeen, float]:
    """What comes of lookups from those of ``sources`` at whose sites agents run, and the seconds that it took.

    Raises ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    service = await cluster.name_service()
    sites = sites_of(cluster, sources)
    around = _around(cluster) if service.servers else ()
    asking = list(dict.fromkeys((*sites, *pods_beside(cluster, sites), *around)))
    async with AgentPool(asking, cluster.open, options, progress) as pool:
        progress.phase(PHASE, pool.size)
        await pool.start({}, (), options.timeout)
        configured = {} if service.servers else await pool.resolvers()
        name = service.name or f"{KNOWN_NAME}.{domain_of(configured)}"
        judged = audit_state.expectation.matrix.snapshot
        judged = replace(judged, services=(*service.services, *judged.services))
        reading = DnsReading(judged, cluster.workloads)
        demands = await apart(_demands, reading, lookup_cells(sites, service, configured))
        tries = [LookupTry(cell, each.demanded, site, each.behind) for cell, (site, each) in demands.items()]
        beside = [site for site in asking if site not in sites]
        proofs = [LookupTry(cell, None, site, judged=False) for site, cell in lookup_cells(beside, service, configured)]
        outcome = await probe_lookups([*tries, *proofs], name, pool, options, progress)
    state = await standing(cluster, audit_state)
    seen = [judged_lookup(cell, each, outcome, state) for cell, (_, each) in demands.items()]
    facts = tuple(_facts(name, seen, outcome, pluralize(len(sites), "pod")))
    return DnsSeen(name, tuple(seen), outcome.pairs_lost, facts), time.monotonic() - began


def sites_of(cluster: Cluster, sources: Collection[str]) -> list[ProbeSite]:
    """The sites of those of ``sources`` that are pods, as far as agents run there."""
    pods = {end.name for end in cluster.snapshot.endpoints if end.selectable}.intersection(sources)
    return [site for site in cluster.sites if site.agent and not pods.isdisjoint(site.endpoints)]


def pods_beside(cluster: Cluster, sites: Sequence[ProbeSite]) -> list[ProbeSite]:
    """The sites of all other pods at which agents run: what these are answered proves something to ``sites``."""
    pods = {end.name for end in cluster.snapshot.endpoints if end.selectable}
    return [site for site in sites_of(cluster, pods) if site not in sites]


def _around(cluster: Cluster) -> Iterator[ProbeSite]:
    """The nodes at which agents run: no policy keeps these from asking."""
    there = {site.name: site for site in (*cluster.sites, *cluster.witnesses.sites)}
    return (site for site in there.values() if site.agent and site.is_node)


def domain_of(configured: Mapping[str, Resolvers]) -> str:
    """The domain of the cluster, as pods search it."""
    domains = [domain for each in configured.values() for domain in each.search if domain.startswith("svc.")]
    return domains[0].removeprefix("svc.").rstrip(".") if domains else DEFAULT_DOMAIN


def lookup_cells(
    sites: Sequence[ProbeSite], service: NameService, configured: Mapping[str, Resolvers]
) -> Iterator[tuple[ProbeSite, LookupCell]]:
    """What each of ``sites`` asks: every DNS server that it has an address family in common with, over UDP and TCP."""
    for site in sites:
        families = {address.version for address in site.addresses}
        servers = service.servers or configured.get(site.name, Resolvers()).servers
        for address in dict.fromkeys(filter(None, map(_address, servers))):
            if address.version not in families:
                continue
            for protocol in (Protocol.UDP, Protocol.TCP):
                yield site, LookupCell((*site.endpoints, site.name)[0], protocol, str(address), Family(address.version))


def _address(text: str) -> IPAddress | None:
    """The address, where ``text`` is one that means the same whatever the interface."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def _demands(
    reading: DnsReading, cells: Iterator[tuple[ProbeSite, LookupCell]]
) -> dict[LookupCell, tuple[ProbeSite, LookupExpectation]]:
    """What is expected of each lookup; none by a pod of the DNS itself."""
    return {
        cell: (site, reading.expectation(cell))
        for site, cell in cells
        if reading.answering(cell).isdisjoint(map(str, site.addresses))
    }


class Standing(NamedTuple):
    """How things stand once lookups have been made: the ends that are known to carry packets (``heard_ends``), whether
    anything ``changed`` since it was said what is expected, and the ends of which nothing is known any more, with the
    reason.
    """

    heard: Collection[tuple[str, Family]]
    changed: bool
    failed: Mapping[str, str]


async def standing(cluster: Cluster, audit_state: AuditState) -> Standing:
    """How things stand now. Raises ClusterError."""
    changed = await audit_state.is_outdated(cluster)
    return Standing(heard_ends(await apart(audit_state.results)), changed, dict(cluster.failed))


def heard_ends(results: Sequence[CellResult]) -> set[tuple[str, Family]]:
    """The endpoints of which some connection has a verdict, by family."""
    return {
        (end, each.cell.family)
        for each in results
        if each.result not in NOT_OBSERVED
        for end in (each.cell.source, each.cell.destination)
    }


def judged_lookup(
    cell: LookupCell,
    expected: LookupExpectation,
    outcome: LookupOutcome,
    state: Standing,
) -> LookupResult:
    """What ``outcome`` says of ``cell``, as things stand."""
    heard, changed, failed = state
    seen = outcome.observations[cell]
    if changed or cell.source in failed:
        why = CHANGED if changed else failed[cell.source]
        seen = Observation(Observed.INCONCLUSIVE, why, seen.history)
    elif seen.verdict.is_denied and (cell.source, cell.family) not in heard:
        seen = Observation(Observed.INCONCLUSIVE, UNHEARD, seen.history)
    result = compare(expected.verdict, (), seen)
    if expected.left_open and result in (Result.LEAK, Result.OUTAGE, Result.MISDELIVERED):
        result = Result.CNI_DEPENDENT
    return LookupResult(cell, expected, seen, result)


def _facts(name: str, seen: Sequence[LookupResult], outcome: LookupOutcome, asking: str) -> Iterator[str]:
    if not seen:
        yield f"no lookup could be tried: none of {asking} has a DNS server in resolv.conf that it could ask"
    for code, number in outcome.codes.items():
        yield f"{pluralize(number, 'lookup')} of {name} answered {code}: the DNS was reached, and its answer is its own"
    left_open = {each.expectation.left_open for each in seen if each.result is Result.CNI_DEPENDENT}
    if left_open:
        yield f"lookups that the specification leaves open came out otherwise: {in_brief(sorted(left_open), 2)}"
    yield from outcome.facts
