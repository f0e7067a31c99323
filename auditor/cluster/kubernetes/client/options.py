"""What a user can say about the connection; apart from ``config``, so that a run which has no cluster doesn't pay for
the client library.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What a user can say about the connection. ``request_timeout`` is in seconds, None for no limit; ``qps`` in
    requests per second.
    """

    kubeconfig: str | None = None
    context: str | None = None
    impersonate: str | None = None
    request_timeout: float | None = 30.0
    qps: float = 50.0
