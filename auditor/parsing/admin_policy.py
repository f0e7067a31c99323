"""ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy, read strictly: what the API server would
refuse or drop is a problem here (sigs.k8s.io/network-policy-api, the types and their CRDs).

v1beta1 and v1alpha2 of ClusterNetworkPolicy have one schema. The two older kinds (v1alpha1) differ from it in the names
of actions, in how they write ports, and in where tier and priority come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from auditor.model.admin_policy import (
    EVERY_LABEL,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    NAMED_DEFAULT,
    Action,
    AdminPeer,
    AdminPolicy,
    AdminRule,
    AdminTier,
)
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, PolicyPort
from auditor.model.ports import FIRST_PORT, LAST_PORT, Protocol
from auditor.model.words import in_brief
from auditor.parsing.fields import Fields
from auditor.parsing.labels import read_labels, read_selector
from auditor.parsing.network_policy import METADATA_FIELDS, TOP_FIELDS, check_name, read_network

GROUP = "policy.networking.k8s.io"
NO_FIELD = "(none)"
LONGEST_RULE_NAME = 100
MOST_NAMED = 3
MOST_NETWORKS = 25
MOST_IN_NEW, MOST_IN_OLD = 25, 100
DOMAIN_NAME = re.compile(
    r"(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?\Z"
)
POD_PEERS = ("namespaces", "pods")
ADDRESS_PEERS = ("networks", "nodes", "domainNames")
PEER_HINTS = {
    "podSelector": "it belongs inside pods, beside namespaceSelector",
    "namespaceSelector": "it belongs inside pods; pods of whole namespaces are namespaces: {matchLabels: ...}",
    "ipBlock": "write networks: [CIDR]",
    "matchLabels": "it belongs inside namespaces, or a selector inside pods",
}
UNKNOWN_PEER = "unknown field of a peer"
"""How a problem begins that makes a rule fail closed, where the API server has let it pass."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one kind of policy is written: ``actions`` by their words, ``ports`` the field of a rule that has them.

    ``tier`` None: the policy says so itself; ``priority`` None: it must have one.
    """

    versions: tuple[str, ...]
    actions: Mapping[str, Action]
    ports: str
    read_port: Callable[[Fields], list[PolicyPort]]
    most: int
    egress_peers: tuple[str, ...]
    tier: AdminTier | None = None
    priority: int | None = None


def read_admin_policy(fields: Fields, _: str, name: str) -> AdminPolicy:
    """The policy that ``fields`` are, called ``name``. Meaningful only if no problem was noted."""
    kind = str(fields.value["kind"])
    dialect = KINDS[kind]
    version = str(fields.value.get("apiVersion", "")).rpartition("/")[2]
    if version not in dialect.versions:
        fields.note(f"{GROUP} has no {kind} of {version}: write {GROUP}/{dialect.versions[0]}", "apiVersion")
    fields.refuse_unknown(TOP_FIELDS)
    metadata = fields.section("metadata")
    metadata.refuse_unknown(METADATA_FIELDS)
    read_labels(metadata, "labels")
    check_name(metadata, name)
    if metadata.value.get("namespace"):
        metadata.note(f"a {kind} is in no namespace: remove it", "namespace")
    if kind == NAMED_DEFAULT and name not in ("default", ""):
        metadata.note("a BaselineAdminNetworkPolicy must be called default: there is one in a cluster", "name")
    spec = fields.section("spec")
    own = () if dialect.tier else ("tier",)
    spec.refuse_unknown(
        (*own, *(() if dialect.priority is not None else ("priority",)), "subject", "ingress", "egress")
    )
    subject = _read_subject(spec)
    return AdminPolicy(
        kind,
        name,
        dialect.tier or _read_tier(spec),
        _read_priority(spec) if dialect.priority is None else dialect.priority,
        *subject,
        _read_rules(spec, "ingress", "from", dialect, POD_PEERS),
        _read_rules(spec, "egress", "to", dialect, (*POD_PEERS, *dialect.egress_peers)),
        file=fields.document.source,
        line=fields.line,
    )


def _read_tier(spec: Fields) -> AdminTier:
    text = spec.text("tier")
    if text in tuple(AdminTier):
        return AdminTier(text)
    spec.note(f"must be Admin or Baseline, not {text!r}" if text else "needs a tier: Admin or Baseline", "tier")
    return AdminTier.ADMIN


def _read_priority(spec: Fields) -> int:
    number = spec.number("priority")
    if number is None:
        if spec.value.get("priority") is None:
            spec.note(f"needs a priority from {HIGHEST_PRIORITY} to {LOWEST_PRIORITY}", "priority")
        return HIGHEST_PRIORITY
    if not HIGHEST_PRIORITY <= number <= LOWEST_PRIORITY:
        spec.note(f"{number} is outside {HIGHEST_PRIORITY}-{LOWEST_PRIORITY}", "priority")
    return number


def _one_of(fields: Fields, known: Collection[str], what: str) -> str:
    """The one field of ``known`` that ``fields`` has; empty, and noted, where it isn't one."""
    given = [name for name in known if fields.value.get(name) is not None]
    if len(given) == 1:
        return given[0]
    unknown = set(fields.value) - set(known)
    if given or not unknown:
        found = f", not {' and '.join(given)}" if given else ""
        fields.note(f"{what} must have exactly one of {', '.join(known)}{found}")
    return ""


def _read_subject(spec: Fields) -> tuple[LabelSelector, LabelSelector]:
    subject = spec.map("subject")
    if subject is None:
        if spec.value.get("subject") is None:
            spec.note("needs a subject: the pods that the policy is for; every pod is subject: {namespaces: {}}")
        return EVERY_LABEL, EVERY_LABEL
    subject.refuse_unknown(POD_PEERS, PEER_HINTS)
    which = _one_of(subject, POD_PEERS, "a subject")
    return read_pods(subject, which) if which else (EVERY_LABEL, EVERY_LABEL)


def has_one_subject(fields: Fields) -> bool:
    """Whether ``fields`` says which pods are meant in one of the two ways there are, and says nothing else."""
    return len(fields.value) == 1 and not set(fields.value) - set(POD_PEERS)


def read_pods(fields: Fields, which: str) -> tuple[LabelSelector, LabelSelector]:
    """The selectors of namespaces and of pods in the field ``which``, namespaces or pods."""
    chosen = fields.section(which)
    if which == "namespaces":
        return read_selector(chosen), EVERY_LABEL
    chosen.refuse_unknown(("namespaceSelector", "podSelector"))
    for needed in ("namespaceSelector", "podSelector"):
        if chosen.value.get(needed) is None:
            chosen.note(f"needs a {needed}; {{}} is every one")
    return read_selector(chosen.section("namespaceSelector")), read_selector(chosen.section("podSelector"))


def _read_rules(
    spec: Fields, section: str, side: str, dialect: _Dialect, peers: tuple[str, ...]
) -> tuple[AdminRule, ...]:
    if len(spec.items(section)) > dialect.most:
        spec.note(f"has {len(spec.items(section))} rules: at most {dialect.most} can stand in one policy", section)
    other = "to" if side == "from" else "from"
    hints = {
        **dict.fromkeys((*POD_PEERS, *ADDRESS_PEERS), f"it belongs in an item of {side}"),
        other: f"an item of {section} has {side}, not {other}",
    }
    rules = []
    for fields in spec.maps(section):
        fields.refuse_unknown(("name", "action", side, dialect.ports), hints)
        rules.append(_read_rule(fields, side, dialect, peers))
    return tuple(rules)


def _read_rule(fields: Fields, side: str, dialect: _Dialect, known: tuple[str, ...]) -> AdminRule:
    name = fields.text("name") or ""
    if len(name) > LONGEST_RULE_NAME:
        fields.note(f"has {len(name)} characters: at most {LONGEST_RULE_NAME}", "name")
    action = fields.text("action")
    if action not in dialect.actions:
        words = ", ".join(dialect.actions)
        fields.note(f"must be one of {words}, not {action!r}" if action else f"needs an action: {words}", "action")
    if not fields.items(side):
        fields.note(f"needs {side} with at least one peer", *(() if fields.value.get(side) is None else (side,)))
    for key in (side, dialect.ports):
        if len(fields.items(key)) > dialect.most:
            fields.note(f"has {len(fields.items(key))} items: at most {dialect.most}", key)
    if fields.value.get(dialect.ports) == []:
        fields.note("is empty: leave it out for every port", dialect.ports)
    peers = tuple(_read_peer(peer, known) for peer in fields.maps(side))
    ports = tuple(port for item in fields.maps(dialect.ports) for port in dialect.read_port(item))
    taken = dialect.actions.get(action or "", Action.DENY)
    _check_together(fields, taken, peers, ports)
    return AdminRule(taken, peers, ports, name, fields.line)


def _check_together(
    fields: Fields, action: Action, peers: Collection[AdminPeer], ports: Collection[PolicyPort]
) -> None:
    """Names of ports are those of pods, and names of domains are there to accept alone."""
    of_addresses = any(peer.nodes is not None or peer.networks or peer.domain_names for peer in peers)
    if of_addresses and any(port.name for port in ports):
        fields.note("networks, nodes and domainNames have no named ports: give numbers, or make it two rules")
    if action is not Action.ACCEPT and any(peer.domain_names for peer in peers):
        fields.note(f"domainNames can only be accepted, not {action}: deny by networks in a later rule")


def _read_peer(fields: Fields, known: tuple[str, ...]) -> AdminPeer:
    unknown = [key for key in fields.value if key not in known]
    for key in unknown:
        fields.note(f"{UNKNOWN_PEER} {key!r}: {_peer_hint(key, known)}", key)
    which = _one_of(fields, known, "a peer")
    if not which:
        return AdminPeer(unknown=unknown[0] if unknown else NO_FIELD, line=fields.line)
    if which in POD_PEERS:
        return AdminPeer(*read_pods(fields, which), line=fields.line)
    if which == "nodes":
        return AdminPeer(nodes=read_selector(fields.section(which)), line=fields.line)
    if not fields.items(which) or len(fields.items(which)) > MOST_NETWORKS:
        fields.note(f"needs 1 to {MOST_NETWORKS} items", which)
    if which == "networks":
        return AdminPeer(networks=_read_networks(fields), line=fields.line)
    return AdminPeer(domain_names=_read_domain_names(fields), line=fields.line)


def _peer_hint(key: str, known: tuple[str, ...]) -> str:
    if key in ADDRESS_PEERS:
        return "it can only stand in egress" if known == POD_PEERS else "it can't be denied by default"
    return PEER_HINTS.get(key, f"known here: {', '.join(known)}")


def _read_networks(fields: Fields) -> tuple[IPBlock, ...]:
    found = []
    for number, text in enumerate(fields.texts("networks")):
        network = read_network(fields, text, "networks", number)
        if network is None:
            continue
        if ip_address(text.partition("/")[0]) != network.network_address:
            fields.note(f"{text} has host bits set: write {network}", "networks", number)
        found.append(IPBlock(network))
    _refuse_twice(fields, "networks")
    return tuple(found)


def _read_domain_names(fields: Fields) -> tuple[str, ...]:
    texts = fields.texts("domainNames")
    for number, text in enumerate(texts):
        if not DOMAIN_NAME.match(text):
            fields.note(f"{text!r} is not a valid domain name", "domainNames", number)
    _refuse_twice(fields, "domainNames")
    return tuple(texts)


def _refuse_twice(fields: Fields, key: str) -> None:
    texts = fields.texts(key)
    for number, text in enumerate(texts):
        if text in texts[:number]:
            fields.note(f"{text} is there twice", key, number)


def _named(name: str, line: int) -> list[PolicyPort]:
    """A name without a protocol: the ports of any protocol that a pod declares under it."""
    return [PolicyPort(protocol, name=name, line=line) for protocol in Protocol]


def remarks_on(policies: Iterable[AdminPolicy]) -> Iterator[str]:
    """What to say of rules whose peers nobody here can find."""
    for policy in policies:
        for direction in Direction:
            for number, rule in enumerate(policy.rules(direction)):
                names = [name for peer in rule.peers for name in peer.domain_names]
                if names:
                    yield (
                        f"{policy.place(direction, number)}: which addresses domainNames stand for is not known here: "
                        f"taken as matching nothing ({in_brief(names, MOST_NAMED)})"
                    )
                if rule.unknown:
                    closed = "it accepts nothing" if rule.action is Action.ACCEPT else "it denies everything"
                    yield f"{policy.place(direction, number)}: fails closed, its peer has no field known here: {closed}"


def _port_number(fields: Fields, key: str) -> int | None:
    number = fields.number(key)
    if number is None and fields.value.get(key) is None:
        fields.note(f"needs {key}")
    if number is not None and not FIRST_PORT <= number <= LAST_PORT:
        fields.note(f"{number} is outside {FIRST_PORT}-{LAST_PORT}", key)
    return number


def _read_range(fields: Fields, protocol: Protocol) -> list[PolicyPort]:
    start, end = _port_number(fields, "start"), _port_number(fields, "end")
    if start is None or end is None:
        return []
    if start >= end:
        fields.note(f"start {start} must be below end {end}")
    return [PolicyPort(protocol, start, end, line=fields.line)]


def _read_port_of_new(fields: Fields) -> list[PolicyPort]:
    """An item of ``protocols`` of a ClusterNetworkPolicy."""
    known = ("tcp", "udp", "sctp", "destinationNamedPort")
    fields.refuse_unknown(known)
    which = _one_of(fields, known, "an item of protocols")
    if not which:
        return []
    if which == "destinationNamedPort":
        name = fields.text(which)
        return _named(name, fields.line) if name else []
    protocol, inside = Protocol(which.upper()), fields.section(which)
    inside.refuse_unknown(("destinationPort",))
    port = inside.map("destinationPort")
    if port is None:
        if inside.value.get("destinationPort") is None:
            inside.note(
                "needs a destinationPort; ports 1 to 65535 are destinationPort: {range: {start: 1, end: 65535}}"
            )
        return []
    port.refuse_unknown(("number", "range"))
    form = _one_of(port, ("number", "range"), "destinationPort")
    if form == "range":
        return _read_range(port.section("range"), protocol)
    number = _port_number(port, "number") if form else None
    return [PolicyPort(protocol, number, line=fields.line)] if number is not None else []


def _protocol(fields: Fields) -> Protocol:
    text = fields.text("protocol")
    if text in tuple(Protocol):
        return Protocol(text)
    if text is not None:
        fields.note(f"must be TCP, UDP or SCTP, not {text!r}", "protocol")
    return Protocol.TCP


def _read_port_of_old(fields: Fields) -> list[PolicyPort]:
    """An item of ``ports`` of an AdminNetworkPolicy."""
    known = ("portNumber", "portRange", "namedPort")
    fields.refuse_unknown(known)
    which = _one_of(fields, known, "an item of ports")
    if which == "namedPort":
        name = fields.text(which)
        return _named(name, fields.line) if name else []
    if not which:
        return []
    inside = fields.section(which)
    inside.refuse_unknown(("protocol", "port") if which == "portNumber" else ("protocol", "start", "end"))
    protocol = _protocol(inside)
    if which == "portRange":
        return _read_range(inside, protocol)
    number = _port_number(inside, "port")
    return [PolicyPort(protocol, number, line=fields.line)] if number is not None else []


_OLD_ACTIONS = {"Allow": Action.ACCEPT, "Deny": Action.DENY}
KINDS: Mapping[str, _Dialect] = {
    "ClusterNetworkPolicy": _Dialect(
        ("v1beta1", "v1alpha2"),
        {str(action): action for action in Action},
        "protocols",
        _read_port_of_new,
        MOST_IN_NEW,
        ADDRESS_PEERS,
    ),
    "AdminNetworkPolicy": _Dialect(
        ("v1alpha1",),
        {**_OLD_ACTIONS, "Pass": Action.PASS},
        "ports",
        _read_port_of_old,
        MOST_IN_OLD,
        ADDRESS_PEERS,
        AdminTier.ADMIN,
    ),
    "BaselineAdminNetworkPolicy": _Dialect(
        ("v1alpha1",),
        _OLD_ACTIONS,
        "ports",
        _read_port_of_old,
        MOST_IN_OLD,
        ("networks", "nodes"),
        AdminTier.BASELINE,
        HIGHEST_PRIORITY,
    ),
}
"""The kinds of ``GROUP`` that are read, by name."""
