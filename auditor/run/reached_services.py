"""The part of an audit that connects to Services of the cluster's own, where somebody has asked for these by name, and
has these names looked up.

Real pods answer, whichever kube-proxy chooses, and nothing is sent to them: a completed handshake is all that is
wanted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from auditor.cluster.interface import Cluster
from auditor.loop.apart import apart
from auditor.model.dns_seen import LookupCell, LookupExpectation, LookupResult, ReachedSeen
from auditor.model.errors import UsageError
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Service, Snapshot
from auditor.model.verdict import Observed, Result
from auditor.model.words import in_brief, pluralize
from auditor.policy.lookups import DnsReading
from auditor.policy.services import find_service
from auditor.probing.agent_pool import AgentPool
from auditor.probing.lookup_run import LookupTry, probe_lookups
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.sites import ProbeSite
from auditor.run.expectation import AuditState
from auditor.run.lookups import domain_of, judged_lookup, lookup_cells, pods_beside, sites_of, standing
from auditor.run.service_names import NamesAsked, names_asked

PHASE = "connecting to Services"
NOBODY = pluralize(0, "pod")
MOVED = "the Service got another address meanwhile, or was removed"


def named_services(snapshot: Snapshot, names: Sequence[str]) -> tuple[Service, ...]:
    """The Services ``NAMESPACE/NAME``. Raises UsageError for one that is not there or has nothing to connect to."""
    found = []
    for name in dict.fromkeys(names):
        try:
            service = find_service(snapshot, name)
        except KeyError:
            raise UsageError(
                f"--service {name}: {snapshot.absent.get(f'service/{name}', 'there is no such Service')}"
            ) from None
        if service.headless or not service.cluster_ips:
            raise UsageError(f"--service {name}: has no ClusterIP, so nothing is translated on the way: leave it out")
        if not any(port.protocol is Protocol.TCP for port in service.ports):
            raise UsageError(f"--service {name}: has no TCP port, and a handshake is all that is tried: leave it out")
        found.append(service)
    return tuple(found)


async def reach_services(  # noqa: PLR0913, PLR0917 - as look_names_up, and what is to be reached
    cluster: Cluster,
    audit_state: AuditState,
    sources: Collection[str],
    services: Sequence[Service],
    options: ProbingOptions,
    progress: ProbingProgress,
) -> tuple[ReachedSeen, float]:
    """What comes of connections from those of ``sources`` at whose sites agents run to ``services``, and the seconds
    that it took.

    Raises ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    sites = sites_of(cluster, sources)
    reading = DnsReading(audit_state.expectation.matrix.snapshot, cluster.workloads)
    wanted = list(_cells(sites, services))
    demands = await apart(lambda: {cell: reading.expectation(cell) for _, cell in wanted})
    # The pods behind it are not asked by their own addresses: nobody has named these.
    tries = [LookupTry(cell, demands[cell].demanded, site, several=demands[cell].pods > 1) for site, cell in wanted]
    beside = pods_beside(cluster, sites)
    tries += [LookupTry(cell, None, site, judged=False) for site, cell in _cells(beside, services)]
    async with AgentPool([*sites, *beside], cluster.open, options, progress) as pool:
        progress.phase(PHASE, pool.size)
        await pool.start({}, (), options.timeout)
        asked = await _names(cluster, pool, (sites, beside), services, reading)
        outcome = await probe_lookups([*tries, *asked.tries], "", pool, options, progress)
    state = await standing(cluster, audit_state)
    connections = tuple(judged_lookup(cell, each, outcome, state) for cell, each in demands.items())
    facts = [*_facts(connections, demands.values(), outcome.facts, pluralize(len(sites), "pod")), *asked.facts()]
    moved = await _moved(cluster, services)
    results = tuple(_standing_still(each, moved, asked.named) for each in (*connections, *asked.judged(outcome, state)))
    names = tuple(each.place for each in services)
    return ReachedSeen(names, results, tuple(facts), asked.named), time.monotonic() - began


async def _names(
    cluster: Cluster,
    pool: AgentPool,
    sites: tuple[Sequence[ProbeSite], Sequence[ProbeSite]],
    services: Sequence[Service],
    reading: DnsReading,
) -> NamesAsked:
    """The names of ``services`` as those that audit look them up, and those beside them for a proof."""
    service = await cluster.name_service()
    configured = {} if service.servers else await pool.resolvers()
    reading = replace(
        reading, audited=replace(reading.audited, services=(*service.services, *reading.audited.services))
    )
    asking, proving = (
        [(site, cell) for site, cell in lookup_cells(some, service, configured) if cell.protocol is Protocol.UDP]
        for some in sites
    )
    able = [(site, cell) for site, cell in asking if reading.answering(cell).isdisjoint(map(str, site.addresses))]
    return await apart(names_asked, able, proving, services, domain_of(configured), reading.expectation)


async def _moved(cluster: Cluster, services: Sequence[Service]) -> set[str]:
    """Which of ``services`` have other addresses by now, or are gone."""
    now = [(each, await cluster.service_now(each)) for each in services]
    return {each.place for each, there in now if there is None or there.cluster_ips != each.cluster_ips}


def _standing_still(each: LookupResult, moved: Collection[str], named: Mapping[str, str]) -> LookupResult:
    """``each``, without a verdict where its Service is not what it was."""
    if named.get(each.cell.name, each.cell.service) not in moved:
        return each
    seen = replace(each.observation, verdict=Observed.INCONCLUSIVE, outcome=MOVED)
    return replace(each, observation=seen, result=Result.INCONCLUSIVE)


def _cells(sites: Sequence[ProbeSite], services: Sequence[Service]) -> Iterator[tuple[ProbeSite, LookupCell]]:
    for site in sites:
        families = {address.version for address in site.addresses}
        for service in services:
            name = service.place
            for address in service.cluster_ips:
                for port in service.ports:
                    if port.protocol is Protocol.TCP and address.version in families:
                        family = Family(address.version)
                        yield site, LookupCell(site.endpoints[0], Protocol.TCP, str(address), family, port.number, name)


def _facts(
    seen: Sequence[LookupResult], demands: Collection[LookupExpectation], befallen: Sequence[str], asking: str
) -> Iterator[str]:
    if not seen:
        why = f"none of {asking} has an address of the same family as these"
        yield f"no connection to Services could be tried: {'no probe pod asks' if asking == NOBODY else why}"
    left_open = sorted({each.left_open for each in demands if each.left_open})
    if left_open:
        yield f"of some connections to Services nothing is demanded: {in_brief(left_open, 2)}"
    if any(each.result is Result.MATCH for each in seen):
        yield "who answered for a Service is not known: any of its pods may have, and has no key to show that by"
    yield from befallen
