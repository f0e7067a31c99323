"""What the auditor puts into a cluster in place of the workload pods: which pods, with which identity, where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from auditor.model.labels import Labels
from auditor.model.ports import ContainerPort

MAX_PROBE_PODS = 100
"""How many an audit creates at most, in all namespaces together, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class ProbePod:
    """One probe pod to create.

    ``name`` is what people read and the name of its endpoint, unique in a run: ``prod/web`` or ``prod/web@worker-1``;
    the pod object gets a name of its own. ``labels`` is the identity: as few of the workload's labels as policies need
    to treat both alike. ``ports`` are the declared ports to mirror. ``node`` is the bare name of the node to run on,
    empty for any. ``stands_for`` names the endpoints of the cluster's snapshot that it represents.
    """

    name: str
    namespace: str
    labels: Labels
    ports: tuple[ContainerPort, ...]
    node: str
    stands_for: tuple[str, ...]


class AfterStart(NamedTuple):
    """What a new pod saw of one target by the time that it was ``age`` seconds old: when it ``began`` to try, and when
    the last try began that got through (None: none did).
    """

    age: float
    began: float
    open_until: float | None
