"""A NetworkPolicy, read strictly: what the API server would refuse or drop is a problem here
(pkg/apis/networking/validation).
"""

from __future__ import annotations

import re
from ipaddress import ip_network

from auditor.model.addresses import IPNetwork
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import FIRST_PORT, LAST_PORT, Protocol
from auditor.parsing.fields import Fields
from auditor.parsing.labels import LONGEST_NAME, LONGEST_PREFIX, PREFIX, read_labels, read_selector
from auditor.parsing.oddities import oddities

API_VERSION = "networking.k8s.io/v1"
TOP_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
METADATA_FIELDS = (
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "managedFields",
    "ownerReferences",
    "selfLink",
)
SPEC_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")
SPEC_HINTS = {
    "from": "from belongs in an item of ingress",
    "to": "to belongs in an item of egress",
    "ports": "ports belongs in an item of ingress or egress",
    "matchLabels": "matchLabels belongs inside podSelector",
    "matchExpressions": "matchExpressions belongs inside podSelector",
}
TOP_HINTS = {
    **{name: f"{name} belongs inside spec" for name in SPEC_FIELDS},
    **{name: f"{name} belongs inside metadata" for name in ("name", "namespace", "labels", "annotations")},
}
PEER_FIELDS = ("podSelector", "namespaceSelector", "ipBlock")
PEER_HINTS = {
    "matchLabels": "matchLabels belongs inside podSelector or namespaceSelector",
    "matchExpressions": "matchExpressions belongs inside podSelector or namespaceSelector",
    "ports": "ports stands beside from or to in a rule, not in a peer",
    "cidr": "cidr belongs inside ipBlock",
    "except": "except belongs inside ipBlock",
}
RULE_HINTS = {
    **dict.fromkeys(
        ("matchLabels", "matchExpressions"), "it belongs inside a podSelector or namespaceSelector of a peer"
    ),
    **dict.fromkeys(("cidr", "except"), "it belongs inside the ipBlock of a peer"),
    **dict.fromkeys(("port", "protocol", "endPort"), "it belongs in an item of ports"),
}
PORT_FIELDS = ("protocol", "port", "endPort")
BLOCK_FIELDS = ("cidr", "except")
SERVICE_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:-?[a-z0-9])*\Z")
PREFIX_LENGTH = re.compile(r"(?:0|[1-9][0-9]{0,2})\Z")
LONGEST_SERVICE_NAME = 15


def read_policy(fields: Fields, namespace: str, name: str) -> NetworkPolicy:
    """The NetworkPolicy that ``fields`` are, called ``namespace``/``name``. Meaningful only if no problem was noted."""
    fields.refuse_unknown(TOP_FIELDS, TOP_HINTS)
    if fields.value.get("status"):
        fields.note("a NetworkPolicy has no status: remove it", "status")
    metadata = fields.section("metadata")
    metadata.refuse_unknown(METADATA_FIELDS, {name: f"{name} belongs inside spec" for name in SPEC_FIELDS})
    read_labels(metadata, "labels")
    _check_names(metadata, namespace, name)
    annotations = metadata.section("annotations")
    for key in annotations.value:
        annotations.text(key)
    if fields.value.get("spec") is None:
        fields.note(
            "a NetworkPolicy needs a spec: without one it would deny all ingress to its namespace; write spec: {} "
            "if you mean that"
        )
    spec = fields.section("spec")
    spec.refuse_unknown(SPEC_FIELDS, SPEC_HINTS)
    selector = spec.map("podSelector")
    ingress, egress = _read_rules(spec, "ingress", "from"), _read_rules(spec, "egress", "to")
    return NetworkPolicy(
        namespace=namespace,
        name=name,
        pod_selector=read_selector(selector) if selector else LabelSelector(),
        directions=_read_directions(spec, has_egress=bool(egress)),
        ingress=ingress,
        egress=egress,
        file=fields.document.source,
        line=fields.line,
        oddities=oddities(spec),
    )


def _check_names(metadata: Fields, namespace: str, name: str) -> None:
    """The name is a DNS subdomain, the namespace a DNS label (apimachinery/pkg/api/validation)."""
    check_name(metadata, name)
    if namespace and (len(namespace) > LONGEST_NAME or "." in namespace or not PREFIX.match(namespace)):
        metadata.note(
            (
                f"{namespace!r} is not a valid namespace name: use at most 63 of a-z, 0-9 and '-', with a letter "
                "or digit at both ends"
            ),
            "namespace",
        )


def check_name(metadata: Fields, name: str) -> None:
    """Note it where ``name`` is not a DNS subdomain, as names of policies have to be."""
    if name and (len(name) > LONGEST_PREFIX or not PREFIX.match(name)):
        metadata.note(
            (
                f"{name!r} is not a valid name: use at most 253 of a-z, 0-9, '-' and '.', with a letter or digit "
                "at both ends"
            ),
            "name",
        )


def _read_directions(spec: Fields, *, has_egress: bool) -> frozenset[Direction]:
    """policyTypes; absent or empty: Ingress always, Egress if there is an egress rule (networking/v1 defaults)."""
    given = spec.texts("policyTypes")
    for number, text in enumerate(given):
        if text not in tuple(Direction):
            meant = f": write {text.capitalize()}" if text.capitalize() in tuple(Direction) else ""
            spec.note(f"must be Ingress or Egress, not {text!r}{meant}", "policyTypes", number)
    if len(given) > len(Direction):
        spec.note("has more than two items: Ingress, Egress or both", "policyTypes")
    if given:
        return frozenset(Direction(text) for text in given if text in tuple(Direction))
    return frozenset({Direction.INGRESS, Direction.EGRESS} if has_egress else {Direction.INGRESS})


def _read_rules(spec: Fields, section: str, side: str) -> tuple[Rule, ...]:
    other = "to" if side == "from" else "from"
    hints = {
        **RULE_HINTS,
        **dict.fromkeys(PEER_FIELDS, f"it belongs in an item of {side}"),
        other: f"an item of {section} has {side}, not {other}",
    }
    rules = []
    for fields in spec.maps(section, null_is_empty=True):
        fields.refuse_unknown((side, "ports"), hints)
        peers = tuple(_read_peer(peer) for peer in fields.maps(side, null_is_empty=True))
        ports = tuple(_read_port(port) for port in fields.maps("ports", null_is_empty=True))
        rules.append(Rule(peers, ports, fields.line))
    return tuple(rules)


def _read_peer(fields: Fields) -> Peer:
    fields.refuse_unknown(PEER_FIELDS, PEER_HINTS)
    given = [name for name in PEER_FIELDS if fields.value.get(name) is not None]
    if not given and not set(fields.value) - set(PEER_FIELDS):
        fields.note("an empty peer matches nothing and is refused: give podSelector, namespaceSelector or ipBlock")
    if "ipBlock" in given and len(given) > 1:
        fields.note(f"ipBlock can't stand beside {given[0]}: make it a peer of its own", "ipBlock")
    pods, namespaces, block = (fields.map(name) for name in PEER_FIELDS)
    return Peer(
        read_selector(pods) if pods else None,
        read_selector(namespaces) if namespaces else None,
        _read_block(block) if block else None,
        fields.line,
    )


def read_network(fields: Fields, text: str, *steps: str | int) -> IPNetwork | None:
    """The network that ``text`` is; None, and noted at ``steps``, where it isn't one."""
    address, slash, prefix = text.partition("/")
    said = ""
    if not slash:
        said = "write an address, a slash and a prefix length, such as 10.0.0.0/8"
    elif not PREFIX_LENGTH.match(prefix):
        said = f"{prefix!r} is not a valid prefix length"
    elif re.search(r"(?:^|[.])0[0-9]", address):
        said = "write its numbers without leading zeros"
    elif "%" in address:
        said = "it can't have a zone"
    if not said:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            said = f"{address!r} is not a valid address, or {prefix} is too long a prefix for it"
        else:
            if network.version == 4 or network.network_address.ipv4_mapped is None:
                return network
            said = "write an IPv4 address as such"
    fields.note(f"{text!r} is not a valid CIDR: {said}", *steps)
    return None


def _read_block(fields: Fields) -> IPBlock | None:
    fields.refuse_unknown(BLOCK_FIELDS)
    text = fields.text("cidr")
    if text is None:
        if fields.value.get("cidr") is None:
            fields.note("ipBlock needs a cidr")
        return None
    cidr = read_network(fields, text, "cidr")
    excepts = []
    for number, excepted_text in enumerate(fields.texts("except")):
        excepted = read_network(fields, excepted_text, "except", number)
        if excepted is None or cidr is None:
            continue
        if excepted.version != cidr.version or not excepted.subnet_of(cidr) or excepted == cidr:  # type: ignore[arg-type]
            fields.note(f"{excepted_text} must be inside the cidr {text}, and smaller than it", "except", number)
        excepts.append(excepted)
    return None if cidr is None else IPBlock(cidr, tuple(excepts))


def _read_port(fields: Fields) -> PolicyPort:
    fields.refuse_unknown(PORT_FIELDS)
    protocol = fields.text("protocol")
    if protocol is None:
        protocol = Protocol.TCP
    elif protocol not in tuple(Protocol):
        fields.note(f"must be TCP, UDP or SCTP, not {protocol!r}", "protocol")
        protocol = Protocol.TCP
    number, name = _read_port_number_or_name(fields)
    end = fields.number("endPort")
    if end is not None:
        if number is None:
            fields.note("endPort needs a numeric port beside it" + (", not a named one" if name else ""), "endPort")
        elif end < number:
            fields.note(f"endPort {end} is below port {number}", "endPort")
        if not FIRST_PORT <= end <= LAST_PORT:
            fields.note(f"{end} is outside {FIRST_PORT}-{LAST_PORT}", "endPort")
    return PolicyPort(Protocol(protocol), number, end, name, fields.line)


def is_port_name(text: str) -> bool:
    """Whether a container can give a port the name ``text`` (ContainerPort.name: an IANA_SVC_NAME)."""
    return len(text) <= LONGEST_SERVICE_NAME and SERVICE_NAME.match(text) is not None


def _read_port_number_or_name(fields: Fields) -> tuple[int | None, str | None]:
    port = fields.value.get("port")
    if port is None:
        return None, None
    if isinstance(port, str):
        if not is_port_name(port):
            quoted = ": remove the quotes of a number" if port.isdigit() else ""
            fields.note(
                f"{port!r} is not a valid port name (at most 15 of a-z, 0-9 and '-', a letter among them){quoted}",
                "port",
            )
        return None, port
    number = fields.number("port")
    if number is not None and not FIRST_PORT <= number <= LAST_PORT:
        fields.note(f"{number} is outside {FIRST_PORT}-{LAST_PORT}", "port")
    return number, None
