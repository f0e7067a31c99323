"""Many scenarios side by side on a live cluster, and how they really stand there: with the addresses, nodes and labels
that they got.

A scenario's hosts, nodes and hostNetwork pods are not put into the cluster, since nothing in it can stand for them
exactly; their cells are skipped. An ipBlock that is about pods gets the addresses that these have here, if the policies
then still say what the truth table demands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from auditor.cluster.kubernetes.client.creation import all_of
from auditor.cluster.kubernetes.reading import not_taken
from auditor.cluster.kubernetes.session.scratch_namespaces import ScratchNamespaces
from auditor.model.addresses import IPAddress
from auditor.model.errors import ClusterError
from auditor.model.policy import NetworkPolicy
from auditor.model.probe_pod import AfterStart
from auditor.model.scorecard import ChangeKind
from auditor.model.service_seen import OwnService
from auditor.model.snapshot import Endpoint, EndpointKind, Service, Snapshot
from auditor.model.verdict import Cell
from auditor.model.words import pluralize
from auditor.policy.evaluator import evaluate
from auditor.probing.sites import AgentChannel, ProbeSite, Witnesses
from auditor.run.conformance.pool import PooledNamespace, PooledPod, Seat
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.renaming import in_namespaces, readdressed
from auditor.run.conformance.scenario_run import lost_meaning
from auditor.run.conformance.testbed import ActualState

ABSENT: Mapping[EndpointKind, str] = {
    EndpointKind.HOST: "a host outside the cluster, of which none is at hand",
    EndpointKind.NODE: "a node, where no agent is run",
    EndpointKind.POD: "a hostNetwork pod, which is not put into the cluster",
}

HANDLED_SECONDS = 2.0
"""How long enforcers get to handle policies, and to make the rules of pods that are there, before a new pod comes."""
REPLACEMENTS = 2
"""How often a pod is replaced at most until one gets the address of the first: many networks go through all others
before they give one anew.
"""


class ClusterTestbed:
    """The prepared scenarios in ``scratch``; ``nodes`` has, by scenario, the cluster's node for each of its nodes.
    ``later``: those that may stand on the same pods afterwards. ``inner_addresses`` are those that nodes have towards
    pods, by their bare names.
    """

    def __init__(
        self,
        scratch: ScratchNamespaces,
        prepared_scenarios: Sequence[PreparedScenario],
        nodes: Mapping[str, Mapping[str, str]],
        later: Iterable[PreparedScenario] = (),
        inner_addresses: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._scratch = scratch
        self._read = [each for prepared in (*prepared_scenarios, *later) for each in prepared.snapshot.policies]
        self._called: dict[str, str] = {}
        self._prepared_scenarios = prepared_scenarios
        self._nodes = nodes
        self._inner_addresses = inner_addresses
        self._running: dict[str, Endpoint] = {}
        self._added: dict[str, Mapping[str, str]] = {}
        self._created: dict[str, float] = {}
        self._replaced: dict[str, bool] = {}
        self._at_start: dict[str, tuple[Cell, ...]] = {}
        self._began: dict[Cell, float] = {}
        self._readdressed: set[str] = set()
        self._followed: set[str] = set()
        self._in_force: dict[str, tuple[NetworkPolicy, ...]] = {}
        self._start_seconds = 0.0
        self._set_up_at = 0.0

    @property
    def size(self) -> int:
        """How many pods there are at the start."""
        return sum(len(self._pods(prepared, prepared.start)) for prepared in self._prepared_scenarios)

    @property
    def sites(self) -> Sequence[ProbeSite]:
        return [self._site(name, pod) for name, pod in self._running.items()]

    def _site(self, name: str, pod: Endpoint) -> ProbeSite:
        link = self._scratch.reached[name]
        return ProbeSite(
            name,
            pod.addresses,
            (name,),
            neighbour_addresses=link.node_addresses,
            watched=link.watched,
            node=pod.node,
            created=self._created[name],
        )

    @property
    def absent(self) -> Mapping[str, str]:
        endpoints = [
            endpoint
            for prepared in self._prepared_scenarios
            for endpoint in prepared.snapshot.endpoints
            if not endpoint.selectable
        ]
        return {endpoint.name: ABSENT[endpoint.kind] for endpoint in endpoints}

    @property
    def failed(self) -> Mapping[str, str]:
        return self._scratch.failed

    @property
    def facts(self) -> Sequence[str]:
        told = []
        if self._replaced:
            pods, again = pluralize(len(self._replaced), "pod"), sum(self._replaced.values())
            told.append(f"{again} of {pods} that replaced others got the address of the old one")
        if self._began:
            pods, latest = pluralize(len({cell.source for cell in self._began}), "new pod"), max(self._began.values())
            told.append(f"{pods} tried what should be closed from {latest:.2f} s after the start on, or earlier")
        return told

    @property
    def witnesses(self) -> Witnesses:
        return Witnesses(heard=self._scratch.heard)

    async def open(self, site: ProbeSite) -> AgentChannel:
        return await self._scratch.open(site.name)

    @property
    def refused(self) -> Sequence[str]:
        return self._scratch.refused_services

    @property
    def inner_addresses(self) -> Mapping[str, Sequence[str]]:
        """Those that none of the pods here has got."""
        taken = (address for pod in self._running.values() for address in pod.addresses)
        return not_taken(self._inner_addresses, taken)

    async def expose(self, wanted: Sequence[OwnService]) -> Sequence[Service | None]:
        """Make Services that each lead to one pod. They go with its namespace."""
        return await self._scratch.expose(wanted, {own.backend: self._running[own.backend] for own in wanted})

    async def set_up(self, seconds: float, advance: Callable[[int], None]) -> None:
        """Have every scenario stand as it begins. Raises ClusterError when not one pod runs."""
        self._start_seconds = seconds
        await self._scratch.create_namespaces(
            namespace for prepared in self._prepared_scenarios for namespace in prepared.start.namespaces.values()
        )
        pods = [pod for prepared in self._prepared_scenarios for pod in self._pods(prepared, prepared.start)]
        await self._start(pods, advance)
        if not self._running:
            raise ClusterError(
                f"no pod could be started: {next(iter(self._scratch.failed.values()), 'no scenario has any')}"
            )
        await self.enforce(self._prepared_scenarios)

    async def enforce(self, prepared_scenarios: Iterable[PreparedScenario]) -> None:
        """Have the policies with which each of ``prepared_scenarios`` begins in force."""
        await all_of(self._put_policies(prepared, prepared.start) for prepared in prepared_scenarios)
        self._set_up_at = time.monotonic()

    async def withdraw(self) -> None:
        """Take all policies away."""
        in_force = list(self._in_force.values())
        self._in_force.clear()
        await all_of(self._scratch.put_policies(self._placed(policies), ()) for policies in in_force)

    def for_others(
        self, prepared_scenarios: Sequence[PreparedScenario], nodes: Mapping[str, Mapping[str, str]]
    ) -> ClusterTestbed:
        """A testbed in the same cluster for others, which can take over what is there."""
        return ClusterTestbed(self._scratch, prepared_scenarios, nodes)

    def pool(self) -> list[PooledNamespace]:
        """What is left of the scenarios once they have been run, for others to stand on."""
        found = []
        for prepared in self._prepared_scenarios:
            for name, namespace in prepared.snapshot.namespaces.items():
                pods = tuple(
                    PooledPod(self._running[pod.name], pod.labels, self._added[pod.name], self._created[pod.name])
                    for pod in prepared.pods
                    if pod.namespace == name and pod.name in self._running
                )
                found.append(PooledNamespace(name, namespace.own_labels, pods))
        return found

    async def take_over(self, seats: Mapping[str, Seat]) -> None:
        """Have the pods and namespaces of ``seats`` stand for those of the scenarios, with their labels.
        No policy is in force then.
        """
        seated = [(prepared, seats[prepared.scenario.name]) for prepared in self._prepared_scenarios]
        for prepared, seat in seated:
            self._called |= {name: pooled.name for name, pooled in seat.namespaces.items()}
            for pod in prepared.pods:
                there = seat.pods[pod.name]
                self._scratch.let_stand_for(there.endpoint.name, pod.name)
                self._running[pod.name] = replace(there.endpoint, name=pod.name)
                self._added[pod.name], self._created[pod.name] = there.added, there.created
        await all_of(self._label_as(prepared, seat) for prepared, seat in seated)

    async def _label_as(self, prepared: PreparedScenario, seat: Seat) -> None:
        after = {pooled.name: pooled for pooled in seat.after(prepared)}
        for pooled in seat.namespaces.values():
            then = after[pooled.name]
            if pooled.labels != then.labels:
                await self._scratch.relabel_namespace(pooled.name, pooled.labels, then.labels)
            for old, new in zip(pooled.pods, then.pods, strict=True):
                if old.labels != new.labels:
                    await self._scratch.relabel_pod(old.endpoint.name, old.labels, new.labels)

    async def change(self, prepared: PreparedScenario) -> None:
        assert prepared.step is not None  # noqa: S101 - only scenarios with a change are followed
        before, after = prepared.step.before, prepared.step.after
        labels = {endpoint.name: endpoint.labels for endpoint in before.endpoints}
        if prepared.step.is_at_new_pod:
            await asyncio.sleep(max(0.0, self._set_up_at + HANDLED_SECONDS - time.monotonic()))
        if prepared.step.change is ChangeKind.POD_CREATED:
            await self._start([pod for pod in self._pods(prepared, after) if pod.name not in labels], lambda _: None)
        elif prepared.step.change is ChangeKind.POD_REPLACED:
            await self._replace([pod for pod in self._pods(prepared, after) if pod.labels != labels[pod.name]])
        elif prepared.step.change is ChangeKind.LAST_PEER_DELETED:
            await self._delete(labels.keys() - {endpoint.name for endpoint in after.endpoints})
        else:
            await self._relabel(before, after)
        there = self._in_force.get(prepared.scenario.name, ())
        await self._put_policies(prepared, after)
        if prepared.step.is_at_new_pod and self._in_force[prepared.scenario.name] != there:
            self._followed.add(prepared.scenario.name)

    async def _relabel(self, before: Snapshot, after: Snapshot) -> None:
        """Give pods and namespaces of ``before`` the labels that they have ``after``."""
        labels = {endpoint.name: endpoint.labels for endpoint in before.endpoints}
        for endpoint in after.endpoints:
            if endpoint.labels != labels.get(endpoint.name, endpoint.labels):
                await self._scratch.relabel_pod(endpoint.name, labels[endpoint.name], endpoint.labels)
        for name, namespace in after.namespaces.items():
            if name in before.namespaces and namespace != before.namespaces[name]:
                await self._scratch.relabel_namespace(name, before.namespaces[name].labels, namespace.labels)

    async def _replace(self, pods: Sequence[Endpoint]) -> None:
        """Have new pods in the place of those that have the names of ``pods``, at their addresses if these come back
        soon.
        """
        for pod in pods:
            old = self._running.get(pod.name)
            if old is None:  # it never ran
                continue
            for _ in range(REPLACEMENTS):
                await self._delete([pod.name])
                await self._start([pod], lambda _: None)
                new = self._running.get(pod.name)
                self._replaced[pod.name] = new is not None and new.addresses == old.addresses
                if new is None or self._replaced[pod.name]:
                    break

    async def _delete(self, names: Collection[str]) -> None:
        running = [name for name in names if name in self._running]
        await self._scratch.delete_pods(running, self._start_seconds)
        for name in running:
            del self._running[name]

    def try_from_start(self, targets: Mapping[str, Mapping[Cell, tuple[IPAddress, int]]]) -> None:
        self._at_start = {pod: tuple(cells) for pod, cells in targets.items()}
        self._scratch.first_targets.update({pod: tuple(cells.values()) for pod, cells in targets.items()})

    async def open_after_start(self) -> Mapping[Cell, AfterStart]:
        found: dict[Cell, AfterStart] = {}
        for pod, cells in self._at_start.items():
            tries = await self._scratch.first_tries(pod) if pod in self._running else []
            found |= dict(zip(cells, tries, strict=False))
        self._began |= {cell: one.began for cell, one in found.items()}
        return found

    @property
    def followed_addresses(self) -> Collection[str]:
        return self._followed

    def actual(self, prepared: PreparedScenario) -> ActualState:
        before = None if prepared.step is None else self._real(prepared, prepared.step.before)
        return ActualState(self._real(prepared, prepared.snapshot), before)

    def _pods(self, prepared: PreparedScenario, state: Snapshot) -> list[Endpoint]:
        nodes = self._nodes[prepared.scenario.name]
        return [replace(pod, node=nodes[pod.node]) for pod in state.endpoints if pod.selectable]

    async def _start(self, pods: Sequence[Endpoint], advance: Callable[[int], None]) -> None:
        self._created |= dict.fromkeys((pod.name for pod in pods), time.monotonic())
        started = await self._scratch.start_pods(pods, self._read, self._start_seconds, advance)
        intended = {pod.name: pod.labels for pod in pods}
        for name, pod in started.items():
            self._running[name] = pod
            self._added[name] = {key: value for key, value in pod.labels.items() if intended[name].get(key) != value}

    async def _put_policies(self, prepared: PreparedScenario, state: Snapshot) -> None:
        """Have the policies of ``state`` in force. A pod that came meanwhile may have given an ipBlock
        another address.
        """
        self._readdressed.discard(prepared.scenario.name)
        if lost_meaning(evaluate(self._real(prepared, prepared.snapshot)), [prepared], {*self.absent, *self.failed}):
            self._readdressed.add(prepared.scenario.name)
        policies = self._policies(prepared, state)
        in_force = self._in_force.get(prepared.scenario.name, ())
        await self._scratch.put_policies(self._placed(in_force), self._placed(policies))
        self._in_force[prepared.scenario.name] = policies

    def _placed(self, policies: Sequence[NetworkPolicy]) -> Sequence[NetworkPolicy]:
        """``policies`` under the names that namespaces really have."""
        return in_namespaces(policies, lambda name: self._called.get(name, name)) if self._called else policies

    def _policies(self, prepared: PreparedScenario, state: Snapshot) -> tuple[NetworkPolicy, ...]:
        if prepared.scenario.name not in self._readdressed:
            return state.policies
        return readdressed(
            state.policies, prepared.snapshot.endpoints, self._endpoints(prepared, prepared.snapshot.endpoints)
        )

    def _real(self, prepared: PreparedScenario, state: Snapshot) -> Snapshot:
        return replace(
            state, endpoints=self._endpoints(prepared, state.endpoints), policies=self._policies(prepared, state)
        )

    def _endpoints(self, prepared: PreparedScenario, endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        """``endpoints`` as they are here, with their own labels and whatever was added to these."""
        nodes = self._nodes[prepared.scenario.name]
        found = []
        for endpoint in endpoints:
            pod = self._running.get(endpoint.name)
            if pod is None:
                found.append(replace(endpoint, node=nodes.get(endpoint.node, "")))
            else:
                labels = {**self._added[endpoint.name], **endpoint.labels}
                found.append(replace(endpoint, labels=labels, addresses=pod.addresses, ports=pod.ports, node=pod.node))
        return tuple(found)
