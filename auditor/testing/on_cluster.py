"""Checks on a live cluster: the audit that ``audit run`` makes, with its probe pods, Leases and clean-up.

The probe pods are there for the audit alone. What a session that was killed has left, the next one clears away before
its first audit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE, PodOptions
from auditor.cluster.kubernetes.session.cleanup import delete_leftovers
from auditor.cluster.kubernetes.session.leftovers import find_leftovers
from auditor.cluster.kubernetes.session.lent_policies import lent_policies
from auditor.model.errors import ClusterError
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import ContainerPort
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.probe_pods.choice import Mode
from auditor.probing.options import NoProgress
from auditor.run.live import LiveAudit, audit_with_plan
from auditor.run.live_plan import LiveOptions
from auditor.run.planning import AuditOptions
from auditor.testing.audited import Audited, AuditedBackend, AuditRequest, reproduce
from auditor.testing.policies import policies_in
from auditor.testing.running import entered, run_to_end
from auditor.testing.sharing import Shared


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster, which of its namespaces (none: all), and the probe pods that are put into it. ``all_pods``: one
    for each pod, rather than one for all that no policy tells apart.
    """

    connection: ConnectionOptions
    namespaces: tuple[str, ...] = ()
    image: str = DEFAULT_IMAGE
    all_pods: bool = False
    start_seconds: float = 60.0


class ClusterWorld:
    """The cluster that ``options`` name."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._cleared = False

    def audit(self, request: AuditRequest) -> Audited:
        """One audit. Raises ClusterError where it can't be made, or something of it is left."""
        return run_to_end(self._audit(request))

    @contextmanager
    def applied(self, path: str) -> Iterator[None]:
        """The policies in ``path`` in the cluster, as long as the block runs."""
        with entered(self._lent(policies_in(path))):
            yield

    @asynccontextmanager
    async def _lent(self, policies: Sequence[NetworkPolicy]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async with ApiServer(await connect(self._options.connection)) as api, lent_policies(api, policies):
            yield

    async def _audit(self, request: AuditRequest) -> Audited:
        if not self._cleared:
            await self._clear_up()
            self._cleared = True
        externals = _externals(request)
        given = self._options
        live = LiveOptions(
            given.connection,
            given.namespaces,
            mode=Mode.ALL_PODS if given.all_pods else Mode.ONE_PER_CLASS,
            externals=tuple(externals.values()),
            pods=PodOptions(image=given.image),
            start_seconds=given.start_seconds,
        )
        again = self._again(externals)
        options = AuditOptions(also=tuple(sorted(request.ports)))
        made = await audit_with_plan(live, options, "a cluster", lambda cell: reproduce(again, cell), NoProgress())
        return _audited(made, externals, again)

    async def _clear_up(self) -> None:
        async with ApiServer(await connect(self._options.connection)) as api:
            found = await find_leftovers(api, self._options.namespaces)
            if (chosen := found.chosen(None, 0.0)) and (failures := (await delete_leftovers(api, chosen)).failures):
                raise ClusterError(*failures)

    def _again(self, externals: dict[str, Endpoint]) -> tuple[str, ...]:
        given = self._options
        words = ["audit", "run"]
        words += ["--kubeconfig", given.connection.kubeconfig] if given.connection.kubeconfig else []
        words += ["--context", given.connection.context] if given.connection.context else []
        words += ["--image", given.image] if given.image != DEFAULT_IMAGE else []
        words += [word for name in given.namespaces for word in ("-n", name)] or ["-A"]
        words += ["--all-pods"] if given.all_pods else []
        for host in externals.values():
            name = host.name.partition("/")[2]
            address = f"[{name}]" if ":" in name else name
            words += [word for port in host.ports for word in ("--external", f"{address}:{port.number}")]
        return tuple(words)


def _externals(request: AuditRequest) -> dict[str, Endpoint]:
    """The hosts outside that checks name as destinations, by that name; they are called after their addresses, as
    ``--external`` calls them.
    """
    found = {}
    for name, addresses in request.hosts.items():
        ports = sorted(port for host, port in request.at_hosts if host == name and port.number)
        declared = tuple(ContainerPort(port.protocol, port.number) for port in ports)
        if declared:
            found[f"host/{name}"] = Endpoint(
                f"host/{addresses[0]}", EndpointKind.HOST, addresses=addresses, ports=declared
            )
    return found


def _audited(made: LiveAudit, externals: dict[str, Endpoint], again: tuple[str, ...]) -> Audited:
    stand_ins = {pod: probe.name for probe in made.intended.probes for pod in probe.stands_for}
    stand_ins |= {name: host.name for name, host in externals.items()}
    named = [replace(host, name=name) for name, host in externals.items()]
    workloads = made.intended.live.snapshot
    snapshot = replace(workloads, endpoints=(*workloads.endpoints, *named))
    audited = replace(made.intended.snapshot, endpoints=made.report.endpoints)
    return Audited(snapshot, audited, made.report, again, stand_ins)


def cluster_backend(options: ClusterOptions, shared: Path | None = None) -> AuditedBackend:
    """Checks on a cluster. ``shared`` is a directory by which processes share audits: one makes them for all."""
    world = ClusterWorld(options)
    where = "on the cluster" + (f" (context {options.connection.context})" if options.connection.context else "")
    if shared is None:
        return AuditedBackend(world.audit, world.applied, where, lasting=False)
    sharing = Shared(world.audit, world.applied, shared, repr(options))
    return AuditedBackend(sharing.audit, sharing.applied, where, lasting=True)
