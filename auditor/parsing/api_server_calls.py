"""Whom the API server calls: the Services of webhooks and of aggregated APIs.

No verdict hangs on these, so what is broken in them is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.model.snapshot import ApiServerCall
from auditor.parsing.loose_values import items, mapping

WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
AGGREGATED = "APIService"
GROUPS = {**dict.fromkeys(WEBHOOKS, "admissionregistration.k8s.io"), AGGREGATED: "apiregistration.k8s.io"}
HTTPS = 443


def api_server_calls(kind: str, group: str, value: Mapping[str, Any]) -> Iterator[ApiServerCall]:
    """The calls that the object ``value`` of ``kind`` asks for; none where it is of another kind."""
    if GROUPS.get(kind) != group:
        return
    name = mapping(value, "metadata").get("name")
    if kind == AGGREGATED:
        services = [mapping(mapping(value, "spec"), "service")]
    else:
        services = [mapping(mapping(item, "clientConfig"), "service") for item in items(value, "webhooks")]
    for service in services:
        space, own, port = (service.get(key) for key in ("namespace", "name", "port"))
        if isinstance(space, str) and isinstance(own, str) and isinstance(name, str):
            yield ApiServerCall(f"{kind} {name}", space, own, port if isinstance(port, int) else HTTPS)
