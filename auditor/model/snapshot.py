"""A cluster at one moment: who is there, and which policies are in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.admin_policy import AdminPolicy
from auditor.model.entries import NO_ENTRIES, Entries
from auditor.model.errors import Problem
from auditor.model.labels import NAMESPACE_NAME_LABEL, Labels
from auditor.model.policy import IPBlock, NetworkPolicy, UnknownPolicy
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.skipped import LeftOut, Skipped


class Family(IntEnum):
    """An address family, valued as ``IPv4Address.version``."""

    __hash__ = int.__hash__  # a key of large tables, and Enum's own is ten times as slow

    IPV4 = 4
    IPV6 = 6

    def __str__(self) -> str:
        return f"IPv{self.value}"


class EndpointKind(StrEnum):
    """What sends or receives: a pod, a host outside the cluster, or a node of the cluster."""

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

    POD = "pod"
    HOST = "host"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that sends or receives.

    ``name`` is unique in a snapshot: ``NAMESPACE/POD``, ``host/NAME`` or ``node/NAME``. ``addresses`` holds at most one
    address per family, the primary first; it is empty where a manifest gives none. ``node`` is the bare name of the
    node that a pod runs on, if known, and a node's own bare name. ``workload`` names a pod's controller as
    ``Kind/name``, if it has one; a probe pod ``stands_for`` the workloads ``NAMESPACE/NAME``. ``unknown_labels`` are
    keys of labels that it has or may have, with values that nobody can know. A peer outside, a host, stands for all
    addresses of ``ranges`` and has one of each family as an example.
    """

    name: str
    kind: EndpointKind
    namespace: str = ""
    labels: Labels = field(default_factory=dict, hash=False)
    addresses: tuple[IPAddress, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    node: str = ""
    host_network: bool = False
    workload: str = ""
    stands_for: tuple[str, ...] = ()
    unknown_labels: frozenset[str] = frozenset()
    ranges: tuple[IPBlock, ...] = ()

    @property
    def selectable(self) -> bool:
        """Whether selectors of a NetworkPolicy can match it: a pod on the pod network."""
        return self.kind is EndpointKind.POD and not self.host_network

    def is_selected_by(self, policy: NetworkPolicy) -> bool:
        """Whether ``policy`` holds for it (v1 NetworkPolicySpec.podSelector)."""
        return self.selectable and self.namespace == policy.namespace and policy.pod_selector.matches(self.labels)

    @property
    def families(self) -> tuple[Family, ...]:
        """The address families that it has, the primary first."""
        return tuple(Family(address.version) for address in self.addresses)

    def address(self, family: Family) -> IPAddress | None:
        """Its address of ``family``, or None."""
        return next((address for address in self.addresses if address.version == family), None)

    def resolve(self, protocol: Protocol, name: str) -> tuple[int, ...]:
        """The numbers of the ports that it declares as ``name`` for ``protocol``, ascending; empty when
        there is none.
        """
        return tuple(sorted({port.number for port in self.ports if port.name == name and port.protocol is protocol}))


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and its labels, ``kubernetes.io/metadata.name`` always among them. Not ``known``: it may have others,
    too, since the input does not have the namespace itself.
    """

    name: str
    labels: Labels
    known: bool = True

    @classmethod
    def of(cls, name: str, labels: Labels | None = None, *, known: bool = True) -> Namespace:
        """A namespace as the API server would store it: with the label that carries its name."""
        return cls(name, {**(labels or {}), NAMESPACE_NAME_LABEL: name}, known)

    @property
    def own_labels(self) -> Labels:
        """Its labels without the one that carries its name, which nobody can give it."""
        return {key: value for key, value in self.labels.items() if key != NAMESPACE_NAME_LABEL}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service: ``target`` is a number, or the name of a container port. ``node_port`` is the port of
    every node that leads to it; 0 for none that is known.
    """

    protocol: Protocol
    number: int
    target: int | str
    name: str = ""
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """Where an EndpointSlice sends a Service: to ``address``, on ``number`` for the Service's port called ``name``
    (None: for all of its ports, on any). ``pod`` is ``NAMESPACE/NAME`` where the slice says which pod it is.
    """

    address: IPAddress
    protocol: Protocol = Protocol.TCP
    number: int | None = None
    name: str = ""
    pod: str = ""


HOST_PORT = "hostPort"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. ``selector`` None means that its endpoints are managed by hand: then ``endpoints`` are those that the
    input has. ``cluster_ips`` is empty for a ``headless`` one, which nobody proxies.

    ``outside_ips`` are addresses by which it is reached from outside: of its load balancer, and its externalIPs.
    ``external_local`` and ``internal_local``: traffic from outside, or from inside, the cluster only goes to backends
    on the node where it arrives; from outside it then keeps its source. ``source_ranges`` are those that its load
    balancer lets in; none: all.
    """

    namespace: str
    name: str
    selector: Labels | None
    ports: tuple[ServicePort, ...]
    cluster_ips: tuple[IPAddress, ...] = ()
    publish_not_ready: bool = False
    kind: str = "ClusterIP"
    headless: bool = False
    outside_ips: tuple[IPAddress, ...] = ()
    external_local: bool = False
    internal_local: bool = False
    source_ranges: tuple[IPNetwork, ...] = ()
    endpoints: tuple[ServiceEndpoint, ...] = ()

    @property
    def place(self) -> str:
        """``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}"

    @property
    def full_name(self) -> str:
        if self.is_host_port:
            return f"hostPort {self.ports[0].number} of {self.place}"
        return f"service/{self.place}"

    @property
    def is_host_port(self) -> bool:
        """Whether it stands for a hostPort: a way to a single pod, by its node, that no Service object makes."""
        return self.kind == HOST_PORT


@dataclass(frozen=True, slots=True)
class ApiServerCall:
    """What the API server sends requests to, because ``caller`` says so (``ValidatingWebhookConfiguration NAME``): a
    port of the Service ``namespace``/``name``.
    """

    caller: str
    namespace: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the evaluator needs to know of a cluster.

    ``namespaces`` has an entry for every namespace that an endpoint or policy stands in. ``unknown`` are policies in
    force that nobody can read: what they touch has no certain verdict. ``ignored`` counts the objects that were read
    and play no part, by kind, with the reason in brackets where it is not the kind itself: ``{"ConfigMap": 3, "Pod
    (finished)": 1}``.

    Files may hold more than a cluster would: ``skipped`` is what is not an object; ``problems`` are those of objects
    that are left out because of them; ``variants`` the first of policies that are there twice, and differently (they
    are among ``unknown``); ``remarks`` say in words what else of the input does not count. ``absent`` says of names
    that somebody may ask for, and that are neither endpoint nor Service, what they are: ``is a pod that has finished``.
    ``api_server_calls`` are those of files; of a live cluster they are not read. ``admin_policies`` are those of the
    tiers around NetworkPolicy, in no order. ``entries`` lead in from outside; of a live cluster they are not read.
    """

    namespaces: Mapping[str, Namespace]
    endpoints: tuple[Endpoint, ...]
    policies: tuple[NetworkPolicy, ...] = ()
    services: tuple[Service, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[UnknownPolicy, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    problems: tuple[Problem, ...] = ()
    variants: tuple[NetworkPolicy, ...] = ()
    remarks: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    api_server_calls: tuple[ApiServerCall, ...] = ()
    admin_policies: tuple[AdminPolicy, ...] = ()
    entries: Entries = NO_ENTRIES

    @property
    def left_out(self) -> LeftOut:
        """What of the input plays no part."""
        return LeftOut(self.ignored, self.skipped, self.problems)

    @property
    def number_of_policies(self) -> int:
        """How many are in force and can be read: those of namespaces, and administrators'."""
        return len(self.policies) + len(self.admin_policies)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint called ``name``; KeyError when there is none."""
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        raise KeyError(name)

    @property
    def node_addresses(self) -> frozenset[IPAddress]:
        """The addresses of nodes, as far as nodes and the pods in their networks show."""
        own = (endpoint for endpoint in self.endpoints if endpoint.kind is EndpointKind.NODE or endpoint.host_network)
        return frozenset(address for endpoint in own for address in endpoint.addresses)
