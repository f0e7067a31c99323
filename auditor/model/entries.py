"""What leads into a cluster by name: Ingresses, routes of Gateways, and who is meant to serve them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RouteBackend:
    """Where a route leads: a port of the Service ``namespace``/``service``, by number or name (None: not said).
    ``kind`` is empty for a Service; for anything else it is that kind.
    """

    namespace: str
    service: str
    port: int | str | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """An object that leads in: ``kind`` is ``Ingress``, ``HTTPRoute`` and so on. ``hosts`` are the names that it
    is for.

    An Ingress has the name of an ``ingress_class``, empty for the default one; a route the ``gateways`` that it asks
    to be part of, ``NAMESPACE/NAME`` each; ``other_parents`` are those that are no Gateways.
    """

    kind: str
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    ingress_class: str = ""
    gateways: tuple[str, ...] = ()
    other_parents: tuple[str, ...] = ()
    backends: tuple[RouteBackend, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class EntryClass:
    """An IngressClass, or a GatewayClass: which ``controller`` serves what is of this class. ``is_default`` is said of
    an IngressClass.
    """

    kind: str
    name: str
    controller: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway: ``of_class`` is the name of its GatewayClass; ``open_to`` the namespaces of which it takes routes, by
    a listener at least: ``Same``, ``All``, or ``Selector``, of which no more is read.
    """

    namespace: str
    name: str
    of_class: str
    open_to: frozenset[str] = frozenset({"Same"})


@dataclass(frozen=True, slots=True)
class Grant:
    """A ReferenceGrant: routes of ``kind`` in ``from_namespace`` may lead to the Service ``name`` (empty: any) of
    ``namespace``.
    """

    namespace: str
    kind: str
    from_namespace: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """All that leads into a cluster by name."""

    routes: tuple[Route, ...] = ()
    classes: tuple[EntryClass, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    grants: tuple[Grant, ...] = ()


NO_ENTRIES = Entries()
