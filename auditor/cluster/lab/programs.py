"""Which ruleset each network namespace gets for an enforcement of policies."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.dialects import BEHAVIOURS
from auditor.cluster.lab.nftables import CLEAR, Allowances, Flakiness, node_ruleset, pod_ruleset
from auditor.cluster.lab.policing import Policing
from auditor.cluster.lab.service_paths import ServicePath
from auditor.cluster.lab.service_rules import clear, service_ruleset
from auditor.cluster.lab.tiers import policed
from auditor.cluster.lab.topology import Topology
from auditor.model.dialect import Enforcement, Enforcer
from auditor.model.path_dialect import PathDialect
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, Service, Snapshot


@dataclass(frozen=True, slots=True)
class Program:
    """What to put in force: ``rulesets`` (namespace, text) now, ``later`` (seconds, namespace, text) after that many
    seconds.
    """

    rulesets: tuple[tuple[int, str], ...]
    later: tuple[tuple[float, int, str], ...] = ()


def compile_program(  # noqa: PLR0913, PLR0917 - what the rules of a lab depend on
    topology: Topology,
    snapshot: Snapshot,
    enforcement: Enforcement,
    previous_policies: Sequence[NetworkPolicy] | None,
    generation: int,
    services: Sequence[Service] = (),
) -> Program:
    """The rulesets of every node, and of every pod's own stack where a dialect filters there.

    ``previous_policies`` are those that a stale enforcer still enforces (None: the same). ``generation`` differs
    between any two programs of one lab, so that connections allowed by an earlier one are judged anew. ``services`` are
    those that nodes translate.
    """
    rulesets: list[tuple[int, str]] = []
    later: list[tuple[float, int, str]] = []
    for node in topology.nodes:
        enforcer = enforcement.at(node)
        behaviour = BEHAVIOURS[enforcer.dialect]
        stale = previous_policies if behaviour.previous_policies else None
        policies = snapshot.policies if stale is None else stale
        policing = Policing(snapshot, policies, behaviour, topology.cluster, enforcement.on_pod)
        path = _service_path(topology, services, node, enforcement.path_at(node))
        texts = _node_program(topology, snapshot, policing, node, enforcer, generation, path)
        if behaviour.slow and enforcer.value > 0:
            rulesets += [(namespace, CLEAR) for namespace, _ in texts]
            later += [(enforcer.value, namespace, text) for namespace, text in texts]
        else:
            rulesets += texts
    return Program(tuple(rulesets), tuple(later))


def service_rulesets(
    topology: Topology, snapshot: Snapshot, services: Sequence[Service]
) -> tuple[tuple[int, str], ...]:
    """What each node translates for ``services``: rulesets by namespace, beside those of policies."""
    return tuple(
        (
            namespace,
            service_ruleset(snapshot, services, node, topology.node_addresses[node]) if services else clear(),
        )
        for node, namespace in topology.nodes.items()
    )


def _service_path(
    topology: Topology, services: Sequence[Service], node: str, dialect: PathDialect | None
) -> ServicePath:
    pods = [address for link in topology.links if link.pod.node == node for address in link.pod.addresses]
    fronts = AddressSet.of(address for service in services for address in service.cluster_ips)
    return ServicePath(pods, topology.node_addresses[node], fronts, dialect)


def _node_program(  # noqa: PLR0913, PLR0917 - what one node's rules depend on
    topology: Topology,
    snapshot: Snapshot,
    policing: Policing,
    node: str,
    enforcer: Enforcer,
    generation: int,
    path: ServicePath,
) -> list[tuple[int, str]]:
    behaviour = BEHAVIOURS[enforcer.dialect]
    links = [link for link in topology.links if link.pod.node == node]
    known = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
    allowances = {link.interface: _sides(policing, snapshot, known.get(link.pod.name)) for link in links}
    if not behaviour.filters and all(sides == (None, None) for sides in allowances.values()):
        return [(topology.nodes[node], CLEAR)]
    flakiness = None
    if behaviour.flaky:
        pods = AddressSet.of(address for link in topology.links for address in link.pod.addresses)
        flakiness = Flakiness(enforcer.value, secrets.randbits(32), pods)
    texts = [(topology.nodes[node], node_ruleset(behaviour, generation, allowances, flakiness, path))]
    if behaviour.own_address or behaviour.own_node:
        own_node = AddressSet.of(topology.node_addresses[node])
        texts += [
            (
                link.namespace,
                pod_ruleset(
                    behaviour, generation, allowances[link.interface], AddressSet.of(link.pod.addresses), own_node
                ),
            )
            for link in links
            if allowances[link.interface] != (None, None)
        ]
    return texts


def _sides(policing: Policing, snapshot: Snapshot, pod: Endpoint | None) -> tuple[Allowances, Allowances]:
    """What ``pod`` may receive and send; anything where the snapshot doesn't have it yet, since no policy selects what
    isn't there.
    """
    return (
        (None, None)
        if pod is None
        else (policed(policing, snapshot, pod, Direction.INGRESS), policed(policing, snapshot, pod, Direction.EGRESS))
    )
