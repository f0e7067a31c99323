"""The lab's nftables enforcer on a real cluster: a DaemonSet of pods that put rules in force, and the controller that
sends them.

It needs nft, ip and, for the dialects that filter inside pods, nsenter: from the image ``--e2e-node-image``, which has
Python in any case, or else from the nodes themselves, as kind's nodes have them. It polices the namespaces of the suite
and no others; administrators' policies are enforced for whatever pods they are for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.e2e.enforcers.controller import AGENT
from tests.e2e.enforcers.mirror import OF_ADMINISTRATORS
from tests.e2e.kubectl import Kubectl, Object

NAMESPACE = "e2e-enforcer"
LABELS = {"app": "e2e-node-agent"}


class NftablesEnforcer:
    """The enforcer, every dialect of it."""

    dialects = True

    def __init__(self, kubectl: Kubectl, image: str, policed: Sequence[str]) -> None:
        self._kubectl = kubectl
        self._image = image
        self._policed = policed
        self._controller: subprocess.Popen[str] | None = None

    def use(self, *enforcers: str) -> None:
        self._ask({"use": list(enforcers)})

    def settle(self) -> None:
        found: dict[str, dict[str, str]] = {"pods": {}, "networkpolicies": {}}
        for namespace in (name for name in self._policed if "*" not in name):
            for item in self._kubectl.items("pods,networkpolicies", "-n", namespace):
                kind = "pods" if item["kind"] == "Pod" else "networkpolicies"
                found[kind][f"{namespace}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        for definition in self._kubectl.items("customresourcedefinitions"):
            if (kind := definition["metadata"]["name"]) in OF_ADMINISTRATORS:
                items = [item["metadata"] for item in self._kubectl.items(kind)]
                found[kind] = {item["name"]: item["resourceVersion"] for item in items}
        self._ask({"await": found})

    def _ask(self, request: Object) -> None:
        controller = self._controller
        assert controller is not None
        assert controller.stdin is not None
        assert controller.stdout is not None
        controller.stdin.write(json.dumps(request) + "\n")
        controller.stdin.flush()
        answer = controller.stdout.readline()
        assert answer, f"the enforcer's controller ended with {controller.poll()}"
        assert not json.loads(answer)["error"], json.loads(answer)["error"]

    def __enter__(self) -> Self:
        self._kubectl.delete_namespaces([NAMESPACE])
        self._kubectl.apply([namespace(), daemon_set(self._image)])
        self._kubectl.run("rollout", "status", "-n", NAMESPACE, "daemonset/node-agent", "--timeout=120s", patience=150)
        argv = [
            sys.executable,
            "-m",
            "tests.e2e.enforcers.controller",
            self._kubectl.kubeconfig,
            NAMESPACE,
            *self._policed,
        ]
        self._controller = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.use()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        controller = self._controller
        assert controller is not None
        try:
            if controller.poll() is None:
                self.use("enforces-nothing")
        finally:
            controller.communicate(timeout=30)
            self._kubectl.delete_namespaces([NAMESPACE])


def namespace() -> Object:
    """The namespace of the agents, whose pods are privileged."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def daemon_set(image: str) -> Object:
    """An agent on every node, whatever its taints."""
    container = {
        "name": "agent",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", AGENT, "hold"],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "host", "mountPath": "/host", "mountPropagation": "HostToContainer"}],
    }
    pod = {
        "hostNetwork": True,
        "hostPID": True,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 10,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    }
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "node-agent", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template},
    }
