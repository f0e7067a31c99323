"""The cluster as the oracle needs it, read with kubectl."""

from __future__ import annotations

import json

from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.e2e.kubectl import Kubectl

KINDS = "namespaces,nodes,pods,services,networkpolicies"


def read_world(kubectl: Kubectl) -> Snapshot:
    """Everything in the cluster now."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": kubectl.items(KINDS, "--all-namespaces")})
    return read_snapshot([Source("cluster", text.encode())])
