"""The part of an audit that goes through Services: made, tried, held against what policies demand, and explained."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from auditor.cluster.interface import Cluster
from auditor.diagnosis.comparison import compare
from auditor.diagnosis.service_paths import diagnose_paths
from auditor.loop.apart import apart
from auditor.model.addresses import IPAddress
from auditor.model.report import CellResult
from auditor.model.service_seen import OwnService, ServiceCell, ServiceExpectation, ServiceResult, ServicesSeen, Way
from auditor.model.snapshot import Endpoint, Family, Service, Snapshot
from auditor.model.verdict import NOT_OBSERVED, Observation, Observed, Result
from auditor.model.words import pluralize
from auditor.policy.decision_places import places_of
from auditor.policy.explain import decide
from auditor.policy.service_ways import expectation, with_somebody_at
from auditor.probing.options import ProbingOptions, ProbingProgress
from auditor.probing.service_routes import Proof, Proving, ServiceTry, proofs_of_nodes, proofs_of_tries
from auditor.probing.service_run import ServiceOutcome, probe_services
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses
from auditor.run.expectation import AuditState
from auditor.run.service_plan import MadeService, bounded, connections, node_endpoints, plan_services

CHANGED = "policies, labels or namespaces changed while Services were tried"
PHASE = "through Services"


async def through_services(
    cluster: Cluster, audit_state: AuditState, options: ProbingOptions, progress: ProbingProgress
) -> tuple[ServicesSeen, float]:
    """What comes of the connections of ``audit_state`` through Services of the run's own, and the seconds that it took.

    Raises ClusterError when the cluster fails under it.
    """
    began = time.monotonic()
    nodes = node_endpoints(cluster.snapshot.endpoints, (*cluster.sites, *cluster.witnesses.sites))

    async def outdated() -> bool:
        return await audit_state.is_outdated(cluster)

    about = Tried(
        await apart(audit_state.results),
        audit_state.expectation.matrix.snapshot,
        nodes,
        cluster.snapshot.node_addresses,
        outdated,
    )
    return await try_services(cluster, about, options, progress), time.monotonic() - began


class ServicePlace(Protocol):
    """What it takes to try Services somewhere, as a Cluster has it."""

    @property
    def sites(self) -> Sequence[ProbeSite]: ...

    @property
    def witnesses(self) -> Witnesses: ...

    @property
    def failed(self) -> Mapping[str, str]: ...

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]: ...

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]: ...

    async def open(self, site: ProbeSite) -> AgentChannel: ...


async def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Tried:
    """What has been tried without Services: the ``results``, the ``snapshot`` with the policies in force, the ``nodes``
    by their bare names, and addresses of further nodes. ``outdated`` tells whether any of it has changed since.
    """

    results: Sequence[CellResult]
    snapshot: Snapshot
    nodes: Mapping[str, Endpoint]
    node_addresses: Collection[IPAddress] = ()
    outdated: Callable[[], Awaitable[bool]] = _never


async def try_services(
    cluster: ServicePlace, about: Tried, options: ProbingOptions, progress: ProbingProgress
) -> ServicesSeen:
    """What comes of the connections ``about`` through Services made for that. Raises ClusterError."""
    nodes = about.nodes
    places = {end: site for site in cluster.sites for end in site.endpoints if site.agent}
    # What kubelets try, and what goes to hosts outside, is nothing that a Service of ours could be tried with.
    results = [each for each in about.results if {each.cell.source, each.cell.destination} <= places.keys()]
    wanted = plan_services(results, places)
    progress.phase("making Services", len(wanted))
    given = await cluster.expose(wanted)
    made = [MadeService(own, service) for own, service in zip(wanted, given, strict=True) if service is not None]
    without, limits = bounded(connections(made, results, places, nodes), made, places)
    snapshot = _with_nodes(about.snapshot, nodes)
    of_nodes = [str(address) for node in nodes.values() for address in node.addresses]
    inner = cluster.inner_addresses
    of_nodes += [address for own in inner.values() for address in own]
    snapshot = with_somebody_at(snapshot, [*of_nodes, *(cell.address for cell in without)])
    demands = await apart(_demands, snapshot, without, inner)
    outcome = await _probe(cluster, made, demands, places, about, options, progress)
    changed, failed = await about.outdated(), dict(cluster.failed)
    void = {
        cell: CHANGED if changed else failed[end]
        for cell in without
        for end in (cell.source, cell.backend)
        if changed or end in failed
    }
    seen = await apart(_judged, snapshot, nodes, without, demands, outcome, void)
    return replace(seen, facts=(*seen.facts, *limits))


def _with_nodes(snapshot: Snapshot, nodes: Mapping[str, Endpoint]) -> Snapshot:
    known = {endpoint.name for endpoint in snapshot.endpoints}
    return replace(
        snapshot,
        endpoints=(*snapshot.endpoints, *(node for node in nodes.values() if node.name not in known)),
    )


def _demands(
    snapshot: Snapshot, without: Mapping[ServiceCell, CellResult], inner: Mapping[str, Sequence[str]]
) -> dict[ServiceCell, ServiceExpectation]:
    return {cell: expectation(snapshot, cell, each.notes, inner.get(cell.at, ())) for cell, each in without.items()}


async def _probe(  # noqa: PLR0913, PLR0917 - where it comes together
    cluster: ServicePlace,
    made: Sequence[MadeService],
    demands: Mapping[ServiceCell, ServiceExpectation],
    places: Mapping[str, ProbeSite],
    about: Tried,
    options: ProbingOptions,
    progress: ProbingProgress,
) -> ServiceOutcome:
    tries = [
        ServiceTry(cell, demanded.demanded, places[cell.source], places[cell.backend])
        for cell, demanded in demands.items()
    ]
    around = tuple({site.name: site for site in (*cluster.sites, *cluster.witnesses.sites)}.values())
    translators = {address for node in about.nodes.values() for address in node.addresses} | {*about.node_addresses}
    return await probe_services(
        tries,
        _proofs(made, tries, around, places, about.nodes),
        around,
        cluster.open,
        options,
        progress,
        translators=translators,
        inner=cluster.inner_addresses,
    )


def _proofs(
    made: Sequence[MadeService],
    tries: Sequence[ServiceTry],
    around: Sequence[ProbeSite],
    places: Mapping[str, ProbeSite],
    nodes: Mapping[str, Endpoint],
) -> tuple[Proof, ...]:
    """What shows that nodes translate Services: what may be tried by agents at nodes, or else what policies allow."""
    proving = [
        Proving(places[each.own.backend].name, port, _family(address), str(address), port.number)
        for each in made
        if each.own.proof
        for port, _ in each.fronts
        for address in each.service.cluster_ips
    ]
    by_node_ports = [
        Proving(places[each.own.backend].name, port, _family(address), str(address), number, of_node_ports=True)
        for each in made
        if each.own.way is Way.NODE_PORT
        for port, number in each.fronts
        if number and (node := nodes.get(places[each.own.backend].node)) is not None
        for address in node.addresses
        if _family(address) in {_family(front) for front in each.service.cluster_ips}
    ]
    by_tries = proofs_of_tries(tries, [each.address for each in proving])
    return (*proofs_of_nodes(around, (*proving, *by_node_ports)), *by_tries)


def _family(address: IPAddress) -> Family:
    return Family(address.version)


def _judged(  # noqa: PLR0913, PLR0917 - all that a result is made of
    snapshot: Snapshot,
    nodes: Mapping[str, Endpoint],
    without: Mapping[ServiceCell, CellResult],
    demands: Mapping[ServiceCell, ServiceExpectation],
    outcome: ServiceOutcome,
    void: Mapping[ServiceCell, str],
) -> ServicesSeen:
    """What ``outcome`` says of each connection; nothing of those that are ``void``, with the reason."""
    results = tuple(
        _result(cell, demands[cell], each, outcome, void=void.get(cell, "")) for cell, each in without.items()
    )
    placed = tuple(
        replace(each, places=places_of(decide(snapshot, each.cell.direct))) if each.is_fault else each
        for each in results
    )
    return ServicesSeen(placed, diagnose_paths(snapshot, nodes, placed), (*_facts(placed), *outcome.facts))


def _result(
    cell: ServiceCell, demanded: ServiceExpectation, without: CellResult, outcome: ServiceOutcome, *, void: str
) -> ServiceResult:
    seen = outcome.observations[cell]
    if void:
        seen = Observation(Observed.INCONCLUSIVE, void, seen.history)
    elif without.result in NOT_OBSERVED and seen.verdict.is_denied:
        why = f"the connection without the Service has no verdict: {without.observation.outcome}"
        seen = Observation(Observed.INCONCLUSIVE, why, seen.history)
    address = outcome.seen.get(cell, "")
    open_by = demanded.left_open or _open_by_source(cell, address, seen)
    result = compare(demanded.verdict, (), seen, unstable=cell in outcome.unstable)
    if open_by and result in (Result.LEAK, Result.OUTAGE, Result.UNSTABLE):
        result = Result.CNI_DEPENDENT
    alike = result is without.result and result in (Result.LEAK, Result.OUTAGE, Result.UNSTABLE)
    return ServiceResult(cell, demanded.verdict, seen, result, open_by, address, as_without=alike)


def _open_by_source(cell: ServiceCell, address: str, seen: Observation) -> str:
    """Why nothing is demanded of a NodePort whose backend saw another source than the one that asked."""
    if cell.way is Way.CLUSTER_IP or not address or seen.verdict is not Observed.ALLOWED:
        return ""
    return f"the backend saw it come from {address}, so policies may have, too"


def _facts(results: Sequence[ServiceResult]) -> list[str]:
    translated = [each for each in results if each.seen and each.cell.way is Way.CLUSTER_IP]
    across = [each for each in translated if each.cell.source != each.cell.backend]
    open_ones = sum(each.result is Result.CNI_DEPENDENT for each in results)
    facts = []
    if across:
        facts.append(
            f"{pluralize(len(across), 'connection')} through a ClusterIP came from another address than the source's "
            f"own, {across[0].seen} for one ({across[0].cell}): no selector of a policy stands for that"
        )
    if open_ones:
        facts.append(
            f"{pluralize(open_ones, 'connection')} through Services that the specification leaves open came out "
            "otherwise than without the Service"
        )
    return facts
