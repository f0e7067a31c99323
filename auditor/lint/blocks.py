"""Checks of ipBlocks: ranges that cover the cluster's own addresses, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest

from auditor.lint.finding import Check, Remark, peer_place
from auditor.lint.listing import MOST_NAMES, listed_first
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.addresses import IPAddress
from auditor.model.lint import Place, Severity
from auditor.model.policy import Direction, IPBlock
from auditor.model.snapshot import Family, Service
from auditor.policy.addresses import AddressIntervals, Located, bounds
from auditor.policy.bits import bits

BLOCKS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-ipblock-selectors"


def _blocks(policy_index: PolicyIndex) -> Iterator[tuple[IndexedRule, IPBlock, int, Place]]:
    """Every ipBlock in force of a policy that selects someone, with the pods that it covers and no selector of the rule
    admits anyway.
    """
    for indexed in policy_index.rules:
        if indexed.subjects:
            selected = 0
            for peer, reach in zip(indexed.rule.peers, indexed.reach, strict=True):
                selected |= reach if peer.ip_block is None else 0
            for number, peer in enumerate(indexed.rule.peers):
                if peer.ip_block is not None:
                    place = peer_place(indexed.policy, indexed.direction, indexed.number, number)
                    yield (
                        indexed,
                        peer.ip_block,
                        indexed.reach[number] & policy_index.groups.selectable & ~selected,
                        place,
                    )


def covers_pods(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Blocks of a part of the address space in which pods of the cluster are."""
    for _, block, covered, place in _blocks(policy_index):
        if covered and not _is_the_internet(block):
            message = (
                f"ipBlock {block} covers pods ({policy_index.names(covered)}): whether it opens them is up to "
                "the network plugin"
            )
            hint = (
                "ipBlock is meant for addresses outside the cluster. For pods write a selector; else except "
                "their range."
            )
            yield Remark(place, message, hint, cause=str(block))


def internet_covers_pods(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Blocks for any address that leave the pods' own addresses in."""
    for indexed, block, covered, place in _blocks(policy_index):
        if covered and _is_the_internet(block):
            word = "from" if indexed.direction is Direction.INGRESS else "to"
            message = (
                f"ipBlock {block} covers pods of the cluster, too ({policy_index.names(covered)}); network "
                "plugins differ on whether it opens them"
            )
            hint = (
                f"For the Internet alone, except the cluster's own ranges. For everyone, leave {word} out, or add "
                "beside the ipBlock:\n"
                "- namespaceSelector: {}"
            )
            yield Remark(place, message, hint, cause=str(block))


def _is_the_internet(block: IPBlock) -> bool:
    return block.cidr.prefixlen <= 1


def covers_services(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Blocks in egress rules that cover ClusterIPs: these addresses are translated before most plugins look."""
    blocks = [
        (block, place)
        for indexed, block, _, place in _blocks(policy_index)
        if indexed.direction is Direction.EGRESS and not _is_the_internet(block)
    ]
    addresses = _ServiceAddresses(policy_index.snapshot.services, [block for block, _ in blocks])
    for block, place in blocks:
        services, number = addresses.inside(block)
        if services:
            names = listed_first([service.place for service in services], number)
            message = (
                f"ipBlock {block} covers addresses of Services ({names}), which are mostly "
                "translated before policy is applied"
            )
            yield Remark(place, message, _instead_of_services(services), cause=str(block))


def _instead_of_services(services: Sequence[Service]) -> str:
    """What leads to the endpoints of ``services``: their pods or, of one without a selector, the addresses behind
    it.
    """
    selecting = [service for service in services if service.selector is not None]
    by_hand = next((service for service in services if service.selector is None), None)
    lines = ["Select the pods behind the Service, and the port that they listen on (targetPort)."] if selecting else []
    if by_hand is not None:
        lines.append(
            f"Service {by_hand.place} has no selector: write an ipBlock for each address behind it, and the port "
            "there, which this lists:\n"
            f"kubectl get endpointslices -n {by_hand.namespace} -l kubernetes.io/service-name={by_hand.name}"
        )
    return "\n".join(lines)


class _ServiceAddresses:
    """Which Services have an address in which of ``blocks``."""

    def __init__(self, services: Sequence[Service], blocks: Sequence[IPBlock]) -> None:
        self._services = services
        self._located: dict[int, list[Located]] = {}
        for family in Family:
            intervals = AddressIntervals(blocks, family)
            # One set for the first address of each Service, one for the second, so that nothing is in two places of one
            # set.
            several = zip_longest(
                *([each for each in service.cluster_ips if each.version == family] for service in services)
            )
            self._located[family] = [_located(intervals, addresses) for addresses in several]

    def inside(self, block: IPBlock) -> tuple[list[Service], int]:
        """The first Services in ``block``, and how many there are."""
        found = 0
        for located in self._located[block.cidr.version]:
            found |= located.inside(block)
        return [self._services[each] for each in islice(bits(found), MOST_NAMES + 1)], found.bit_count()


def _located(intervals: AddressIntervals, addresses: Iterable[IPAddress | None]) -> Located:
    by_interval: dict[int, int] = defaultdict(int)
    for number, address in enumerate(addresses):
        if address is not None:
            by_interval[intervals.of(address)] |= 1 << number
    return Located(intervals, by_interval)


def empty_block(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Blocks whose excepts take everything away, whether or not their policy selects anyone."""
    for indexed in policy_index.rules:
        for number, peer in enumerate(indexed.rule.peers):
            if peer.ip_block is not None and _is_empty(peer.ip_block):
                # Without a peer left, the rule would be for everyone.
                what = "peer" if len(indexed.rule.peers) > 1 else "whole rule"
                yield Remark(
                    peer_place(indexed.policy, indexed.direction, indexed.number, number),
                    f"ipBlock {peer.ip_block} is empty: its excepts take all of {peer.ip_block.cidr} away",
                    f"Remove the {what}, or an except.",
                )


def _is_empty(block: IPBlock) -> bool:
    """Whether the excepts of ``block`` together are its cidr."""
    first, last = bounds(block.cidr)
    for begin, end in sorted(bounds(network) for network in block.excepts if network.version == block.cidr.version):
        if begin > first:
            return False
        first = max(first, end + 1)
    return first > last


CHECKS = (
    Check(
        "block-covers-pods",
        Severity.WARNING,
        "An ipBlock that covers addresses of pods",
        "The specification leaves it open whether an ipBlock matches pods by their addresses; network plugins "
        "differ. Pod addresses also "
        "change whenever a pod is created anew.",
        covers_pods,
        BLOCKS,
    ),
    Check(
        "internet-block-covers-pods",
        Severity.INFO,
        "An ipBlock for any address, which includes the pods",
        "0.0.0.0/0 is written for the Internet and includes the cluster. With some network plugins it opens every "
        "pod, with others no pod "
        "at all.",
        internet_covers_pods,
        BLOCKS,
    ),
    Check(
        "block-covers-services",
        Severity.WARNING,
        "An ipBlock that covers addresses of Services",
        "A connection to a Service goes to one of its pods; the address is rewritten, usually before policies are "
        "applied, so that a rule "
        "for the Service's address never matches.",
        covers_services,
        BLOCKS,
    ),
    Check(
        "empty-block",
        Severity.WARNING,
        "An ipBlock that is empty",
        "The excepts take away the whole cidr, so that the peer matches nothing.",
        empty_block,
        needs_pods=False,
    ),
)
