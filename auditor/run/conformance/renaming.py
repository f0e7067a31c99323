"""Scenarios under other names, so that many can stand in one cluster without one knowing of the other.

Namespaces and hosts get a prefix, and so does whatever names them: the label with a namespace's name, and each selector
that asks for it. A scenario means the same afterwards, cell by cell, since no policy can read a name in any other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Requirement
from auditor.model.policy import IPBlock, NetworkPolicy, Peer, Rule
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.model.verdict import Cell


@dataclass(frozen=True, slots=True)
class Renaming:
    """Puts ``prefix`` before every name that is shared in a cluster."""

    prefix: str

    def name(self, name: str) -> str:
        """The name of an endpoint: ``prod/web`` becomes ``PREFIXprod/web``, ``host/backup`` becomes
        ``host/PREFIXbackup``.
        """
        place, _, rest = name.partition("/")
        return (
            f"{place}/{self.prefix}{rest}"
            if place in (EndpointKind.HOST, EndpointKind.NODE)
            else f"{self.prefix}{place}/{rest}"
        )

    def cell(self, cell: Cell) -> Cell:
        """The same question between the endpoints' new names."""
        return cell._replace(source=self.name(cell.source), destination=self.name(cell.destination))

    def original(self, cell: Cell) -> Cell:
        """The question that ``cell`` is in the scenario's own words."""
        return cell._replace(
            source=cell.source.replace(self.prefix, "", 1), destination=cell.destination.replace(self.prefix, "", 1)
        )

    def snapshot(self, snapshot: Snapshot) -> Snapshot:
        """``snapshot`` without its Services, which no cell is about."""
        namespaces = [Namespace.of(self.prefix + each.name, each.own_labels) for each in snapshot.namespaces.values()]
        return Snapshot(
            namespaces={each.name: each for each in namespaces},
            endpoints=tuple(map(self._endpoint, snapshot.endpoints)),
            policies=self.policies(snapshot.policies),
        )

    def policies(self, policies: Iterable[NetworkPolicy]) -> tuple[NetworkPolicy, ...]:
        """``policies`` in their new namespaces."""
        return in_namespaces(policies, lambda name: self.prefix + name)

    def _endpoint(self, endpoint: Endpoint) -> Endpoint:
        namespace = self.prefix + endpoint.namespace if endpoint.namespace else ""
        return replace(endpoint, name=self.name(endpoint.name), namespace=namespace)


def in_namespaces(policies: Iterable[NetworkPolicy], called: Callable[[str], str]) -> tuple[NetworkPolicy, ...]:
    """``policies`` where the namespace of each name is ``called`` otherwise; so are those that selectors ask for."""

    def peer(old: Peer) -> Peer:
        asked = old.namespace_selector
        return old if asked is None else replace(old, namespace_selector=selector_in_namespaces(asked, called))

    return tuple(
        replace(_by_peer(policy, peer), namespace=called(policy.namespace), file="", line=0) for policy in policies
    )


def selector_in_namespaces(selector: LabelSelector, called: Callable[[str], str]) -> LabelSelector:
    """``selector`` of namespaces, each of which is ``called`` otherwise."""

    def value(key: str, old: str) -> str:
        return called(old) if key == NAMESPACE_NAME_LABEL else old

    def requirement(old: Requirement) -> Requirement:
        return replace(old, values=tuple(value(old.key, each) for each in old.values))

    labels = tuple((key, value(key, each)) for key, each in selector.match_labels)
    return replace(selector, match_labels=labels, match_expressions=tuple(map(requirement, selector.match_expressions)))


def _by_peer(policy: NetworkPolicy, change: Callable[[Peer], Peer]) -> NetworkPolicy:
    def changed(rules: Iterable[Rule]) -> tuple[Rule, ...]:
        return tuple(replace(rule, peers=tuple(map(change, rule.peers))) for rule in rules)

    return replace(policy, ingress=changed(policy.ingress), egress=changed(policy.egress))


def readdressed(
    policies: Iterable[NetworkPolicy], before: Sequence[Endpoint], now: Sequence[Endpoint]
) -> tuple[NetworkPolicy, ...]:
    """``policies`` with every ipBlock that covers a pod of ``before`` made to cover the same pods at their addresses
    ``now``.

    What covers no pod stays as it is. A block gets the smallest range that has all of its pods; whether it has others,
    too, is for the evaluator to decide.
    """
    addresses = {endpoint.name: endpoint.addresses for endpoint in now}
    moved = [(address, addresses.get(pod.name, ())) for pod in before for address in pod.addresses]

    def covering(network: IPNetwork) -> IPNetwork | None:
        inside = [new for old, several in moved if old in network for new in several if new.version == network.version]
        return smallest_range(inside) if inside else None

    def change(peer: Peer) -> Peer:
        block = peer.ip_block
        found = None if block is None or block.is_whole_family else covering(block.cidr)
        if block is None or found is None:
            return peer
        excepts = [range_ for each in block.excepts if (range_ := covering(each)) is not None]
        # An exception must be a part of its cidr, and not all of it.
        return replace(peer, ip_block=IPBlock(found.supernet() if found in excepts else found, tuple(excepts)))

    return tuple(_by_peer(policy, change) for policy in policies)


def smallest_range(addresses: Sequence[IPAddress]) -> IPNetwork:
    """The smallest CIDR that has all of ``addresses``, which are of one family."""
    network: IPNetwork = ip_network(addresses[0])
    while not all(address in network for address in addresses):
        network = network.supernet()
    return network
