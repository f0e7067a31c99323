"""The lab's rules on the nodes of a real cluster: the same compiler, with pods told apart by address and not by the
link they hang on.

A CNI may route each pod or put them on a bridge; a packet's addresses are the same either way. As in the lab only
forwarded packets are filtered on the node, so that a node always reaches its own pods; a Service's address has been
translated by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.dialects import BEHAVIOURS, EnforcerBehaviour
from auditor.cluster.lab.nftables import CLEAR, Allowances, Ruleset, pod_ruleset
from auditor.cluster.lab.policing import Policing
from auditor.cluster.lab.service_paths import ServicePath
from auditor.cluster.lab.tiers import policed
from auditor.model.dialect import Enforcer
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot

SHARES = 10_000
BASE = "type filter hook {0} priority filter; policy accept;"


@dataclass(frozen=True, slots=True)
class NodeRules:
    """What to put in force on one node: in its own network namespace and, by endpoint name, in those of its pods."""

    node: str = CLEAR
    pods: Mapping[str, str] = field(default_factory=dict)


def compile_node(
    snapshot: Snapshot,
    policies: Sequence[NetworkPolicy],
    enforcer: Enforcer,
    node: str,
    generation: int,
    ranges: Sequence[str] = (),
) -> NodeRules:
    """The rules of ``node`` for ``policies`` and the administrators' of ``snapshot``, as ``enforcer`` understands them.
    ``slow`` and ``stale`` are up to the caller. Whoever has an address in ``ranges``, those of the node's pods, and
    isn't known yet, is shut: a pod is isolated before it starts.
    """
    behaviour = BEHAVIOURS[enforcer.dialect]
    if not behaviour.filters:
        return NodeRules()
    cluster = AddressSet.of(address for endpoint in snapshot.endpoints for address in endpoint.addresses)
    policing = Policing(snapshot, policies, behaviour, cluster)
    residents = [pod for pod in snapshot.endpoints if pod.selectable and pod.node == node]
    sides = {
        pod: (policed(policing, snapshot, pod, Direction.INGRESS), policed(policing, snapshot, pod, Direction.EGRESS))
        for pod in residents
        if pod.addresses
    }
    own = AddressSet.of(
        a for e in snapshot.endpoints if e.kind is EndpointKind.NODE and e.node == node for a in e.addresses
    )
    filtered = {pod: both for pod, both in sides.items() if both != (None, None)}
    inside = filtered if behaviour.own_address or behaviour.own_node else {}
    return NodeRules(
        _node_ruleset(
            behaviour,
            generation,
            filtered,
            _flaky(enforcer, snapshot, policies),
            ServicePath(tuple(address for pod in filtered for address in pod.addresses)),
            _strangers(ranges, cluster),
        ),
        {
            pod.name: pod_ruleset(behaviour, generation, both, AddressSet.of(pod.addresses), own)
            for pod, both in inside.items()
        },
    )


def _node_ruleset(
    behaviour: EnforcerBehaviour,
    generation: int,
    pods: Mapping[Endpoint, tuple[Allowances, Allowances]],
    flaky: Sequence[str],
    path: ServicePath,
    strangers: Sequence[str],
) -> str:
    rules = Ruleset(behaviour, generation)
    egress = _jumps("saddr", {pod: rules.chain(sent, Direction.EGRESS) for pod, (_, sent) in pods.items()})
    ingress = _jumps("daddr", {pod: rules.chain(received, Direction.INGRESS) for pod, (received, _) in pods.items()})
    # A pod may always reach itself, by way of a Service, too.
    exempt = path.exempt(rules.accept())
    hooks = [
        (
            "forward",
            BASE.format("forward"),
            *rules.before(),
            *exempt,
            *strangers,
            *egress,
            *ingress,
            *flaky,
            *rules.after(),
        )
    ]
    if behaviour.own_node:
        hooks.append(("input", BASE.format("input"), *rules.before(), *egress))
        # What the node itself sends is judged where it arrives; here it is only marked, so that its replies come in.
        hooks.append(("output", BASE.format("output"), *rules.after()))
    return rules.render(hooks)


def _strangers(ranges: Sequence[str], known: AddressSet) -> list[str]:
    """Drops what is from or for an address in ``ranges`` that nobody is known to have."""
    lines = []
    for text in ranges:
        family = Family(ip_network(text).version)
        name = "ip" if family is Family.IPV4 else "ip6"
        others = f"{name} {{side}} != {{{{ {', '.join(known.texts(family))} }}}} " if known.spans(family) else ""
        line = f"{name} {{side}} {text} {others}counter drop"
        lines += [line.format(side=side) for side in ("saddr", "daddr")]
    return lines


def _jumps(side: str, chains: Mapping[Endpoint, str | None]) -> list[str]:
    lines = []
    for family, name in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
        items = [
            f"{pod.address(family)} : jump {chain}" for pod, chain in chains.items() if chain and pod.address(family)
        ]
        lines += [f"{name} {side} vmap {{ {', '.join(items)} }}"] if items else []
    return lines


def _flaky(enforcer: Enforcer, snapshot: Snapshot, policies: Sequence[NetworkPolicy]) -> list[str]:
    """Drops the share of new connections to pods of the policies' namespaces, by a hash, so that all packets of one
    fare alike.
    """
    if not BEHAVIOURS[enforcer.dialect].flaky or not enforcer.value:
        return []
    concerned = {policy.namespace for policy in policies}
    found = [pod for pod in snapshot.endpoints if pod.selectable and pod.namespace in concerned]
    pods = AddressSet.of(address for pod in found for address in pod.addresses).texts(Family.IPV4)
    fate = (
        f"jhash ip saddr . ip daddr . th sport . th dport mod {SHARES} seed 0x5eed <= "
        f"{round(enforcer.value * SHARES) - 1} counter drop"
    )
    return [f"meta l4proto {{ tcp, udp }} ct state new ip daddr {{ {', '.join(pods)} }} {fate}"] if pods else []
