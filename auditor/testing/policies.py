"""The policies in a file that a test puts in force for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.model.errors import UsageError
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.run.sources import load_sources


def policies_in(path: str) -> tuple[NetworkPolicy, ...]:
    """The policies in the file or directory ``path``. Raises UsageError where there is none."""
    policies = read_snapshot(load_sources([path])).policies
    if not policies:
        raise UsageError(f"{path}: no NetworkPolicy in it")
    return policies


def replaced(snapshot: Snapshot, path: str) -> Snapshot:
    """``snapshot`` with the policies in ``path``, in the place of those with the same names.

    Raises UsageError for one in a namespace that ``snapshot`` doesn't have.
    """
    new = policies_in(path)
    require_namespaces(snapshot, [policy.namespace for policy in new])
    names = {policy.full_name for policy in new}
    kept = tuple(policy for policy in snapshot.policies if policy.full_name not in names)
    unknown = tuple(policy for policy in snapshot.unknown if policy.full_name not in names)
    return replace(snapshot, policies=(*kept, *new), unknown=unknown)


def require_namespaces(snapshot: Snapshot, namespaces: Sequence[str]) -> None:
    """Raise UsageError for one that ``snapshot`` doesn't have: nothing is wrong in a namespace that isn't there."""
    for name in namespaces:
        if name not in snapshot.namespaces:
            raise UsageError(f"no namespace {name!r}; there are: {', '.join(sorted(snapshot.namespaces))}")
