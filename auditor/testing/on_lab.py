"""Checks on the embedded lab: network namespaces of this machine, real packets, no cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from auditor.model.addresses import IPAddress
from auditor.model.dialect import Enforcement
from auditor.model.errors import InputError, Problem, UsageError
from auditor.model.intent import Intent
from auditor.probing.options import NoProgress
from auditor.run.lab import LabOptions, audit_lab
from auditor.run.naming import host_words
from auditor.run.planning import AuditOptions
from auditor.run.sources import load_scenario
from auditor.testing.audited import Audited, AuditedBackend, AuditRequest, reproduce
from auditor.testing.policies import replaced
from auditor.testing.running import run_to_end


class LabWorld:
    """The cluster of one scenario, or of the manifests in a directory, as the lab builds it for each audit."""

    def __init__(self, path: str, enforcers: Sequence[str] = ()) -> None:
        self._path = path
        self._enforcers = tuple(enforcers)
        self._scenario = load_scenario(path)
        if self._scenario.problems:
            raise InputError([Problem("its manifests are refused:", path), *self._scenario.problems])
        try:
            self._enforcement = Enforcement.parse(self._enforcers)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def audit(self, request: AuditRequest) -> Audited:
        """One audit, on a lab of its own."""
        snapshot = Intent((), request.hosts).with_hosts(self._scenario.snapshot)
        again = self._again(request.hosts)
        lab = LabOptions(replace(self._scenario, snapshot=snapshot), self._enforcement)
        options = AuditOptions(also=tuple(sorted(request.ports)))
        work = audit_lab(lab, options, self._path, lambda cell: reproduce(again, cell), NoProgress())
        return Audited(snapshot, snapshot, run_to_end(work), again)

    @contextmanager
    def applied(self, path: str) -> Iterator[None]:
        """The policies in ``path`` in force, in the place of those with the same names."""
        before = self._scenario
        self._scenario = replace(before, snapshot=replaced(before.snapshot, path))
        try:
            yield
        finally:
            self._scenario = before

    def _again(self, hosts: Mapping[str, Sequence[IPAddress]]) -> tuple[str, ...]:
        words = ["audit", "run", "--lab", self._path]
        for enforcer in self._enforcers:
            words += ["--enforcer", enforcer]
        return (*words, *host_words(hosts))


def lab_backend(path: str, enforcers: Sequence[str] = ()) -> AuditedBackend:
    """Checks on the lab of ``path``: a directory of manifests, or a scenario by its name or file."""
    world = LabWorld(path, enforcers)
    return AuditedBackend(world.audit, world.applied, "on the lab", lasting=True)
