"""What the auditor puts into a cluster in place of the workload pods: which pods, with which identity, where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from auditor.model.labels import Labels
from auditor.model.ports import ContainerPort
from auditor.model.verdict import Cell

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


class Newcomer(NamedTuple):
    """One more probe pod, on the same node as the one called ``like`` and alike to every policy, and what should be
    closed to it over TCP: what it ``sends`` is tried from its first moment on, what it ``receives`` once its address
    is known.
    """

    like: str
    sends: tuple[Cell, ...]
    receives: tuple[Cell, ...]


MOST_COPIES = 2
"""How many further pods an audit has come to tell causes apart, at most."""


class Copy(NamedTuple):
    """One more pod called ``name`` on ``node``, with the labels and ports of the one called ``like``."""

    name: str
    like: str
    node: str


class Room(NamedTuple):
    """So many further ``pods`` may come, to these ``nodes`` (bare names)."""

    pods: int = 0
    nodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FirstMoments:
    """What newcomers saw of what they ``send``, and what was seen of what they ``receive``, in seconds since their
    start; ``pods`` of them came.
    """

    sends: Mapping[Cell, AfterStart] = field(default_factory=dict)
    receives: Mapping[Cell, AfterStart] = field(default_factory=dict)
    pods: int = 0
