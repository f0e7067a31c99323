"""The policies in a file that a test puts in force for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.model.addresses import IPNetwork
from auditor.model.errors import UsageError
from auditor.model.policy import IPBlock, NetworkPolicy, Rule
from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.run.sources import load_sources


def policies_in(path: str) -> tuple[NetworkPolicy, ...]:
    """The policies in the file or directory ``path``. Raises UsageError where there is none."""
    policies = read_snapshot(load_sources([path])).policies
    if not policies:
        raise UsageError(f"{path}: no NetworkPolicy in it")
    return policies


def replaced(snapshot: Snapshot, path: str) -> Snapshot:
    """``snapshot`` with the policies in ``path``, in the place of those with the same names.

    Raises UsageError for one in a namespace that ``snapshot`` doesn't have.
    """
    new = policies_in(path)
    require_namespaces(snapshot, [policy.namespace for policy in new])
    names = {policy.full_name for policy in new}
    kept = tuple(policy for policy in snapshot.policies if policy.full_name not in names)
    unknown = tuple(policy for policy in snapshot.unknown if policy.full_name not in names)
    return replace(snapshot, policies=(*kept, *new), unknown=unknown)


def require_namespaces(snapshot: Snapshot, namespaces: Sequence[str]) -> None:
    """Raise UsageError for one that ``snapshot`` doesn't have: nothing is wrong in a namespace that isn't there."""
    for name in namespaces:
        if name not in snapshot.namespaces:
            raise UsageError(f"no namespace {name!r}; there are: {', '.join(sorted(snapshot.namespaces))}")


def without_blocks_apart_from(snapshot: Snapshot, networks: Sequence[IPNetwork]) -> Snapshot:
    """``snapshot`` without the ipBlocks that have no address in common with ``networks``: to whoever has an address
    there, it is the same.
    """
    policies = tuple(
        replace(policy, ingress=_near(policy.ingress, networks), egress=_near(policy.egress, networks))
        for policy in snapshot.policies
    )
    return replace(snapshot, policies=policies)


def _near(rules: Sequence[Rule], networks: Sequence[IPNetwork]) -> tuple[Rule, ...]:
    """``rules`` without such blocks, and without those that have no peer left; one that never had any is for
    everybody.
    """
    left = []
    for rule in rules:
        peers = tuple(peer for peer in rule.peers if peer.ip_block is None or _meets(peer.ip_block, networks))
        if peers or not rule.peers:
            left.append(replace(rule, peers=peers))
    return tuple(left)


def is_inside(network: IPNetwork, other: IPNetwork) -> bool:
    """Whether all of ``network`` is in ``other``."""
    if network.version != other.version:
        return False
    first, last = (int(each) for each in (network.network_address, network.broadcast_address))
    return int(other.network_address) <= first and last <= int(other.broadcast_address)


def _meets(block: IPBlock, networks: Sequence[IPNetwork]) -> bool:
    return any(
        block.cidr.version == network.version
        and block.cidr.overlaps(network)
        and not any(is_inside(network, each) for each in block.excepts)
        for network in networks
    )
