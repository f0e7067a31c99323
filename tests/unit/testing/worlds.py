"""Manifests that tests of tests are about."""

from __future__ import annotations

from pathlib import Path

SHOP = Path(__file__).parents[3] / "examples" / "shop"

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: prod}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{{more}containers: [{{name: main, image: x, ports: [{{containerPort: {port}, name: main}}]}}]}}
---
"""
NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: prod}}\n---\n"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: db, namespace: prod}
spec: {selector: {app: db}, ports: [{port: 15432, targetPort: main}]}
---
"""
ONLY_WEB = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{protocol: TCP, port: 5432}]
"""
NOBODY = ONLY_WEB.partition("  ingress:\n")[0]
PODS = "".join(
    [
        NAMESPACE,
        *(DEPLOYMENT.format(name=name, port=port, more="") for name, port in (("web", 80), ("db", 5432), ("job", 80))),
        DEPLOYMENT.format(name="node", port=9100, more="hostNetwork: true, "),
        SERVICE,
    ]
)


def written(directory: Path, *texts: str) -> str:
    """The path of a directory with these manifests."""
    directory.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (directory / f"{number}.yaml").write_text(text)
    return str(directory)
