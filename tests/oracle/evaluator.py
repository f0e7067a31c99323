"""What should become of one cell, according to the specification or to any dialect of ``auditor.model.dialect``.

This judges the real evaluator and the lab, so it shares nothing with either but the value types, caches nothing and
asks every policy anew for every cell. The model: a pod's egress is filtered on the source pod's node and ingress on the
destination pod's node, each by that node's enforcer; both must let the packet pass. Traffic of a pod with itself or
with its own node meets no filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from auditor.model.admin_policy import Action, AdminPolicy, AdminTier
from auditor.model.dialect import Dialect, Enforcement, Enforcer
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Verdict
from tests.oracle.admin import answer, in_order, possible_orders
from tests.oracle.matching import EnforcerBehaviour, Packet, policy_isolates, policy_selects, rule_matches

EPHEMERAL_PORTS = (32768, 50000, 60999)
"""Client ports to judge replies on: both ends and the middle of Linux's net.ipv4.ip_local_port_range."""


class AmbiguousPrediction(Exception):  # noqa: N818 - says that the question has no answer, not that something failed
    """A stateless enforcer's verdict depends on which ephemeral port the client happens to get."""


@dataclass(frozen=True)
class World:
    """All that a verdict depends on but the cell. ``orders`` are those of the policies of each tier, where it isn't the
    usual one.
    """

    snapshot: Snapshot
    enforcement: Enforcement
    previous_policies: Sequence[NetworkPolicy] | None
    ip_block_matches_cluster: bool
    orders: Mapping[AdminTier, Sequence[AdminPolicy]] | None = None

    def dialect_of(self, pod: Endpoint) -> Dialect:
        """The dialect on the pod's node."""
        return self.enforcement.at(pod.node).dialect

    def policies_known_to(self, dialect: Dialect) -> Sequence[NetworkPolicy]:
        """The policies that an enforcer of ``dialect`` has in force."""
        if dialect is Dialect.STALE and self.previous_policies is not None:
            return self.previous_policies
        return self.snapshot.policies

    def answer(self, tier: AdminTier, direction: Direction, packet: Packet, dialect: Dialect) -> Action | None:
        """What the policies of ``tier`` do with ``packet``."""
        policies = in_order(self.snapshot.admin_policies, tier, dialect) if self.orders is None else self.orders[tier]
        return answer(policies, direction, packet, self.snapshot, dialect)


def verdict(
    snapshot: Snapshot,
    source: Endpoint,
    destination: Endpoint,
    protocol: Protocol,
    port: int,
    family: Family,
    *,
    enforcement: Enforcement = Enforcement(),  # noqa: B008 - immutable
    previous_policies: Sequence[NetworkPolicy] | None = None,
    ip_block_matches_cluster: bool = True,
) -> Verdict | None:
    """The verdict on a new connection; None when neither end is a pod, where no policy has a say.

    A UDP datagram that ought not to arrive and does has got through, whether or not its reply comes back.
    ``slow`` counts as converged and ``flaky`` as never dropping: see ``before_convergence`` and ``may_flake``.
    Raises AmbiguousPrediction when a stateless enforcer decides by the client's port.
    """
    if EndpointKind.POD not in (source.kind, destination.kind):
        return None
    world = World(snapshot, enforcement, previous_policies, ip_block_matches_cluster)
    packet = Packet(source, destination, protocol, port, family)
    allowed = passes(packet, world) and (
        is_tracked(packet, world)
        or is_forbidden_datagram(packet, replace(world, enforcement=Enforcement()))
        or reply_passes(packet, world)
    )
    return Verdict.ALLOWED if allowed else Verdict.DENIED


def is_undefined(
    snapshot: Snapshot, source: Endpoint, destination: Endpoint, protocol: Protocol, port: int, family: Family
) -> bool:
    """Whether the verdict hangs on which of several policies with one priority comes first, by trying every order at
    each end.
    """
    packet = Packet(source, destination, protocol, port, family)
    orders = [possible_orders(snapshot.admin_policies, tier) for tier in AdminTier]
    worlds = [
        World(snapshot, Enforcement(), None, True, dict(zip(AdminTier, each, strict=True))) for each in product(*orders)
    ]
    out = {egress_passes(packet, world) for world in worlds}
    into = {ingress_passes(packet, world) for world in worlds}
    return len({one and other for one in out for other in into}) > 1


def is_forbidden_datagram(packet: Packet, specified: World) -> bool:
    """Whether it is UDP that ought not to arrive, according to the specification."""
    return packet.protocol is Protocol.UDP and not passes(packet, specified)


def before_convergence(enforcement: Enforcement) -> Enforcement:
    """The enforcement in the first seconds after a change, while ``slow`` enforcers filter nothing yet."""

    def early(enforcer: Enforcer) -> Enforcer:
        return Enforcer(Dialect.ENFORCES_NOTHING) if enforcer.dialect is Dialect.SLOW else enforcer

    return Enforcement(
        early(enforcement.everywhere),
        {node: early(enforcer) for node, enforcer in enforcement.on_node.items()},
        enforcement.on_pod,
    )


def may_flake(source: Endpoint, destination: Endpoint, enforcement: Enforcement) -> bool:
    """Whether a connection that is allowed between the two crosses the filter of a ``flaky`` node."""
    return any(
        enforcement.at(pod.node).dialect is Dialect.FLAKY and crosses_filter(pod, other)
        for pod, other in ((source, destination), (destination, source))
    )


def crosses_filter(pod: Endpoint, other: Endpoint) -> bool:
    """Whether traffic between ``pod`` and ``other`` is forwarded by the pod's node, which is where it is filtered."""
    return pod.selectable and pod.name != other.name and not is_own_node(pod, other)


def is_own_node(pod: Endpoint, other: Endpoint) -> bool:
    """Whether ``other`` has the address of the node that ``pod`` runs on: the node itself or a pod on the host's
    network.
    """
    at_node_address = other.kind is EndpointKind.NODE or other.host_network
    return at_node_address and pod.node != "" and pod.node == other.node


def passes(packet: Packet, world: World) -> bool:
    """Whether both filters let ``packet`` pass: the source's egress and the destination's ingress."""
    return egress_passes(packet, world) and ingress_passes(packet, world)


def egress_passes(packet: Packet, world: World) -> bool:
    return filter_passes(packet.source, packet.destination, Direction.EGRESS, packet, world)


def ingress_passes(packet: Packet, world: World) -> bool:
    return filter_passes(packet.destination, packet.source, Direction.INGRESS, packet, world)


def is_tracked(packet: Packet, world: World) -> bool:
    """Whether connection tracking brings the reply back, as it does on all nodes that are not stateless."""
    return Dialect.STATELESS not in (world.dialect_of(packet.source), world.dialect_of(packet.destination))


def reply_passes(packet: Packet, world: World) -> bool:
    """Whether the reply comes back past the nodes that are stateless."""
    answers = set()
    for client_port in EPHEMERAL_PORTS:
        reply = packet.reply(client_port)
        stateless_egress = world.dialect_of(reply.source) is Dialect.STATELESS
        stateless_ingress = world.dialect_of(reply.destination) is Dialect.STATELESS
        out = not stateless_egress or egress_passes(reply, world)
        back = not stateless_ingress or ingress_passes(reply, world)
        answers.add(out and back)
    if len(answers) > 1:
        raise AmbiguousPrediction(
            f"the reply to {packet.source.name} from {packet.destination.name} depends on the client's port"
        )
    return answers.pop()


def filter_passes(pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet, world: World) -> bool:
    """Whether the filter of ``pod`` in ``direction``, run by the pod's node, lets ``packet`` from or to
    ``other`` pass.
    """
    if not pod.selectable:
        return True
    dialect = world.dialect_of(pod)
    about = world.enforcement.on_pod.get(pod.name)
    if pod.name == other.name:
        if dialect is not Dialect.BLOCKS_SELF:
            return True
    elif is_own_node(pod, other) and dialect is not Dialect.BLOCKS_OWN_NODE:
        return True
    if Dialect.SHUTS_PODS in (dialect, about):
        return False
    if about is Dialect.ENFORCES_NOTHING or ignores(dialect, direction, packet):
        return True
    return tiers_pass(pod, other, direction, packet, world)


def tiers_pass(pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet, world: World) -> bool:
    """Whether the tiers let ``packet`` pass, asked in their order: Admin, NetworkPolicy, Baseline."""
    dialect = world.dialect_of(pod)
    admin, baseline = (
        None if ignores_tier(dialect, tier) else world.answer(tier, direction, packet, dialect) for tier in AdminTier
    )
    isolated = bool(isolating_policies(pod, direction, dialect, world))
    allowed = network_policies_pass(pod, other, direction, packet, world)
    if dialect is Dialect.NETWORK_POLICY_FIRST and isolated:
        return allowed
    if admin in (Action.ACCEPT, Action.DENY):
        return admin is Action.ACCEPT
    if isolated and not (dialect is Dialect.BASELINE_ALWAYS and allowed):
        return allowed
    return baseline is not Action.DENY


def ignores_tier(dialect: Dialect, tier: AdminTier) -> bool:
    """Whether an enforcer of ``dialect`` has no policies of ``tier`` in force."""
    return dialect is (Dialect.IGNORES_ADMIN if tier is AdminTier.ADMIN else Dialect.IGNORES_BASELINE)


def network_policies_pass(pod: Endpoint, other: Endpoint, direction: Direction, packet: Packet, world: World) -> bool:
    """Whether NetworkPolicies alone let ``packet`` pass."""
    dialect = world.dialect_of(pod)
    policies = isolating_policies(pod, direction, dialect, world)
    if not policies:
        return True
    behaviour = EnforcerBehaviour(world.snapshot, dialect, world.ip_block_matches_cluster)
    if world.enforcement.on_pod.get(other.name) is Dialect.KNOWS_NO_PODS:
        behaviour = replace(behaviour, other_is_known=False)
    for policy in policies:
        for rule in policy.ingress if direction is Direction.INGRESS else policy.egress:
            if rule_matches(rule, policy, direction, packet, behaviour):
                return True
        if dialect is Dialect.SHARES_DIRECTIONS and allows_as_peer(policy, pod, other, direction, packet, behaviour):
            return True
    return False


def allows_as_peer(
    policy: NetworkPolicy,
    pod: Endpoint,
    other: Endpoint,
    direction: Direction,
    packet: Packet,
    behaviour: EnforcerBehaviour,
) -> bool:
    """Whether rules of the other direction than the filter's let ``pod`` and ``other`` meet, both of which a policy
    with both directions selects.
    """
    if len(policy.directions) < len(Direction):
        return False
    if not (policy_selects(policy, pod, behaviour.dialect) and policy_selects(policy, other, behaviour.dialect)):
        return False
    opposite = Direction.INGRESS if direction is Direction.EGRESS else Direction.EGRESS
    rules = policy.ingress if opposite is Direction.INGRESS else policy.egress
    return any(rule_matches(rule, policy, opposite, packet, behaviour) for rule in rules)


def ignores(dialect: Dialect, direction: Direction, packet: Packet) -> bool:
    """Whether an enforcer of ``dialect`` lets the packet pass without reading any policy."""
    return (
        dialect is Dialect.ENFORCES_NOTHING
        or (dialect is Dialect.IGNORES_EGRESS and direction is Direction.EGRESS)
        or (dialect is Dialect.IGNORES_INGRESS and direction is Direction.INGRESS)
        or (dialect is Dialect.IGNORES_UDP and packet.protocol is Protocol.UDP)
        or (dialect is Dialect.IGNORES_IPV6 and packet.family is Family.IPV6)
    )


def isolating_policies(pod: Endpoint, direction: Direction, dialect: Dialect, world: World) -> list[NetworkPolicy]:
    """The policies that isolate ``pod`` in ``direction`` as far as an enforcer of ``dialect`` knows, by name."""
    policies = [
        policy for policy in world.policies_known_to(dialect) if policy_isolates(policy, pod, direction, dialect)
    ]
    policies.sort(key=lambda policy: policy.name)
    return policies[:1] if dialect is Dialect.FIRST_POLICY_ONLY else policies
