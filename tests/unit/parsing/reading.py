"""Short ways to read a text and to look at what came of it."""

import pytest

from auditor.model.errors import InputError, Problem
from auditor.model.policy import NetworkPolicy
from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source

POLICY = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"
"""Three lines: what follows stands on line 4."""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def read(text: str | bytes, name: str = "f.yaml", **options: object) -> Snapshot:
    data = text if isinstance(text, bytes) else text.encode()
    return read_snapshot([Source(name, data)], **options)  # type: ignore[arg-type]


def problems(text: str | bytes, name: str = "f.yaml") -> list[Problem]:
    with pytest.raises(InputError) as caught:
        read(text, name)
    assert all("\n" not in problem.message for problem in caught.value.problems)
    return caught.value.problems


def only_problem(text: str | bytes, name: str = "f.yaml") -> Problem:
    found = problems(text, name)
    assert len(found) == 1, found
    return found[0]


def policy(spec: str) -> NetworkPolicy:
    (read_policy,) = read(POLICY + spec).policies
    return read_policy


def names(snapshot: Snapshot) -> list[str]:
    return [endpoint.name for endpoint in snapshot.endpoints]
