"""Finds the system's tools, or says how to get them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from auditor.model.errors import ClusterError

SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
"""Searched after PATH, since a plain user's PATH on Debian lacks the first two."""

_PACKAGES: Mapping[str, str] = {"ip": "iproute2", "nft": "nftables"}


def find_tools() -> tuple[str, str]:
    """The paths of ``ip`` and ``nft``. Raises ClusterError, naming the packages, when one is missing."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES])
    found = {tool: shutil.which(tool, path=path) for tool in _PACKAGES}
    missing = [tool for tool, place in found.items() if place is None]
    if missing:
        packages = " ".join(_PACKAGES[tool] for tool in missing)
        raise ClusterError(f"lab: {' and '.join(missing)} not found: apt-get install {packages}")
    return str(found["ip"]), str(found["nft"])
