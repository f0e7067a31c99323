"""Checks of ipBlocks: ranges that cover the cluster's own addresses, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import collapse_addresses

from auditor.diagnosis.lint.finding import Check, Place, Remark, Severity, peer_place
from auditor.diagnosis.lint.scene import Opening, Scene, listed
from auditor.model.policy import Direction, IPBlock
from auditor.model.snapshot import Service

BLOCKS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-ipblock-selectors"


def _blocks(scene: Scene) -> Iterator[tuple[Opening, IPBlock, int, Place]]:
    """Every ipBlock in force of a policy that selects someone, with the pods that it covers."""
    for opening in scene.openings:
        if opening.subjects:
            for number, peer in enumerate(opening.rule.peers):
                if peer.ip_block is not None:
                    place = peer_place(opening.policy, opening.direction, opening.number, number)
                    yield opening, peer.ip_block, opening.reach[number] & scene.groups.selectable, place


def _only_by_address(opening: Opening, pods: int) -> int:
    """The pods that no selector of the same rule admits anyway."""
    for peer, reach in zip(opening.rule.peers, opening.reach, strict=True):
        if peer.ip_block is None:
            pods &= ~reach
    return pods


def covers_pods(scene: Scene) -> Iterator[Remark]:
    """Blocks of a part of the address space in which pods of the cluster are."""
    for opening, block, pods, place in _blocks(scene):
        covered = _only_by_address(opening, pods)
        if covered and not _is_the_internet(block):
            message = f"ipBlock {block} covers pods ({scene.names(covered)}): whether it opens them is up to the network plugin"
            hint = "ipBlock is meant for addresses outside the cluster. For pods write a selector; else except their range."
            yield Remark(place, message, hint)


def internet_covers_pods(scene: Scene) -> Iterator[Remark]:
    """Blocks for any address that leave the pods' own addresses in."""
    for opening, block, pods, place in _blocks(scene):
        covered = _only_by_address(opening, pods)
        if covered and _is_the_internet(block):
            word = "from" if opening.direction is Direction.INGRESS else "to"
            message = (
                f"ipBlock {block} covers pods of the cluster, too ({scene.names(covered)}); network plugins differ on whether it opens them"
            )
            hint = (
                f"For the Internet alone, except the cluster's own ranges. For everyone, leave {word} out, or add beside the ipBlock:\n"
                "- namespaceSelector: {}"
            )
            yield Remark(place, message, hint)


def _is_the_internet(block: IPBlock) -> bool:
    return block.cidr.prefixlen <= 1


def covers_services(scene: Scene) -> Iterator[Remark]:
    """Blocks in egress rules that cover ClusterIPs: these addresses are translated before most plugins look."""
    for opening, block, _, place in _blocks(scene):
        if opening.direction is Direction.EGRESS and not _is_the_internet(block):
            names = [f"{service.namespace}/{service.name}" for service in scene.snapshot.services if _holds(block, service)]
            if names:
                message = (
                    f"ipBlock {block} covers addresses of Services ({listed(names)}), which are mostly translated before policy is applied"
                )
                yield Remark(place, message, "Select the pods behind the Service, and the port that they listen on (targetPort).")


def _holds(block: IPBlock, service: Service) -> bool:
    return any(address in block.cidr and not any(address in excepted for excepted in block.excepts) for address in service.cluster_ips)


def empty_block(scene: Scene) -> Iterator[Remark]:
    """Blocks whose excepts take everything away."""
    for opening, block, _, place in _blocks(scene):
        excepted = [network for network in block.excepts if network.version == block.cidr.version]
        if any(left == block.cidr for left in collapse_addresses(excepted)):  # type: ignore[type-var]
            # Without a peer left, the rule would be for everyone.
            what = "peer" if len(opening.rule.peers) > 1 else "whole rule"
            yield Remark(place, f"ipBlock {block} is empty: its excepts take all of {block.cidr} away", f"Remove the {what}, or an except.")


CHECKS = (
    Check(
        "block-covers-pods",
        Severity.WARNING,
        "An ipBlock that covers addresses of pods",
        "The specification leaves it open whether an ipBlock matches pods by their addresses; network plugins differ. Pod addresses also "
        "change whenever a pod is created anew.",
        covers_pods,
        BLOCKS,
    ),
    Check(
        "internet-block-covers-pods",
        Severity.INFO,
        "An ipBlock for any address, which includes the pods",
        "0.0.0.0/0 is written for the Internet and includes the cluster. With some network plugins it opens every pod, with others no pod "
        "at all.",
        internet_covers_pods,
        BLOCKS,
    ),
    Check(
        "block-covers-services",
        Severity.WARNING,
        "An ipBlock that covers addresses of Services",
        "A connection to a Service goes to one of its pods; the address is rewritten, usually before policies are applied, so that a rule "
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
    ),
)
