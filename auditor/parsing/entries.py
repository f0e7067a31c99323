"""Ingresses, routes of the Gateway API, and what says who serves them.

No verdict of the matrix hangs on these, so what is broken in them is passed over: it leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from auditor.model.entries import Entries, EntryClass, Gateway, Grant, Listener, Parent, Route, RouteBackend
from auditor.parsing.loose_values import items, mapping, mappings, number, text

NETWORKING, GATEWAY = "networking.k8s.io", "gateway.networking.k8s.io"
EXTENSIONS = "extensions"
"""The group that Ingresses had at first."""
OLD_CLASS = "kubernetes.io/ingress.class"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
KINDS = {
    "Ingress": NETWORKING,
    "IngressClass": NETWORKING,
    **dict.fromkeys(("Gateway", "GatewayClass", "ReferenceGrant", *ROUTES), GATEWAY),
}
Entry: TypeAlias = Route | EntryClass | Gateway | Grant


def is_entry(kind: str, group: str) -> bool:
    """Whether objects of ``kind`` are read here."""
    return KINDS.get(kind) == group or (kind, group) == ("Ingress", EXTENSIONS)


def read_entries(kind: str, value: Mapping[str, Any], default_namespace: str) -> tuple[Entry, ...]:
    """What the object ``value`` of one of ``KINDS`` says."""
    metadata, spec = mapping(value, "metadata"), mapping(value, "spec")
    name, namespace = text(metadata, "name"), text(metadata, "namespace") or default_namespace
    if not name:
        return ()
    if kind in ROUTES:
        return (_route(kind, namespace, name, spec),)
    match kind:
        case "Ingress":
            found: Entry = _ingress(namespace, name, metadata, spec)
        case "IngressClass":
            is_default = mapping(metadata, "annotations").get(DEFAULT_CLASS) == "true"
            found = EntryClass(kind, name, text(spec, "controller"), is_default)
        case "GatewayClass":
            found = EntryClass(kind, name, text(spec, "controllerName"))
        case "Gateway":
            found = Gateway(namespace, name, text(spec, "gatewayClassName"), tuple(_listeners(spec)))
        case _:
            return tuple(_grants(namespace, spec))
    return (found,)


KEPT_ANNOTATIONS = (OLD_CLASS, DEFAULT_CLASS)
KEPT: Mapping[str, tuple[str, ...]] = {
    "Ingress": ("ingressClassName", "defaultBackend", "rules"),
    "IngressClass": ("controller",),
    "GatewayClass": ("controllerName",),
    "Gateway": ("gatewayClassName", "listeners"),
    "ReferenceGrant": ("from", "to"),
    **dict.fromkeys(ROUTES, ("hostnames", "parentRefs", "rules")),
}
"""What of the spec is read, and kept where an object is saved. Filters may hold headers with secrets."""
KEPT_OF_RULES = ("host", "http", "backendRefs")


def kept(kind: str, version: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The object ``value`` of one of ``KINDS`` as a manifest, with what of it is read."""
    metadata, spec = mapping(value, "metadata"), mapping(value, "spec")
    annotations = {key: each for key, each in mapping(metadata, "annotations").items() if key in KEPT_ANNOTATIONS}
    head = {key: metadata[key] for key in ("namespace", "name") if key in metadata}
    told = {key: spec[key] for key in KEPT[kind] if key in spec}
    if "rules" in told:
        told["rules"] = [_kept_rule(rule) for rule in mappings(spec, "rules")]
    if "listeners" in told:
        told["listeners"] = [
            {key: each for key, each in one.items() if key != "tls"} for one in mappings(spec, "listeners")
        ]
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {**head, **({"annotations": annotations} if annotations else {})},
        "spec": told,
    }


def _kept_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    kept_ = {key: rule[key] for key in KEPT_OF_RULES if key in rule}
    if "backendRefs" in kept_:
        kept_["backendRefs"] = [{**backend, **_kept_filters(backend)} for backend in mappings(rule, "backendRefs")]
    return {**kept_, **_kept_filters(rule)}


def _kept_filters(place: Mapping[str, Any]) -> dict[str, Any]:
    """The filters that send a copy somewhere, in the place of all."""
    if "filters" not in place:
        return {}
    mirrors = [mapping(each, "requestMirror") for each in mappings(place, "filters")]
    return {"filters": [{"type": "RequestMirror", "requestMirror": each} for each in mirrors if each]}


def entries_of(found: Iterable[Entry]) -> Entries:
    """``found``, by kind, each once."""
    once = tuple(dict.fromkeys(found))
    return Entries(
        tuple(each for each in once if isinstance(each, Route)),
        tuple(each for each in once if isinstance(each, EntryClass)),
        tuple(each for each in once if isinstance(each, Gateway)),
        tuple(each for each in once if isinstance(each, Grant)),
    )


def _ingress(namespace: str, name: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Route:
    rules = mappings(spec, "rules")
    paths = [path for rule in rules for path in mappings(mapping(rule, "http"), "paths")]
    # "backend" is what v1beta1 calls the default one.
    backends = [spec.get("defaultBackend") or spec.get("backend"), *(path.get("backend") for path in paths)]
    return Route(
        "Ingress",
        namespace,
        name,
        tuple(dict.fromkeys(filter(None, (text(rule, "host") for rule in rules)))),
        ingress_class=text(spec, "ingressClassName") or text(mapping(metadata, "annotations"), OLD_CLASS),
        backends=tuple(dict.fromkeys(each for backend in backends for each in _of_ingress(namespace, backend))),
    )


def _of_ingress(namespace: str, backend: object) -> Iterator[RouteBackend]:
    if not isinstance(backend, Mapping):
        return
    service, resource = mapping(backend, "service"), mapping(backend, "resource")
    port = mapping(service, "port")
    if text(backend, "serviceName"):  # v1beta1
        yield RouteBackend(
            namespace,
            text(backend, "serviceName"),
            number(backend, "servicePort") or text(backend, "servicePort") or None,
        )
    elif text(service, "name"):
        yield RouteBackend(namespace, text(service, "name"), number(port, "number") or text(port, "name") or None)
    elif text(resource, "name"):
        yield RouteBackend(namespace, text(resource, "name"), kind=text(resource, "kind") or "resource")


def _route(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Route:
    parents = [(text(each, "kind") or "Gateway", _parent(namespace, each)) for each in mappings(spec, "parentRefs")]
    return Route(
        kind,
        namespace,
        name,
        tuple(each for each in items(spec, "hostnames") if isinstance(each, str)),
        parents=tuple(dict.fromkeys(each for what, each in parents if what == "Gateway")),
        other_parents=tuple(dict.fromkeys(f"{what} {each.gateway}" for what, each in parents if what != "Gateway")),
        backends=tuple(
            dict.fromkeys(
                _of_route(namespace, backend)
                for rule in mappings(spec, "rules")
                for backend in _backends(rule)
                if text(backend, "name") and backend.get("weight") != 0
            )
        ),
    )


def _backends(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where a rule sends what it matches, and where it sends a copy of that."""
    backends = mappings(rule, "backendRefs")
    yield from backends
    for place in (rule, *backends):
        for each in mappings(place, "filters"):
            yield mapping(mapping(each, "requestMirror"), "backendRef")


def _parent(namespace: str, reference: Mapping[str, Any]) -> Parent:
    place = f"{text(reference, 'namespace') or namespace}/{text(reference, 'name')}"
    return Parent(place, text(reference, "sectionName"), number(reference, "port"))


def _of_route(namespace: str, backend: Mapping[str, Any]) -> RouteBackend:
    kind = text(backend, "kind") or "Service"
    is_service = kind == "Service" and not text(backend, "group")
    return RouteBackend(
        text(backend, "namespace") or namespace,
        text(backend, "name"),
        number(backend, "port"),
        "" if is_service else kind,
    )


def _listeners(spec: Mapping[str, Any]) -> Iterator[Listener]:
    for each in mappings(spec, "listeners"):
        allowed = mapping(each, "allowedRoutes")
        yield Listener(
            text(each, "name"),
            number(each, "port"),
            text(each, "protocol"),
            text(each, "hostname"),
            frozenset(filter(None, (text(kind, "kind") for kind in mappings(allowed, "kinds")))),
            text(mapping(allowed, "namespaces"), "from") or "Same",
        )


def _grants(namespace: str, spec: Mapping[str, Any]) -> Iterator[Grant]:
    for source in (each for each in mappings(spec, "from") if text(each, "group") == GATEWAY):
        for target in mappings(spec, "to"):
            if text(target, "kind") == "Service" and not text(target, "group"):
                yield Grant(namespace, text(source, "kind"), text(source, "namespace"), text(target, "name"))
