"""The suite's own hand on the cluster: kubectl, so that a fault in the project's client can neither hide nor help
itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object, or part of one, as JSON has it."""

LONGEST_LINE = 1 << 24


class KubectlError(Exception):
    """kubectl ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig, of which it uses the current context."""

    kubeconfig: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": self.kubeconfig}

    def run(self, *arguments: str, text: str = "", patience: float = 120) -> str:
        """Its standard output. Raises KubectlError."""
        done = subprocess.run(
            ["kubectl", *arguments],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def items(self, resource: str, *arguments: str) -> list[Object]:
        """The objects of ``resource``: ``pods``, or several as ``pods,services``."""
        found: list[Object] = json.loads(self.run("get", resource, "-o", "json", *arguments))["items"]
        return found

    def get(self, resource: str, name: str, *arguments: str) -> Object:
        found: Object = json.loads(self.run("get", resource, name, "-o", "json", *arguments))
        return found

    def apply(self, objects: Iterable[Object]) -> None:
        """Create or change ``objects`` as one."""
        self.run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
            text=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects]}),
        )

    def delete_namespaces(self, names: Iterable[str]) -> None:
        """Delete these namespaces, and return when nothing of them is left."""
        self.run("delete", "namespace", "--ignore-not-found", "--wait", "--timeout=120s", *names, patience=150)

    async def start(self, *arguments: str) -> Process:
        """A kubectl that goes on; its standard input and output are pipes."""
        return await asyncio.create_subprocess_exec(
            "kubectl", *arguments, env=self.environment, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=LONGEST_LINE
        )


async def stop(process: Process) -> None:
    """End ``process`` if it still runs."""
    if process.returncode is None:
        process.kill()
    await process.wait()
