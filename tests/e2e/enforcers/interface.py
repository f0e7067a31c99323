"""What the suite needs of whatever enforces policies, so that the tests need not know what it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.e2e.kubectl import Kubectl


class Enforcer(Protocol):
    """Something that enforces policies, or doesn't: entered with ``with``, which leaves nothing behind."""

    dialects: bool
    """Whether ``use`` can make it misunderstand."""

    def use(self, *enforcers: str) -> None:
        """Enforce as ``enforcers`` say (``auditor.model.dialect.Enforcement.parse``; none: the specification) from now
        on.
        """

    def settle(self) -> None:
        """Return once every policy and pod that there is now is in force, as far as that can be known."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class ClusterNetwork:
    """A cluster whose own network enforces policies."""

    dialects = False

    def use(self, *enforcers: str) -> None:
        if enforcers not in ((), ("spec",)):
            raise AssertionError(f"the cluster's own network can't be told to be {enforcers}")

    def settle(self) -> None:
        """Nothing can be known: the audit waits for enforcers by probing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing was put in."""


class GivenEnforcer(ClusterNetwork):
    """Any other enforcer: a manifest, which is applied, or a programme, which is run with KUBECONFIG set until its
    input ends.

    A programme says ``ready`` on a line of its own once it enforces. It can't be told to misunderstand.
    """

    def __init__(self, kubectl: Kubectl, path: Path) -> None:
        self._kubectl = kubectl
        self._path = path
        self._programme: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if os.access(self._path, os.X_OK):
            pipe = subprocess.PIPE
            self._programme = subprocess.Popen(
                [self._path], stdin=pipe, stdout=pipe, env=self._kubectl.environment, text=True
            )
            assert self._programme.stdout is not None
            assert any(line.strip() == "ready" for line in self._programme.stdout), (
                f"{self._path} ended before it was ready"
            )
        else:
            self._kubectl.run("apply", "-f", str(self._path))
            self._wait()
        return self

    def _wait(self) -> None:
        for workload in self._kubectl.run("get", "-f", str(self._path), "-o", "name").split():
            if workload.startswith(("daemonset.apps/", "deployment.apps/")):
                for namespace in self._namespaces():
                    self._kubectl.run("rollout", "status", "-n", namespace, workload, "--timeout=180s", patience=200)

    def _namespaces(self) -> Sequence[str]:
        path = "{range .items[*]}{.metadata.namespace}{'\\n'}{end}"
        found = self._kubectl.run("get", "-f", str(self._path), "-o", f"jsonpath={path}").split()
        return sorted(set(found))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._programme is not None:
            self._programme.communicate(timeout=60)
        else:
            self._kubectl.run("delete", "--ignore-not-found", "--wait", "-f", str(self._path))
