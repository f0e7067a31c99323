"""Checks of Services: that their pods admit anybody at all, and the API server where it is the one that calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from auditor.lint.finding import Check, Remark, policy_place
from auditor.lint.implication import may_match
from auditor.lint.listing import listed
from auditor.lint.offers import ServiceOffer
from auditor.lint.policy_index import DEFAULT, SYSTEM, IndexedRule, PolicyIndex
from auditor.model.addresses import IPNetwork
from auditor.model.labels import LabelSelector
from auditor.model.lint import Place, Severity
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, Service
from auditor.model.workloads import workload_name
from auditor.policy.bits import union
from auditor.policy.selection import is_backend

API_SERVER = "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"
BLOCKS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-ipblock-selectors"
DEFAULT_DENY = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies"


def closed_services(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Services all of whose pods are isolated and admit nobody on the ports that it sends to."""
    if policy_index.lacks_policies:
        return
    rules: dict[str, list[IndexedRule]] = defaultdict(list)
    for indexed in policy_index.rules:
        if indexed.direction is Direction.INGRESS:
            rules[indexed.policy.namespace].append(indexed)
    called = {(call.namespace, call.name) for call in policy_index.snapshot.api_server_calls}
    for offers in policy_index.offers.by_service_name():
        service, pods = offers[0].service, 0
        if (service.namespace, service.name) in called:
            continue  # another check's finding
        if service.namespace == DEFAULT and not policy_index.is_placed(DEFAULT):
            continue  # files that name no namespace need not be for the same one
        for offer in offers:
            pods |= offer.pods
        known = any(_names_port_of(rule, offers, pods) for rule in rules[service.namespace])
        if (
            _are_isolated(policy_index, pods)
            and not known
            and not any(_admits(policy_index, rule, offers) for rule in rules[service.namespace])
        ):
            ports = _ports(offers)
            message = (
                f"Service {service.namespace}/{service.name} leads to {_backends(policy_index, service, pods)} on "
                f"{ports}, where no rule admits anybody"
            )
            hint = f"ingress:\n- from: [...]  # who uses it\n  ports: [...]  # {ports}"
            place = _isolating(policy_index, pods)
            yield Remark(place, message, hint, str(LabelSelector(tuple(sorted((service.selector or {}).items())))))


def closed_to_outside(policy_index: PolicyIndex) -> Iterator[Remark]:
    """LoadBalancer Services whose pods admit others, and no address outside that the load balancer lets in."""
    if policy_index.lacks_policies:
        return
    for offers in policy_index.offers.by_service_name():
        service, pods = offers[0].service, union(offer.pods for offer in offers)
        if service.kind != "LoadBalancer" or not policy_index.is_placed(service.namespace):
            continue
        opening = _opening(policy_index, offers)
        if _are_isolated(policy_index, pods) and opening and not _let_in(policy_index, service, opening):
            whence = f" from {listed([*map(str, service.source_ranges)])}" if service.source_ranges else ""
            message = (
                f"Service {service.namespace}/{service.name} is a LoadBalancer, and no rule for the pods behind it "
                f"({_backends(policy_index, service, pods)}) admits an address outside{whence} on {_ports(offers)}"
            )
            hint = (
                f"ingress:\n- from: [{{ipBlock: ...}}]  # who uses it from outside\n  ports: [...]  # {_ports(offers)}"
            )
            yield Remark(_isolating(policy_index, pods), message, hint)


def _let_in(policy_index: PolicyIndex, service: Service, opening: Sequence[IndexedRule]) -> bool:
    """Whether any of the rules ``opening`` may let in what comes through the load balancer of ``service``: addresses
    outside or, unless externalTrafficPolicy is Local, of nodes, or pods of kube-system that carry it on.
    """
    if any(_may_be_api_server(policy_index, rule, blocks=not service.external_local) for rule in opening):
        return True
    blocks = [peer.ip_block for rule in opening for peer in rule.rule.peers if peer.ip_block is not None]
    return any(
        address in block
        for peer in (policy_index.outside if blocks else ())
        if _may_come_from(peer, service.source_ranges)
        for address in peer.addresses
        for block in blocks
    )


def _may_come_from(peer: Endpoint, ranges: Sequence[IPNetwork]) -> bool:
    """Whether some address of a peer outside may be in ``ranges``; none: any is."""
    return not ranges or any(
        block.cidr.version == network.version and block.cidr.overlaps(network)
        for block in peer.ranges
        for network in ranges
    )


def closed_to_api_server(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Services that the API server calls, and whose pods admit none of those as whom it may come: it is no pod, so only
    a rule for everybody or for addresses lets it in; a selector may where it reaches kube-system.
    """
    if policy_index.lacks_policies:
        return
    by_name = {
        (each[0].service.namespace, each[0].service.name): each for each in policy_index.offers.by_service_name()
    }
    callers: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for call in policy_index.snapshot.api_server_calls:
        callers[call.namespace, call.name, call.port].append(call.caller)
    for (namespace, name, port), asking in callers.items():
        offers = [each for each in by_name.get((namespace, name), ()) if each.port.number == port]
        pods = union(offer.pods for offer in offers)
        if not _are_isolated(policy_index, pods):
            continue
        opening = _opening(policy_index, offers)
        if not any(_may_be_api_server(policy_index, rule) for rule in opening):
            ports = _ports(offers)
            message = (
                f"the API server calls Service {namespace}/{name} ({listed(asking)}), whose pods "
                f"({_backends(policy_index, offers[0].service, pods)}) admit it on {ports} by no rule"
            )
            hint = (
                "The API server is not a pod, and comes from addresses of nodes or its own:\n"
                f"ingress:\n- ports: [...]  # {ports}, from everybody or from an ipBlock of these addresses"
            )
            yield Remark(_isolating(policy_index, pods), message, hint)


def _are_isolated(policy_index: PolicyIndex, pods: int) -> bool:
    """Whether ``pods`` are some, and all of them are sure to be isolated for ingress."""
    return bool(pods) and not pods & (~policy_index.isolated[Direction.INGRESS] | policy_index.uncertain)


def _backends(policy_index: PolicyIndex, service: Service, pods: int) -> str:
    """The workloads behind ``service``: policies need not tell them apart from others of the groups ``pods``."""
    behind = (pod for pod in policy_index.members(pods) if is_backend(service, pod))
    return listed(list(dict.fromkeys(map(workload_name, behind))))


def _ports(offers: Sequence[ServiceOffer]) -> str:
    return listed(sorted({f"{offer.port.protocol}/{offer.target}" for offer in offers}))


def _may_be_api_server(policy_index: PolicyIndex, indexed: IndexedRule, *, blocks: bool = True) -> bool:
    """Whether the peers of a rule may have the API server among them: managed ones come through pods of kube-system.
    Not by ``blocks`` of addresses, if these are out of question.
    """
    peers = indexed.rule.peers
    system = policy_index.namespaces[SYSTEM]
    return not peers or any(
        (blocks and peer.ip_block is not None)
        or (peer.namespace_selector is not None and may_match(peer.namespace_selector, system))
        for peer in peers
    )


def _admits(policy_index: PolicyIndex, indexed: IndexedRule, offers: Sequence[ServiceOffer]) -> bool:
    """Whether a rule lets anybody in to any of ``offers``, as far as is known."""
    nobody = policy_index.complete and not indexed.peers and all(each.ip_block is None for each in indexed.rule.peers)
    return not nobody and _opens(policy_index, indexed, offers)


def _opening(policy_index: PolicyIndex, offers: Sequence[ServiceOffer]) -> list[IndexedRule]:
    """The rules for ingress that open to anybody a port on which any of ``offers`` is served."""
    ingress = (rule for rule in policy_index.rules if rule.direction is Direction.INGRESS)
    return [rule for rule in ingress if _opens(policy_index, rule, offers)]


def _opens(policy_index: PolicyIndex, indexed: IndexedRule, offers: Sequence[ServiceOffer]) -> bool:
    """Whether a rule opens to anybody a port on which any of ``offers`` is served."""
    return any(
        atoms >> policy_index.atoms.index(offer.port.protocol, offer.target) & 1
        and indexed.subjects & offer.pods & meant
        for offer in offers
        for atoms, meant in indexed.ports.items()
    )


def _names_port_of(indexed: IndexedRule, offers: Sequence[ServiceOffer], pods: int) -> bool:
    """Whether a rule names a Service's port instead of the pods', which is another check's finding."""
    numbers = {(port.protocol, port.number) for port in indexed.rule.ports}
    return bool(indexed.subjects & pods) and any(
        offer.port.number != offer.target and (offer.port.protocol, offer.port.number) in numbers for offer in offers
    )


def _isolating(policy_index: PolicyIndex, pods: int) -> Place:
    """The first policy that isolates any of ``pods``."""
    return next(
        policy_place(policy, "spec")
        for policy, subjects in zip(policy_index.snapshot.policies, policy_index.subjects, strict=True)
        if subjects & pods and Direction.INGRESS in policy.directions
    )


CHECKS = (
    Check(
        "closed-service",
        Severity.WARNING,
        "A Service whose pods admit nobody",
        "A Service is there to be used, and policies isolate its pods without a rule for the ports that it sends to: "
        "every connection to it ends there. Only a pod's own node reaches it all the same, so that its probes succeed.",
        closed_services,
        DEFAULT_DENY,
    ),
    Check(
        "closed-to-outside",
        Severity.WARNING,
        "A LoadBalancer Service whose pods admit no address outside",
        "A LoadBalancer is there for clients outside the cluster, and selectors match pods alone: without a rule for "
        "everybody or with an ipBlock, connections from outside end at the pods. Where externalTrafficPolicy is not "
        "Local, those that reach a pod by way of its own node get through all the same, and the others don't.",
        closed_to_outside,
        BLOCKS,
    ),
    Check(
        "closed-to-api-server",
        Severity.WARNING,
        "A webhook or aggregated API that doesn't admit the API server",
        "The API server calls admission webhooks and aggregated APIs itself, from addresses of nodes or its own. No "
        "selector matches it, and a rule that names the Service's port instead of the pods' doesn't open anything. "
        "Where it isn't admitted, creating objects fails or waits. (On the pod's own node it always is.)",
        closed_to_api_server,
        API_SERVER,
    ),
)
