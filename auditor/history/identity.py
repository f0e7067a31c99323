"""What a finding and its ends are called from night to night, whatever pods, runs and files are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from auditor.model.labels import Labels
from auditor.model.night import Connection
from auditor.model.snapshot import Endpoint
from auditor.model.workloads import workload_name

PLACE = re.compile(r" \([^()]*:\d+\)")
"""File and line after the name of a policy or rule: they change when a file is edited or moved."""

OF_SINGLE_PODS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "job-name",
        "controller-uid",
    }
)
"""Labels that controllers give to single pods, or anew with each rollout."""


def workloads_of(endpoint: Endpoint) -> tuple[str, ...]:
    """The workloads that ``endpoint`` stands for, sorted: mostly its own, ``NAMESPACE/NAME``."""
    return tuple(sorted(set(endpoint.stands_for))) or (workload_name(endpoint),)


def stable_labels(labels: Labels) -> dict[str, str]:
    """``labels`` without those of single pods."""
    return {key: labels[key] for key in sorted(labels) if key not in OF_SINGLE_PODS}


def stable_reason(expected_by: Iterable[str]) -> tuple[str, ...]:
    """What decided, without the places in files."""
    return tuple(PLACE.sub("", line) for line in expected_by)


def finding_id(kind: str, reason: Iterable[str]) -> str:
    """The identity of a finding: 12 hexadecimal digits."""
    return _digest((kind, *reason))


def fingerprint(connections: Iterable[Connection | str]) -> str:
    """What changes with any of the connections that a finding is made of: 12 hexadecimal digits."""
    return _digest(sorted(map(str, set(connections))))


def _digest(texts: Iterable[str]) -> str:
    return sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:12]
