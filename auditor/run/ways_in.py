"""Who reaches a pod from outside, and by which objects: Ingresses and routes of Gateways, as far as policies decide it.

What leads in ends at the pods of a controller, and these open the connection that policies judge: to a pod behind the
Service that the object names, on its target port. Which pods these are, labels tell that controllers are installed
with. Where none is known, only what is open to everybody, or to nobody at all, is certain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from auditor.model.entries import EntryClass, Gateway, Parent, Route, RouteBackend
from auditor.model.policy import NetworkPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Service, Snapshot
from auditor.model.verdict import Cell, Note, Verdict
from auditor.model.ways_in import WayIn, WaysIn
from auditor.model.words import in_brief
from auditor.policy.explain import decide
from auditor.policy.matrix import common_families
from auditor.policy.services import translate
from auditor.run.attachment import Refusal, refusal
from auditor.run.explanation import doubts_of
from auditor.run.service_connections import ANY_SOURCE

APP, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
CONTROLLERS: Mapping[str, Mapping[str, str]] = {
    "k8s.io/ingress-nginx": {APP: "ingress-nginx", COMPONENT: "controller"},
    "traefik.io/ingress-controller": {APP: "traefik"},
    "traefik.io/gateway-controller": {APP: "traefik"},
    "haproxy.org/ingress-controller": {APP: "kubernetes-ingress"},
    "ingress-controllers.konghq.com/kong": {APP: "kong"},
    "konghq.com/kic-gateway-controller": {APP: "kong"},
    "istio.io/ingress-controller": {"istio": "ingressgateway"},
}
"""The labels of the pods that serve what is of a controller's classes, as its own charts and manifests set them."""
BY_CUSTOM = {
    "nginx": "k8s.io/ingress-nginx",
    "traefik": "traefik.io/ingress-controller",
    "haproxy": "haproxy.org/ingress-controller",
    "kong": "ingress-controllers.konghq.com/kong",
    "istio": "istio.io/ingress-controller",
}
"""Controllers by the names that IngressClasses of theirs have by custom, for where the class itself is not there."""
OF_GATEWAY = "gateway.networking.k8s.io/gateway-name"
"""The label of the pods that serve one Gateway of its own namespace (GEP-1762)."""
OWNING = ("gateway.envoyproxy.io/owning-gateway-namespace", "gateway.envoyproxy.io/owning-gateway-name")


def ways_in(snapshot: Snapshot, pods: Iterable[str] | None = None) -> WaysIn:
    """Every way into ``snapshot``, in the order of its objects; or those to these ``pods``, without dead ends."""
    wanted = None if pods is None else frozenset(pods)
    return _Entries(snapshot, wanted).found()


class _Entries:
    """The objects of one snapshot that lead in."""

    def __init__(self, snapshot: Snapshot, wanted: frozenset[str] | None) -> None:
        self._snapshot = snapshot
        self._wanted = wanted
        entries = snapshot.entries
        self._services = {(each.namespace, each.name): each for each in snapshot.services}
        self._classes = {(each.kind, each.name): each for each in entries.classes}
        self._gateways = {f"{each.namespace}/{each.name}": each for each in entries.gateways}
        self._by_namespace: defaultdict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in snapshot.endpoints:
            self._by_namespace[endpoint.namespace].append(endpoint)
        self._policies: defaultdict[str, list[NetworkPolicy]] = defaultdict(list)
        for policy in snapshot.policies:
            self._policies[policy.namespace].append(policy)
        self._nodes = tuple(end for end in snapshot.endpoints if end.kind is EndpointKind.NODE)
        self._serving: dict[str, tuple[tuple[Endpoint, ...], str]] = {}

    def found(self) -> WaysIn:
        ways: list[WayIn] = []
        dead: list[str] = []
        for route in self._snapshot.entries.routes:
            doubt = self._why_unattached(route)
            found = [self._of_backend(route, backend, doubt) for backend in route.backends]
            ways += [way for here, _ in found for way in here]
            which = "" if all(why for _, why in found) else "one backend of "
            dead += [f"{which}{route.full_name} leads nowhere: {why}" for _, why in found if why]
        return WaysIn(tuple(ways), tuple(dict.fromkeys(dead)) if self._wanted is None else ())

    def _of_backend(self, route: Route, backend: RouteBackend, doubt: str) -> tuple[list[WayIn], str]:
        """The ways by one backend of ``route``, and why there are none."""
        if backend.kind:
            return [], f"its backend is {backend.kind} {backend.namespace}/{backend.service}, which is not a Service"
        service = self._services.get((backend.namespace, backend.service))
        if service is None:
            name = f"{backend.namespace}/{backend.service}"
            absent = self._snapshot.absent.get(f"service/{name}")
            return [], f"service/{name} {absent}" if absent else f"there is no Service {name} in the input"
        if not self._granted(route, backend):
            return [], f"no ReferenceGrant lets it lead to {service.full_name}, in another namespace"
        request = _request(route, backend)
        if request is None:
            return [], f"it names no port of {service.full_name}"
        # Controllers take the addresses of a headless Service's pods with their target ports, as of any other.
        routes = translate(self._around(service), replace(service, headless=False), request)
        if not routes:
            return [], f"{service.full_name} sends {request} to no pod"
        chosen = [each for each in routes if self._wanted is None or each.backend.name in self._wanted]
        served_by = self._controllers(route) if chosen else ((), "")
        return [
            self._judged(
                WayIn(route, service.full_name, end.backend.name, request.protocol, end.number, Verdict.ALLOWED),
                end.backend,
                served_by,
                doubt,
            )
            for end in chosen
        ], ""

    def _around(self, service: Service) -> Snapshot:
        """What ``service`` may lead to: where it has a selector, pods of its own namespace."""
        if service.selector is None:
            return self._snapshot
        return replace(self._snapshot, endpoints=tuple(self._by_namespace.get(service.namespace, ())))

    def _only(self, ends: Sequence[Endpoint]) -> Snapshot:
        """The snapshot with no more than has a part in connections between ``ends``."""
        spaces = dict.fromkeys(end.namespace for end in ends)
        # Policies of administrators may name nodes by their labels.
        nodes = self._nodes if self._snapshot.admin_policies else ()
        return replace(
            self._snapshot,
            endpoints=tuple(dict.fromkeys((*ends, *nodes))),
            policies=tuple(policy for space in spaces for policy in self._policies.get(space, ())),
        )

    def _granted(self, route: Route, backend: RouteBackend) -> bool:
        if route.kind == "Ingress" or backend.namespace == route.namespace:
            return True
        return any(
            (grant.namespace, grant.kind, grant.from_namespace) == (backend.namespace, route.kind, route.namespace)
            and grant.name in ("", backend.service)
            for grant in self._snapshot.entries.grants
        )

    def _why_unattached(self, route: Route) -> str:
        """Why it is not certain that a Gateway takes ``route``; empty where one does, and for an Ingress."""
        if route.kind == "Ingress":
            return ""
        if not route.parents:
            what = f", but {in_brief(route.other_parents, 1)}" if route.other_parents else ""
            return f"it asks no Gateway to take it{what}"
        refusals = self._refusals(route)
        return "" if None in refusals.values() else next(each.why for each in refusals.values() if each)

    def _refusals(self, route: Route) -> dict[Parent, Refusal | None]:
        return {each: refusal(route, each, self._gateways.get(each.gateway)) for each in route.parents}

    def _judged(self, way: WayIn, backend: Endpoint, served_by: tuple[tuple[Endpoint, ...], str], doubt: str) -> WayIn:
        """``way`` with what policies say of it where it is ``served_by`` these pods, or by nobody knows whom."""
        pods, unknown = served_by
        if not pods:
            judged = self._by_anybody(way, backend, unknown)
            to_nobody = judged.verdict is Verdict.DENIED and not judged.doubt
            return judged if to_nobody else replace(judged, doubt=doubt or judged.doubt)
        judged = self._by_pods(way, backend, pods)
        # Denied to these, it may still be open to others.
        return replace(judged, doubt=judged.doubt or (unknown if judged.verdict is Verdict.DENIED else doubt))

    def _by_pods(self, way: WayIn, backend: Endpoint, pods: Sequence[Endpoint]) -> WayIn:
        """``way`` with what policies say of it where ``pods`` are the controller's."""
        cells = [cell for pod in pods for cell in _cells(pod, backend, way)]
        if not cells:
            return replace(way, doubt="the controller's pods and this one have no address family in common")
        small = self._only((*pods, backend))
        matrix, doubts = doubts_of(small, cells)
        decisions = [decide(small, cell) for cell in cells]
        verdicts = {each.verdict for each in decisions}
        open_notes = [note for cell in cells for note in matrix.notes(*cell) if note in DOUBTFUL]
        doubt = next(iter(doubts.values()), "") or (DOUBTFUL[open_notes[0]] if open_notes else "")
        if len(verdicts) > 1:
            doubt = doubt or "policies let some of the controller's pods through alone"
        verdict = Verdict.ALLOWED if verdicts == {Verdict.ALLOWED} else Verdict.DENIED
        telling = next(each for each in decisions if each.verdict is verdict)
        return replace(
            way,
            verdict=verdict,
            by=tuple(dict.fromkeys(cell.source for cell in cells)),
            doubt=doubt,
            because=telling.because(),
        )

    def _by_anybody(self, way: WayIn, backend: Endpoint, unknown: str) -> WayIn:
        """``way`` where nobody knows whose pods serve it: certain where everybody may come, or nobody."""
        anybody = self._only((backend, ANY_SOURCE))
        cell = next(_cells(ANY_SOURCE, backend, way))
        _, doubts = doubts_of(anybody, [cell])
        decision = decide(anybody, cell)
        way = replace(way, verdict=decision.verdict, because=decision.because())
        if decision.verdict is Verdict.ALLOWED or cell in doubts:
            return replace(way, doubt=doubts.get(cell, ""))
        isolating = decision.ingress.isolating
        to_nobody = isolating and not any(policy.ingress for policy in isolating)
        certain = to_nobody and not self._snapshot.admin_policies
        return way if certain else replace(way, doubt=unknown, because=())

    def _controllers(self, route: Route) -> tuple[tuple[Endpoint, ...], str]:
        """The pods that serve ``route``, and why it is not known whether these are all; empty where it is."""
        found = self._of_ingress(route) if route.kind == "Ingress" else self._of_gateways(route)
        pods = tuple(dict.fromkeys(pod for each, _ in found for pod in each))
        return pods, next((why for _, why in found if why), "" if pods else "nobody knows who serves it")

    def _of_ingress(self, route: Route) -> list[tuple[tuple[Endpoint, ...], str]]:
        classes = self._snapshot.entries.classes
        name = route.ingress_class or next((each.name for each in classes if each.is_default), "")
        if not name:
            return [((), "it has no ingressClassName, and no IngressClass of the input is the default one")]
        known = self._classes.get(("IngressClass", name))
        controller = known.controller if known else BY_CUSTOM.get(name, "")
        if not controller:
            return [((), f"IngressClass {name} is not in the input")]
        return [self._by_labels(controller)]

    def _of_gateways(self, route: Route) -> list[tuple[tuple[Endpoint, ...], str]]:
        refusals = self._refusals(route)
        may_take = [each for each, why in refusals.items() if why is None or not why.for_sure]
        return [
            self._of_gateway(self._gateways[name])
            if name in self._gateways
            else ((), f"Gateway {name} is not in the input")
            for name in dict.fromkeys(each.gateway for each in may_take or refusals)
        ]

    def _of_gateway(self, gateway: Gateway) -> tuple[tuple[Endpoint, ...], str]:
        own = tuple(pod for pod in self._pods if _serves(pod, gateway))
        if own:
            return own, ""
        known: EntryClass | None = self._classes.get(("GatewayClass", gateway.of_class))
        if known is None:
            return (), f"GatewayClass {gateway.of_class} is not in the input"
        return self._by_labels(known.controller)

    def _by_labels(self, controller: str) -> tuple[tuple[Endpoint, ...], str]:
        if controller not in self._serving:
            self._serving[controller] = self._with_labels(controller)
        return self._serving[controller]

    def _with_labels(self, controller: str) -> tuple[tuple[Endpoint, ...], str]:
        labels = CONTROLLERS.get(controller)
        if labels is None:
            return (), f"which pods serve it is not known of controller {controller}"
        pods = tuple(pod for pod in self._pods if labels.items() <= pod.labels.items())
        listed = ",".join(f"{key}={value}" for key, value in labels.items())
        return pods, "" if pods else f"no pod of the input has the labels of controller {controller}, {listed}"

    @cached_property
    def _pods(self) -> tuple[Endpoint, ...]:
        return tuple(each for each in self._snapshot.endpoints if each.labels and each.namespace)


def _serves(pod: Endpoint, gateway: Gateway) -> bool:
    namespace, name = OWNING
    owned = pod.labels.get(namespace) == gateway.namespace and pod.labels.get(name) == gateway.name
    return owned or (pod.namespace == gateway.namespace and pod.labels.get(OF_GATEWAY) == gateway.name)


def _request(route: Route, backend: RouteBackend) -> PortRequest | None:
    protocol = Protocol.UDP if route.kind == "UDPRoute" else Protocol.TCP
    if isinstance(backend.port, str):
        return PortRequest(protocol, name=backend.port)
    return None if backend.port is None else PortRequest(protocol, number=backend.port)


def _cells(source: Endpoint, backend: Endpoint, way: WayIn) -> Iterator[Cell]:
    for family in common_families(source, backend):
        yield Cell(source.name, backend.name, way.protocol, way.port, family)


DOUBTFUL = {
    Note.CNI_DEPENDENT: "an ipBlock covers an address inside the cluster: up to the CNI",
    Note.UNDEFINED: "the controller's pods are in nodes' networks: which address policies see is not defined",
    Note.ADDRESS_UNKNOWN: "an ipBlock might allow it, but the input does not give the address",
    Note.LABELS_UNKNOWN: "labels on which it hangs are not known: add the Namespace objects, or the pods themselves",
}
"""Notes that leave a verdict open, in words."""
