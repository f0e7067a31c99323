"""Whether a Gateway takes a route: by one of its listeners, which say of which namespaces, kinds and names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from auditor.model.entries import Gateway, Listener, Parent, Route

CARRIED: Mapping[str, tuple[str, ...]] = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TLS": ("TLSRoute", "TCPRoute"),
    "TCP": ("TCPRoute",),
    "UDP": ("UDPRoute",),
}
"""The kinds of routes that a listener takes by its protocol; of other protocols, every kind."""
WITH_HOSTS = ("HTTPRoute", "GRPCRoute", "TLSRoute")


class Refusal(NamedTuple):
    """Why it is not certain that a Gateway takes a route; ``for_sure``: it is certain that it doesn't."""

    why: str
    for_sure: bool = True


def refusal(route: Route, parent: Parent, gateway: Gateway | None) -> Refusal | None:
    """What keeps ``gateway``, which ``route`` has as its ``parent``, from taking it; None where nothing does."""
    name = f"Gateway {parent.gateway}"
    if gateway is None:
        return Refusal(f"{name} is not in the input", for_sure=False)
    found = [each for each in gateway.listeners if parent.section in ("", each.name)]
    found = [each for each in found if parent.port in (None, each.port)]
    if not found:
        return Refusal(f"{name} has no such listener{_asked_for(parent)}")
    found = [each for each in found if _carries(each, route.kind)]
    if not found:
        return Refusal(f"{name} has no listener for routes of kind {route.kind}")
    found = [each for each in found if _has_host(each, route)]
    if not found:
        return Refusal(f"{name} has no listener for its hostnames")
    open_to = {each.open_to for each in found}
    if "All" in open_to or ("Same" in open_to and gateway.namespace == route.namespace):
        return None
    how = "chooses by labels" if "Selector" in open_to else "takes none"
    whose = "in other namespaces" if gateway.namespace != route.namespace else "in its own namespace"
    return Refusal(f"{name} {how} of routes {whose}", for_sure="Selector" not in open_to)


def _asked_for(parent: Parent) -> str:
    told = [parent.section] if parent.section else []
    told += [f"on port {parent.port}"] if parent.port is not None else []
    return f" as {' '.join(told)}" if told else ""


def _carries(listener: Listener, kind: str) -> bool:
    return kind in (listener.kinds or CARRIED.get(listener.protocol, (kind,)))


def _has_host(listener: Listener, route: Route) -> bool:
    if not listener.host or not route.hosts or route.kind not in WITH_HOSTS:
        return True
    return any(_meet(listener.host.lower(), host.lower()) for host in route.hosts)


def _meet(one: str, other: str) -> bool:
    """Whether two hostnames, of which ``*.`` stands for any number of labels, have any name in common."""
    return one == other or _is_within(one, other) or _is_within(other, one)


def _is_within(name: str, wildcard: str) -> bool:
    return wildcard.startswith("*.") and name.removeprefix("*").endswith(wildcard[1:])
