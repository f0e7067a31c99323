"""The auditor in people's own tests: ``netpol_manifests``, ``netpol_lab``, ``netpol_cluster`` and ``netpol_cells``.

docs/testing.md says how they are used, with pytest and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.model.checks import ExpectedCheck
    from auditor.testing.netpol import InconclusiveError, Netpol, NetpolWarning, Reached, netpol_cells

__all__ = [
    "ExpectedCheck",
    "InconclusiveError",
    "Netpol",
    "NetpolWarning",
    "Reached",
    "netpol_cells",
    "netpol_cluster",
    "netpol_lab",
    "netpol_manifests",
]
_OF_NETPOL = ("ExpectedCheck", "InconclusiveError", "Netpol", "NetpolWarning", "Reached", "netpol_cells")


def netpol_manifests(*paths: str | Path, recursive: bool = True, pod_networks: Sequence[str] = ()) -> Netpol:
    """Questions about the manifests at ``paths``, answered by the evaluator: no packet is sent.

    ``pod_networks`` are the ranges that pods of the cluster have their addresses from, such as 10.244.0.0/16: manifests
    don't give them, and an ipBlock could be about any pod. Raises UsageError and InputError for what can't be read.
    """
    from auditor.testing.manifests import ManifestsBackend  # noqa: PLC0415 - imported by those who use it
    from auditor.testing.netpol import Netpol  # noqa: PLC0415 - see above

    networks = [ip_network(text) for text in pod_networks]
    return Netpol(ManifestsBackend([str(path) for path in paths], recursive=recursive, pod_networks=networks))


def netpol_lab(path: str | Path, *, enforcers: Sequence[str] = ()) -> Netpol:
    """Questions about the embedded lab, built of the manifests in the directory ``path`` or of a scenario, answered by
    real packets. ``enforcers`` as ``audit run --enforcer`` takes them; none: one that follows the specification.

    Raises UsageError and InputError for what can't be read; ClusterError, once asked, where there can be no lab.
    """
    from auditor.testing.netpol import Netpol  # noqa: PLC0415 - imported by those who use it
    from auditor.testing.on_lab import lab_backend  # noqa: PLC0415 - see above

    return Netpol(lab_backend(str(path), enforcers))


def netpol_cluster(  # noqa: PLR0913 - each is one thing to choose, by keyword
    kubeconfig: str | Path | None = None,
    *,
    context: str | None = None,
    namespaces: Sequence[str] = (),
    image: str | None = None,
    all_pods: bool = False,
    shared: Path | None = None,
) -> Netpol:
    """Questions about a live cluster, answered by probe pods that are there for one audit.

    ``namespaces`` are those whose pods are audited, against all others (none: all). ``all_pods``: a probe pod for each
    of these pods, rather than one for all that no policy tells apart. ``shared``: a directory by which processes share
    audits. Once asked, raises ClusterError where there is no cluster, permission, image or room.
    """
    from auditor.cluster.kubernetes.client.options import ConnectionOptions  # noqa: PLC0415 - when used
    from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE  # noqa: PLC0415 - see above
    from auditor.testing.netpol import Netpol  # noqa: PLC0415 - see above
    from auditor.testing.on_cluster import ClusterOptions, cluster_backend  # noqa: PLC0415 - see above

    connection = ConnectionOptions(None if kubeconfig is None else str(kubeconfig), context)
    options = ClusterOptions(connection, tuple(namespaces), image or DEFAULT_IMAGE, all_pods)
    return Netpol(cluster_backend(options, shared))


def __getattr__(name: str) -> object:
    if name in _OF_NETPOL:
        from auditor.testing import netpol  # noqa: PLC0415 - imported by those who use it

        return getattr(netpol, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
