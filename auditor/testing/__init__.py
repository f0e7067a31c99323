"""The auditor in people's own tests: ``netpol_manifests``, ``netpol_lab``, ``netpol_cluster`` and ``netpol_cells``.

docs/testing.md says how they are used, with pytest and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.testing.netpol import InconclusiveError, Netpol, NetpolWarning, Reached, netpol_cells

__all__ = [
    "InconclusiveError",
    "Netpol",
    "NetpolWarning",
    "Reached",
    "netpol_cells",
    "netpol_lab",
    "netpol_manifests",
]
_OF_NETPOL = ("InconclusiveError", "Netpol", "NetpolWarning", "Reached", "netpol_cells")


def netpol_manifests(*paths: str | Path, recursive: bool = True) -> Netpol:
    """Questions about the manifests at ``paths``, answered by the evaluator: no packet is sent.

    Raises UsageError and InputError for what can't be read.
    """
    from auditor.testing.manifests import ManifestsBackend  # noqa: PLC0415 - imported by those who use it
    from auditor.testing.netpol import Netpol  # noqa: PLC0415 - see above

    return Netpol(ManifestsBackend([str(path) for path in paths], recursive=recursive))


def netpol_lab(path: str | Path, *, enforcers: Sequence[str] = ()) -> Netpol:
    """Questions about the embedded lab, built of the manifests in the directory ``path`` or of a scenario, answered by
    real packets. ``enforcers`` as ``audit run --enforcer`` takes them; none: one that follows the specification.

    Raises UsageError and InputError for what can't be read; ClusterError, once asked, where there can be no lab.
    """
    from auditor.testing.netpol import Netpol  # noqa: PLC0415 - imported by those who use it
    from auditor.testing.on_lab import lab_backend  # noqa: PLC0415 - see above

    return Netpol(lab_backend(str(path), enforcers))


def __getattr__(name: str) -> object:
    if name in _OF_NETPOL:
        from auditor.testing import netpol  # noqa: PLC0415 - imported by those who use it

        return getattr(netpol, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
