"""The endpoints that a name means, as people write it: of a pod, a workload, a host or node, or labels; and how hosts
are named on a command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.selection import BY_LABELS, SERVICE_PREFIXES, select

PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def endpoints_called(snapshot: Snapshot, name: str) -> Sequence[Endpoint]:
    """The endpoint of ``snapshot`` called ``name``, or those that this selection matches.

    Raises UsageError, with the closest names, when there is none.
    """
    try:
        return (snapshot.endpoint(name),)
    except KeyError:
        if PLAIN_NAME.fullmatch(name) and (found := _selected(snapshot, f"default/{name}")):
            return found  # kubectl's default
        if name not in snapshot.absent and (found := _selected(snapshot, name)):
            return found
        if name in snapshot.absent:
            raise UsageError(f"{name} {snapshot.absent[name]}") from None
        raise UsageError(f"no endpoint is called {name!r}: {_hint(snapshot, name)}") from None


def _hint(snapshot: Snapshot, name: str) -> str:
    names = [endpoint.name for endpoint in snapshot.endpoints]
    kind, slash, own = name.partition("/")
    own = "" if slash and kind in SERVICE_PREFIXES else own if slash else name
    elsewhere = [each for each in names if own and each.partition("/")[2] in (own, f"{own}-0")][:3]
    close = [each for each in names if each.startswith(f"{name}-")][:3] or elsewhere
    close = close or get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else _how_to_write(name)


def _selected(snapshot: Snapshot, name: str) -> tuple[Endpoint, ...]:
    """What ``name`` selects as the name of a workload or as labels; a whole namespace is too much to be meant."""
    return select(snapshot.endpoints, name, snapshot.services) if "/" in name or BY_LABELS.search(name) else ()


def _how_to_write(name: str) -> str:
    try:
        ip_address(name)
    except ValueError:
        service = name.startswith(("service/", "svc/"))
        return "write service/NAMESPACE/NAME" if service else "pods are NAMESPACE/NAME, others host/NAME and node/NAME"
    return f"give it a name with --host NAME={name}, and write host/NAME"


def host_words(hosts: Mapping[str, Sequence[IPAddress]]) -> list[str]:
    """The options that name ``hosts`` to a command."""
    return [word for name, addresses in hosts.items() for each in addresses for word in ("--host", f"{name}={each}")]
