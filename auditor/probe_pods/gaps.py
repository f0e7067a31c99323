"""What the chosen probe pods can't show, in sentences: an audit that is silent about it would claim too much."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from auditor.model.policy import Direction, IPBlock
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.words import in_brief, pluralize
from auditor.model.workloads import workload_name
from auditor.policy.addresses import bounds
from auditor.policy.bits import bits
from auditor.policy.groups import Groups
from auditor.policy.traits import network_policy_traits, peers_in_force
from auditor.probe_pods.models import Pair, PodClass

NAMED_AT_MOST = 5


def listed(names: Iterable[str]) -> str:
    """``a, b and 3 more``: at most five of ``names``, each once, in order."""
    return in_brief(list(dict.fromkeys(names)), NAMED_AT_MOST)


def traffic_within_classes(classes: Sequence[PodClass], names: dict[int, str]) -> Iterator[str]:
    """About ``classes`` of which one probe pod, called by ``names``, stands for pods whose traffic with each other is
    up to policies.
    """
    if classes:
        pods = listed(f"the {len(one.members)} pods of {names[one.number]}" for one in classes)
        yield (
            f"traffic between {pods} is not probed (one probe pod stands for all of them): --per-node or "
            "--all-pods does"
        )


def pods_mistaken_otherwise(
    classes: Sequence[PodClass],
    models: Mapping[int, Sequence[Endpoint]],
    mistakable: Callable[[Endpoint], AbstractSet[object]],
) -> Iterator[str]:
    """About pods that enforcers which err about namespaces may take for peers by selectors that match none of the
    ``models`` of their class; ``mistakable`` gives these of a pod.
    """
    pods: list[Endpoint] = []
    for one in classes:
        shown = frozenset[object]().union(*map(mistakable, models[one.number]))
        pods += [member for member in one.members if not mistakable(member) <= shown]
    names = list(dict.fromkeys(map(workload_name, pods)))
    if names:
        whose = "pod that represents it" if len(names) == 1 else "pods that represent them"
        mistaken = (
            f"an enforcer that mistakes the namespaces of a rule may treat {listed(names)} unlike the probe {whose}"
        )
        yield f"{mistaken}: --all-pods would show it"


def untested_nodes(missing: Iterable[Pair]) -> Iterator[str]:
    """About nodes where pods are isolated in a direction and no probe pod of an isolated class runs."""
    for direction in Direction:
        nodes = sorted(node for node, isolated in missing if isolated is direction)
        if nodes:
            yield (
                f"{direction.lower()} policies on {listed(nodes)} are not tested, no isolated probe pod runs "
                "there: --per-node does"
            )


def unusable_nodes(endpoints: Iterable[Endpoint], can_use: Callable[[str], bool]) -> Iterator[str]:
    """About nodes of audited pods that can't take probe pods."""
    pods = Counter(endpoint.node for endpoint in endpoints if not can_use(endpoint.node))
    if pods:
        nodes = listed(sorted(pods))
        yield (
            f"{pluralize(sum(pods.values()), 'pod')} on {nodes}, which can't take probe pods: represented on "
            "other nodes, if at all"
        )


def endpoints_without_probe_pods(snapshot: Snapshot) -> Iterator[str]:
    """About pods with the address of a node, which no probe pod has."""
    pods = sum(endpoint.host_network for endpoint in snapshot.endpoints)
    if pods:
        yield (
            f"{pluralize(pods, 'hostNetwork pod')} can't be represented: of the traffic with nodes' addresses, only "
            "what each node sends to its own probe pods is tried"
        )


def pods_known_by_address(snapshot: Snapshot, audits: Callable[[Endpoint], bool]) -> Iterator[str]:
    """About policies whose ipBlocks tell pods apart, where the policy or the pods concern an audited pod.

    A block that holds every pod tells none apart, unless it is a single address, which a probe pod won't get.
    """
    if not any(map(may_tell_apart(snapshot), network_policy_traits(snapshot).blocks)):
        return
    groups = Groups(snapshot, set())
    members: list[list[Endpoint]] = [[] for _ in groups.representatives]
    for endpoint, group in zip(snapshot.endpoints, groups.of_endpoint, strict=True):
        members[group].append(endpoint)
    for policy in snapshot.policies:
        for block in dict.fromkeys(peer.ip_block for peer in peers_in_force([policy]) if peer.ip_block is not None):
            pods = sorted(
                (end for group in bits(_told_apart(groups, block)) for end in members[group]), key=lambda end: end.name
            )
            if pods and (
                any(map(audits, pods)) or any(audits(end) for end in snapshot.endpoints if end.is_selected_by(policy))
            ):
                known = listed(map(workload_name, pods))
                yield (
                    f"policy {policy.full_name} knows {known} by address (ipBlock {block}), which a probe pod "
                    "can't carry"
                )


def may_tell_apart(snapshot: Snapshot) -> Callable[[IPBlock], bool]:
    """Whether some of the pods of ``snapshot`` may be inside a block and others not, or one pod alone is meant: as far
    as their addresses in order say it, without a look at each pod.
    """
    addresses: dict[int, list[int]] = {version: [] for version in map(int, Family)}
    for endpoint in snapshot.endpoints:
        for address in endpoint.addresses if endpoint.selectable else ():
            addresses[address.version].append(int(address))
    for each in addresses.values():
        each.sort()

    def may_be(block: IPBlock) -> bool:
        known = addresses[block.cidr.version]
        first, last = bounds(block.cidr)
        inside = bisect_right(known, last) - bisect_left(known, first)
        single = block.cidr.prefixlen == block.cidr.max_prefixlen
        return inside > 0 and (inside < len(known) or bool(block.excepts) or single)

    return may_be


def _told_apart(groups: Groups, block: IPBlock) -> int:
    """The groups of pods inside ``block``, or those outside where these are fewer; none where all pods are
    on one side.
    """
    family = Family(block.cidr.version)
    inside = groups.in_block(block, family) & groups.selectable & ~groups.without_address
    having = sum(
        1 << number
        for number, end in enumerate(groups.representatives)
        if end.selectable and end.address(family) is not None
    )
    outside = having & ~inside
    if not outside and block.cidr.prefixlen < block.cidr.max_prefixlen:
        return 0
    return inside if not outside or inside.bit_count() <= outside.bit_count() else outside
