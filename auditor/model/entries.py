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
class Parent:
    """A Gateway, ``NAMESPACE/NAME``, that a route asks to be part of: of its listener ``section``, empty for any, and
    those on ``port``, None for any.
    """

    gateway: str
    section: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """An object that leads in: ``kind`` is ``Ingress``, ``HTTPRoute`` and so on. ``hosts`` are the names that it
    is for.

    An Ingress has the name of an ``ingress_class``, empty for the default one; a route the ``parents`` that it asks
    to be part of; ``other_parents`` are those that are not Gateways.
    """

    kind: str
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    ingress_class: str = ""
    parents: tuple[Parent, ...] = ()
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
class Listener:
    """A listener of a Gateway. ``host`` is the name that it is for, empty for any; ``kinds`` those of the routes that
    it takes, empty for what its ``protocol`` can carry; ``open_to`` the namespaces of which it takes them: ``Same``,
    ``All``, ``None``, or ``Selector``, of which no more is read.
    """

    name: str
    port: int | None = None
    protocol: str = ""
    host: str = ""
    kinds: frozenset[str] = frozenset()
    open_to: str = "Same"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway: ``of_class`` is the name of its GatewayClass."""

    namespace: str
    name: str
    of_class: str
    listeners: tuple[Listener, ...] = ()


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
