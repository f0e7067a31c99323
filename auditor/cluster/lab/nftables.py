"""Rulesets for nftables: what a node, or a pod's own stack, does with packets.

One table per network namespace, always replaced as a whole in one transaction. A pod's chains return where a rule lets
a packet through and end it otherwise; pods that the same rules police share a chain. A verdict on a connection is
remembered as a connection mark that holds the generation of the ruleset, so that no connection outlives the rules that
allowed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.dialects import EnforcerBehaviour
from auditor.cluster.lab.policing import Allowance, PortSpan
from auditor.cluster.lab.service_paths import NO_SERVICES, ServicePath
from auditor.cluster.lab.service_rules import POD_LINKS
from auditor.cluster.lab.tiers import Step, Tiers
from auditor.model.admin_policy import Action
from auditor.model.policy import Direction
from auditor.model.ports import LAST_PORT, Protocol
from auditor.model.snapshot import Family

TABLE = "inet audit"
CLEAR = f"table {TABLE}\ndelete table {TABLE}\n"
"""Takes the table away, whether or not there is one."""

Allowances: TypeAlias = Tiers | tuple[Allowance, ...] | None

_ADDRESS_FIELDS = {
    (Family.IPV4, Direction.INGRESS): "ip saddr",
    (Family.IPV4, Direction.EGRESS): "ip daddr",
    (Family.IPV6, Direction.INGRESS): "ip6 saddr",
    (Family.IPV6, Direction.EGRESS): "ip6 daddr",
}
_SHARES = 10_000


@dataclass(frozen=True, slots=True)
class Flakiness:
    """A share (0 to 1) of new connections to drop: by a hash of addresses and ports, so that every try of one
    connection fares alike.

    ``pods`` are all addresses of pods: towards a pod its own node decides, towards anything else the source's node.
    """

    share: float
    seed: int
    pods: AddressSet


@dataclass(slots=True)
class Ruleset:
    """Collects sets and chains by content, each under one name, and renders the table."""

    behaviour: EnforcerBehaviour
    generation: int
    _sets: dict[tuple[Family, tuple[str, ...]], str] = field(default_factory=dict)
    _chains: dict[tuple[str, ...], str] = field(default_factory=dict)

    def chain(self, allowances: Allowances, direction: Direction) -> str | None:
        """The name of the chain that lets ``allowances`` through; None where nothing is filtered."""
        if isinstance(allowances, Tiers):
            return self._tiers(allowances, direction)
        return None if allowances is None else self._closed(allowances, direction, "return")

    def _closed(self, allowances: Iterable[Allowance], direction: Direction, verdict: str) -> str:
        """The chain that ends with ``verdict`` for what is among ``allowances``, and with a denial for all else."""
        lines = [line for each in allowances for line in self._allowance_lines(each, direction, verdict)]
        return self._chain_of([*lines, *self._denial()])

    def _chain_of(self, lines: Iterable[str]) -> str:
        return self._chains.setdefault(tuple(lines), f"police{len(self._chains)}")

    def _tiers(self, tiers: Tiers, direction: Direction) -> str | None:
        """The chains of all tiers, the last one first since those before it go on to it."""
        baseline = self._steps(tiers.baseline, direction, None)
        if tiers.network is None:
            network = baseline
        else:
            on = f"goto {baseline}" if tiers.baseline_always and baseline else "return"
            network = self._closed(tiers.network, direction, on)
        return self._steps(tiers.admin, direction, network)

    def _steps(self, steps: Iterable[Step], direction: Direction, following: str | None) -> str | None:
        """The chain of ``steps``, which goes on to the chain ``following``; that one where there are none."""
        on = f"goto {following}" if following else "return"
        verdicts = {Action.ACCEPT: "return", Action.PASS: on}
        lines: list[str] = []
        for step in steps:
            verdict = verdicts.get(step.action) or f"goto {self._chain_of(self._denial())}"
            lines += self._allowance_lines(step.allowance, direction, verdict)
        return self._chain_of([*lines, on]) if lines else following

    def addresses(self, addresses: AddressSet, family: Family) -> str:
        """``addresses`` as the right-hand side of a match; there must be some of ``family``."""
        texts = addresses.texts(family)
        if len(texts) == 1:
            return texts[0]
        return "@" + self._sets.setdefault((family, texts), f"addresses{len(self._sets)}")

    def render(self, hooks: Iterable[Sequence[str]]) -> str:
        """The transaction that puts this table, with base chains (each its name, then its lines), in place of the last
        one.
        """
        lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
        for (family, elements), name in self._sets.items():
            kind = "ipv4_addr" if family is Family.IPV4 else "ipv6_addr"
            lines += [f"set {name} {{", f"type {kind}; flags interval;", f"elements = {{ {', '.join(elements)} }}", "}"]
        for body, name in self._chains.items():
            lines += [f"chain {name} {{", *body, "}"]
        for name, *rules in hooks:
            lines += [f"chain {name} {{", *rules, "}"]
        return "\n".join([*lines, "}", ""])

    def before(self) -> list[str]:
        """What a base chain lets through before any policy is asked."""
        lines = []
        if not self.behaviour.ipv6:
            lines.append("meta nfproto ipv6 accept")
        if not self.behaviour.udp:
            lines.append("meta l4proto udp accept")
        if self.behaviour.stateful:
            lines.append(f"ct state established,related ct mark {self.generation} accept")
        return lines

    def after(self) -> list[str]:
        """What a base chain does with the packets that every policy let through: a reply proves nothing about its
        connection.
        """
        return [f"ct direction original ct mark set {self.generation}"] if self.behaviour.stateful else []

    def accept(self) -> str:
        """What lets a packet through for good, and what belongs to its connection."""
        return f"ct mark set {self.generation} accept" if self.behaviour.stateful else "accept"

    def _denial(self) -> list[str]:
        if not self.behaviour.rejects:
            return ["counter drop"]
        return ["meta l4proto tcp counter reject with tcp reset", "counter reject with icmpx type admin-prohibited"]

    def _allowance_lines(self, allowance: Allowance, direction: Direction, verdict: str) -> list[str]:
        if allowance.addresses is None:
            sides = [""]
        else:
            sides = [
                f"{_ADDRESS_FIELDS[family, direction]} {self.addresses(allowance.addresses, family)} "
                for family in Family
                if allowance.addresses.spans(family)
            ]
        ports = [""] if allowance.ports is None else _port_matches(allowance.ports)
        return [f"{side}{port}{verdict}" for side in sides for port in ports]


def _port_matches(spans: tuple[PortSpan, ...]) -> list[str]:
    matches = []
    for protocol in Protocol:
        name = protocol.lower()
        ranges = [(first, last) for each, first, last in spans if each is protocol]
        texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
        if ranges == [(0, LAST_PORT)]:
            matches.append(f"meta l4proto {name} ")
        elif len(texts) == 1:
            matches.append(f"{name} dport {texts[0]} ")
        elif texts:
            matches.append(f"{name} dport {{ {', '.join(texts)} }} ")
    return matches


def _jumps(key: str, chains: Mapping[str, str | None]) -> list[str]:
    items = [f'"{interface}" : jump {chain}' for interface, chain in chains.items() if chain is not None]
    return [f"{key} vmap {{ {', '.join(items)} }}"] if items else []


def node_ruleset(
    behaviour: EnforcerBehaviour,
    generation: int,
    pods: Mapping[str, tuple[Allowances, Allowances]],
    flakiness: Flakiness | None = None,
    path: ServicePath = NO_SERVICES,
) -> str:
    """The rules of a node: ``pods`` maps the interface of each pod's link to what the pod may receive and what it may
    send. ``path`` is what it makes of what Services have translated.

    Only forwarded packets pass here, so that a node always reaches its own pods and they reach it (networking/v1
    NetworkPolicySpec).
    """
    rules = Ruleset(behaviour, generation)
    ingress = {interface: rules.chain(received, Direction.INGRESS) for interface, (received, _) in pods.items()}
    egress = {interface: rules.chain(sent, Direction.EGRESS) for interface, (_, sent) in pods.items()}
    sent, received_jumps = _jumps("iifname", egress), _jumps("oifname", ingress)
    forward = [
        *path.exempt(rules.accept()),
        *path.egress(sent),
        *received_jumps,
        *(_flaky(rules, flakiness) if flakiness else ()),
    ]
    hooks = [
        (
            "forward",
            "type filter hook forward priority filter; policy accept;",
            *rules.before(),
            *forward,
            *rules.after(),
        )
    ]
    hooks += path.hooks(rules.before(), {"egress": sent, "ingress": received_jumps})
    if behaviour.own_node:
        hooks.append(
            (
                "input",
                "type filter hook input priority filter; policy accept;",
                *rules.before(),
                *_jumps("iifname", egress),
            )
        )
        # What the node itself sends is judged where it arrives; here it is only marked, so that its replies come in.
        marked = [f'oifname "{POD_LINKS}" {line}' for line in rules.after()]
        hooks.append(("output", "type filter hook output priority filter; policy accept;", *marked))
    return rules.render(hooks)


def pod_ruleset(
    behaviour: EnforcerBehaviour,
    generation: int,
    allowances: tuple[Allowances, Allowances],
    own: AddressSet,
    node: AddressSet,
) -> str:
    """The rules of a pod's own stack, for the packets that never cross its node's forwarding: from itself, and from its
    node.

    All are judged as they come in, since a drop on the way out would fail the sender's call where a denied packet
    should vanish.
    """
    rules = Ruleset(behaviour, generation)
    received, sent = allowances
    chains = {
        Direction.EGRESS: rules.chain(sent, Direction.EGRESS),
        Direction.INGRESS: rules.chain(received, Direction.INGRESS),
    }
    body = rules.before()
    for family, field_name in ((Family.IPV4, "ip saddr"), (Family.IPV6, "ip6 saddr")):
        if behaviour.own_address and own.spans(family):
            body += [
                f'iifname "lo" {field_name} {rules.addresses(own, family)} jump {chain}'
                for chain in chains.values()
                if chain
            ]
        if behaviour.own_node and node.spans(family) and chains[Direction.INGRESS]:
            body.append(f'iifname "eth0" {field_name} {rules.addresses(node, family)} jump {chains[Direction.INGRESS]}')
    marked = [f'oifname "eth0" {line}' for line in rules.after()]
    return rules.render(
        [
            ("input", "type filter hook input priority filter; policy accept;", *body, *rules.after()),
            ("output", "type filter hook output priority filter; policy accept;", *marked),
        ]
    )


def _flaky(rules: Ruleset, flakiness: Flakiness) -> list[str]:
    share = round(flakiness.share * _SHARES)
    if not share:
        return []
    lines = []
    for family, name in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
        fate = (
            f"jhash {name} saddr . {name} daddr . th sport . th dport mod {_SHARES} seed {flakiness.seed:#x} <= "
            f"{share - 1} counter drop"
        )
        lines.append(f'meta l4proto {{ tcp, udp }} ct state new oifname "{POD_LINKS}" {fate}')
        elsewhere = (
            f"{name} daddr != {rules.addresses(flakiness.pods, family)} " if flakiness.pods.spans(family) else ""
        )
        lines.append(f'meta l4proto {{ tcp, udp }} ct state new oifname "uplink" {elsewhere}{fate}')
    return lines
