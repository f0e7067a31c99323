"""Selections: the short notation by which people point at endpoints.

``*`` every endpoint; ``prod`` every endpoint of a namespace (``host``, ``node``, ``outside``: all of that kind);
``prod/db``, ``prod/*``, ``*/db-?`` a glob on the name; ``prod/web``, ``deploy/web``, ``deploy/prod/web`` the pods of a
workload, where no endpoint has that name; ``service/prod/web`` or ``svc/web`` the pods of a Service; ``pod/prod/db`` or
``pod/db`` one pod, as kubectl calls it; ``app=web,tier in (a,b)`` labels in the notation of ``kubectl --selector``,
in one namespace with ``prod/app=web``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from auditor.model.errors import UsageError
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.snapshot import Endpoint, EndpointKind, Service
from auditor.model.workloads import pods_of_workload

POD_PREFIXES = ("pod", "pods", "po")
SERVICE_PREFIXES = ("service", "services", "svc")
KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
VALUE = r"[A-Za-z0-9_.-]*"
EQUALITY = re.compile(rf"({KEY})\s*(==|=|!=)\s*({VALUE})\Z")
MEMBERSHIP = re.compile(rf"({KEY})\s+(in|notin)\s*\((\s*{VALUE}\s*(?:,\s*{VALUE}\s*)*)\)\Z")
EXISTENCE = re.compile(rf"(!?)\s*({KEY})\Z")
BY_LABELS = re.compile(r"=|\s(?:in|notin)\s*\(|(?:^|[/,])\s*!")
COMMA_OUTSIDE_BRACKETS = re.compile(r",(?![^(]*\))")
NAMESPACE_PREFIX = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)/(?=[^=!\s]*(?:[=!]|\s)|!)(.*)\Z", re.DOTALL)


def select(endpoints: Iterable[Endpoint], text: str, services: Iterable[Service] = ()) -> tuple[Endpoint, ...]:
    """The endpoints that the selection ``text`` matches, in order; ``services`` are those that it may name. Raises
    UsageError when it is none.
    """
    text = text.strip()
    if not text:
        raise UsageError("an empty selection: write *, a namespace, NAMESPACE/NAME or labels such as app=web")
    endpoints = tuple(endpoints)
    if named := tuple(endpoint for endpoint in endpoints if endpoint.name == text):
        return named
    if BY_LABELS.search(text):
        return _by_labels(endpoints, text)
    if text == "*":
        return endpoints
    if "/" in text:
        matching = tuple(endpoint for endpoint in endpoints if fnmatchcase(endpoint.name, text))
        return matching or pods_of_workload(endpoints, text) or _of_kind(endpoints, text, services)
    return tuple(endpoint for endpoint in endpoints if fnmatchcase(_first_part(endpoint), text))


def choose(
    endpoints: Sequence[Endpoint], selections: Sequence[str], services: Sequence[Service] = ()
) -> tuple[Endpoint, ...]:
    """The endpoints that any of ``selections`` matches, which may name ``services``, in their order; all when there are
    none.

    Raises UsageError for a selection that is malformed or matches nothing.
    """
    if not selections:
        return tuple(endpoints)
    chosen: set[str] = set()
    for selection in selections:
        found = select(endpoints, selection, services)
        if not found:
            known = ", ".join(endpoint.name for endpoint in endpoints[:8])
            raise UsageError(
                f"{selection!r} matches no endpoint; there are: {known}{', …' if len(endpoints) > 8 else ''}"
            )
        chosen.update(endpoint.name for endpoint in found)
    return tuple(endpoint for endpoint in endpoints if endpoint.name in chosen)


def _first_part(endpoint: Endpoint) -> str:
    return "outside" if endpoint.ranges else endpoint.name.partition("/")[0]


def _of_kind(endpoints: Sequence[Endpoint], text: str, services: Iterable[Service]) -> tuple[Endpoint, ...]:
    """What ``text`` means with the kind of a pod or Service before the name: the pod, or the pods of the Service."""
    prefix, _, name = text.partition("/")
    full_name = name if "/" in name else f"*/{name}"
    if prefix in POD_PREFIXES:
        return tuple(each for each in endpoints if each.namespace and fnmatchcase(each.name, full_name))
    asked = [each for each in services if fnmatchcase(each.place, full_name)]
    found = asked if prefix in SERVICE_PREFIXES else []
    return tuple(each for each in endpoints if any(is_backend(service, each) for service in found))


def is_backend(service: Service, endpoint: Endpoint) -> bool:
    """Whether ``service`` sends connections to ``endpoint``, a pod that it selects or that its endpoints name."""
    if service.selector is None:
        pods = {each.pod for each in service.endpoints}
        addresses = {each.address for each in service.endpoints}
        return endpoint.name in pods or not addresses.isdisjoint(endpoint.addresses)
    return (
        endpoint.kind is EndpointKind.POD
        and endpoint.namespace == service.namespace
        and service.selector.items() <= endpoint.labels.items()
    )


def parse_selector(text: str) -> LabelSelector:
    """The label selector that ``text`` is, in the notation of ``kubectl --selector``. Raises UsageError when it is
    none.
    """
    return _parse_labels(text, text)


def _by_labels(endpoints: Iterable[Endpoint], text: str) -> tuple[Endpoint, ...]:
    namespace, labels = _split_namespace(text)
    selector = _parse_labels(labels, text)
    return tuple(
        endpoint
        for endpoint in endpoints
        if endpoint.namespace
        and (not namespace or endpoint.namespace == namespace)
        and selector.matches(endpoint.labels)
    )


def _split_namespace(text: str) -> tuple[str, str]:
    """A namespace and the labels after it. A prefix with a dot, or a key that needs it, belongs to the label."""
    found = NAMESPACE_PREFIX.match(text)
    return (found[1], found[2]) if found else ("", text)


def _parse_labels(labels: str, text: str) -> LabelSelector:
    requirements: list[Requirement] = []
    for part in COMMA_OUTSIDE_BRACKETS.split(labels):
        condition = part.strip()
        if found := EQUALITY.match(condition):
            key, sign, value = found.groups()
            requirements.append(Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, (value,)))
        elif found := MEMBERSHIP.match(condition):
            key, word, values = found.groups()
            known = tuple(sorted(value.strip() for value in values.split(",")))
            requirements.append(Requirement(key, Operator.IN if word == "in" else Operator.NOT_IN, known))
        elif found := EXISTENCE.match(condition):
            missing, key = found.groups()
            requirements.append(Requirement(key, Operator.DOES_NOT_EXIST if missing else Operator.EXISTS))
        else:
            raise UsageError(
                f"{condition!r} in the selection {text!r} is not a valid condition on a label, such as "
                "app=web, tier in "
                "(a,b) or !old"
            )
    return LabelSelector((), tuple(requirements))
