"""What probe pods are called: after the workloads that they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from auditor.model.snapshot import Endpoint
from auditor.model.workloads import workload_name


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
