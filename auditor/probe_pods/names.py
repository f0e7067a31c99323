"""What probe pods are called: people think in workloads, not in the names that controllers make up for their pods."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from auditor.model.snapshot import Endpoint

TEMPLATE_HASH = "pod-template-hash"
SCHEDULED_JOB = re.compile(r"(.+)-\d{8,10}\Z")
"""The CronJob controller ends the name of each Job with the minute that it was scheduled for."""


def workload_name(endpoint: Endpoint) -> str:
    """``NAMESPACE/WORKLOAD`` of a pod, or its own name where it has no controller or, as a mirror of a static pod, a
    node for one.

    Of the controller's name, what differs from one rollout or scheduled run to the next is left out.
    """
    kind, _, name = endpoint.workload.partition("/")
    if not name or kind == "Node":
        return endpoint.name
    template_hash = endpoint.labels.get(TEMPLATE_HASH)
    if kind == "ReplicaSet" and template_hash and name.endswith(f"-{template_hash}"):
        name = name.removesuffix(f"-{template_hash}")
    elif kind == "Job" and (scheduled := SCHEDULED_JOB.match(name)):
        name = scheduled[1]
    return f"{endpoint.namespace}/{name}" if name else endpoint.name


def unique_names(models: Sequence[Endpoint], *, by_node: bool) -> list[str]:
    """A name for a probe pod after each of ``models``, all different: the workload's, and where several share it a
    number after it.

    With ``by_node`` those that share a name get their node's name first, after an ``@``. Depends on no order but that
    of ``models``.
    """
    names = [workload_name(model) for model in models]
    if by_node:
        shared = Counter(names)
        names = [
            f"{name}@{model.node}" if shared[name] > 1 and model.node else name
            for name, model in zip(names, models, strict=True)
        ]
    taken = set(names)
    given: set[str] = set()
    unique = []
    for name in names:
        number = 2
        answer = name
        while answer in given or (answer != name and answer in taken):
            answer = f"{name}-{number}"
            number += 1
        given.add(answer)
        unique.append(answer)
    return unique
