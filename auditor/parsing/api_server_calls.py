"""Whom the API server calls: the Services of webhooks and of aggregated APIs.

No verdict hangs on these, so what is broken in them is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.model.snapshot import ApiServerCall

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
AGGREGATED = "APIService"
GROUPS = {**dict.fromkeys(WEBHOOKS, "admissionregistration.k8s.io"), AGGREGATED: "apiregistration.k8s.io"}
HTTPS = 443


def api_server_calls(kind: str, group: str, value: Mapping[str, Any]) -> Iterator[ApiServerCall]:
    """The calls that the object ``value`` of ``kind`` asks for; none where it is of another kind."""
    if GROUPS.get(kind) != group:
        return
    name = _map(value, "metadata").get("name")
    if kind == AGGREGATED:
        services = [_map(_map(value, "spec"), "service")]
    else:
        webhooks = value.get("webhooks")
        items = webhooks if isinstance(webhooks, list) else []
        services = [_map(_map(item, "clientConfig"), "service") for item in items]
    for service in services:
        space, own, port = (service.get(key) for key in ("namespace", "name", "port"))
        if isinstance(space, str) and isinstance(own, str) and isinstance(name, str):
            yield ApiServerCall(f"{kind} {name}", space, own, port if isinstance(port, int) else HTTPS)


def _map(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}
