"""The cluster as the oracle needs it, read with kubectl."""

from __future__ import annotations

import json

from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.e2e.enforcers.mirror import OF_ADMINISTRATORS
from tests.e2e.kubectl import Kubectl

KINDS = "namespaces,nodes,pods,services,networkpolicies"


def read_world(kubectl: Kubectl) -> Snapshot:
    """Everything in the cluster now."""
    items = kubectl.items(KINDS, "--all-namespaces")
    defined = {each["metadata"]["name"] for each in kubectl.items("customresourcedefinitions")}
    items += [item for kind in OF_ADMINISTRATORS.keys() & defined for item in kubectl.items(kind)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    return read_snapshot([Source("cluster", text.encode())])
