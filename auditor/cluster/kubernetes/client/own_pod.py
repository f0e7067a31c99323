"""The pod that we run in, where we run in one: what the API server's token for it and the downward API say about it.

For people only, who look for the run that holds a Lease or wrote a log; nothing is decided by it.
"""

from __future__ import annotations

import os
import socket
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token of its service account ("Accessing the Kubernetes API from a Pod")."""
SERVER_VARIABLE = "KUBERNETES_SERVICE_HOST"


class _Named(Record, frozen=True):
    name: str = ""


class _Place(Record, frozen=True):
    namespace: str = ""
    pod: _Named = _Named()
    node: _Named = _Named()


class _Claims(msgspec.Struct, frozen=True, rename={"place": "kubernetes.io"}):
    """Of a bound service account token, what says whose it is; the node since Kubernetes 1.30."""

    sub: str = ""
    place: _Place = _Place()


@dataclass(frozen=True, slots=True)
class OwnPod:
    """Where we run and as whom. ``node`` and ``account`` are empty where nothing says so."""

    namespace: str
    name: str
    node: str = ""
    account: str = ""

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}" + (f" on {self.node}" if self.node else "")


def own_pod(environment: Mapping[str, str] = os.environ, mounted: Path = MOUNTED) -> OwnPod | None:
    """The pod that this process is in, None outside a cluster, or where its service account is not mounted.

    The variables POD_NAMESPACE, POD_NAME and NODE_NAME (the downward API) go before what the token says.
    """
    namespace = _read(mounted / "namespace")
    if SERVER_VARIABLE not in environment or not namespace:
        return None
    claims = _claims(_read(mounted / "token"))
    return OwnPod(
        environment.get("POD_NAMESPACE") or claims.place.namespace or namespace,
        environment.get("POD_NAME") or claims.place.pod.name or socket.gethostname(),
        environment.get("NODE_NAME") or claims.place.node.name,
        claims.sub,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _claims(token: str) -> _Claims:
    """What ``token``, a JSON Web Token, claims. It is our own: nobody has to be convinced that it is genuine."""
    _, _, rest = token.partition(".")
    body = rest.partition(".")[0]
    try:
        return msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Claims)
    except (msgspec.MsgspecError, ValueError):
        return _Claims()
