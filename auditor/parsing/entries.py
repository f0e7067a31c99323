"""Ingresses, routes of the Gateway API, and what says who serves them.

No verdict of the matrix hangs on these, so what is broken in them is passed over: it leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from auditor.model.entries import Entries, EntryClass, Gateway, Grant, Listener, Parent, Route, RouteBackend

NETWORKING, GATEWAY = "networking.k8s.io", "gateway.networking.k8s.io"
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
    return KINDS.get(kind) == group


def read_entries(kind: str, value: Mapping[str, Any], default_namespace: str) -> tuple[Entry, ...]:
    """What the object ``value`` of one of ``KINDS`` says."""
    metadata, spec = _map(value, "metadata"), _map(value, "spec")
    name, namespace = _text(metadata, "name"), _text(metadata, "namespace") or default_namespace
    if not name:
        return ()
    if kind in ROUTES:
        return (_route(kind, namespace, name, spec),)
    match kind:
        case "Ingress":
            found: Entry = _ingress(namespace, name, metadata, spec)
        case "IngressClass":
            is_default = _map(metadata, "annotations").get(DEFAULT_CLASS) == "true"
            found = EntryClass(kind, name, _text(spec, "controller"), is_default)
        case "GatewayClass":
            found = EntryClass(kind, name, _text(spec, "controllerName"))
        case "Gateway":
            found = Gateway(namespace, name, _text(spec, "gatewayClassName"), tuple(_listeners(spec)))
        case _:
            return tuple(_grants(namespace, spec))
    return (found,)


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
    rules = _maps(spec, "rules")
    paths = [path for rule in rules for path in _maps(_map(rule, "http"), "paths")]
    backends = [spec.get("defaultBackend"), *(path.get("backend") for path in paths)]
    return Route(
        "Ingress",
        namespace,
        name,
        tuple(dict.fromkeys(filter(None, (_text(rule, "host") for rule in rules)))),
        ingress_class=_text(spec, "ingressClassName") or _text(_map(metadata, "annotations"), OLD_CLASS),
        backends=tuple(dict.fromkeys(each for backend in backends for each in _of_ingress(namespace, backend))),
    )


def _of_ingress(namespace: str, backend: object) -> Iterator[RouteBackend]:
    if not isinstance(backend, Mapping):
        return
    service, resource = _map(backend, "service"), _map(backend, "resource")
    port = _map(service, "port")
    if _text(service, "name"):
        yield RouteBackend(namespace, _text(service, "name"), _number(port, "number") or _text(port, "name") or None)
    elif _text(resource, "name"):
        yield RouteBackend(namespace, _text(resource, "name"), kind=_text(resource, "kind") or "resource")


def _route(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Route:
    parents = [(_text(each, "kind") or "Gateway", _parent(namespace, each)) for each in _maps(spec, "parentRefs")]
    return Route(
        kind,
        namespace,
        name,
        tuple(each for each in _list(spec, "hostnames") if isinstance(each, str)),
        parents=tuple(dict.fromkeys(each for what, each in parents if what == "Gateway")),
        other_parents=tuple(dict.fromkeys(f"{what} {each.gateway}" for what, each in parents if what != "Gateway")),
        backends=tuple(
            dict.fromkeys(
                _of_route(namespace, backend)
                for rule in _maps(spec, "rules")
                for backend in _backends(rule)
                if _text(backend, "name") and backend.get("weight") != 0
            )
        ),
    )


def _backends(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where a rule sends what it matches, and where it sends a copy of that."""
    backends = _maps(rule, "backendRefs")
    yield from backends
    for place in (rule, *backends):
        for each in _maps(place, "filters"):
            yield _map(_map(each, "requestMirror"), "backendRef")


def _parent(namespace: str, reference: Mapping[str, Any]) -> Parent:
    place = f"{_text(reference, 'namespace') or namespace}/{_text(reference, 'name')}"
    return Parent(place, _text(reference, "sectionName"), _number(reference, "port"))


def _of_route(namespace: str, backend: Mapping[str, Any]) -> RouteBackend:
    kind = _text(backend, "kind") or "Service"
    is_service = kind == "Service" and not _text(backend, "group")
    return RouteBackend(
        _text(backend, "namespace") or namespace,
        _text(backend, "name"),
        _number(backend, "port"),
        "" if is_service else kind,
    )


def _listeners(spec: Mapping[str, Any]) -> Iterator[Listener]:
    for each in _maps(spec, "listeners"):
        allowed = _map(each, "allowedRoutes")
        yield Listener(
            _text(each, "name"),
            _number(each, "port"),
            _text(each, "protocol"),
            _text(each, "hostname"),
            frozenset(filter(None, (_text(kind, "kind") for kind in _maps(allowed, "kinds")))),
            _text(_map(allowed, "namespaces"), "from") or "Same",
        )


def _grants(namespace: str, spec: Mapping[str, Any]) -> Iterator[Grant]:
    for source in (each for each in _maps(spec, "from") if _text(each, "group") == GATEWAY):
        for target in _maps(spec, "to"):
            if _text(target, "kind") == "Service" and not _text(target, "group"):
                yield Grant(namespace, _text(source, "kind"), _text(source, "namespace"), _text(target, "name"))


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _map(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _maps(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [each for each in _list(value, key) if isinstance(each, Mapping)]
