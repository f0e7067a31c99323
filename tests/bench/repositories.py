"""A repository of 9,000 files, as those of teams that deploy from git look, and what reading it takes.

Most of its files are no objects on which verdicts hang: kustomizations, releases of charts, custom resources, values,
workflows, templates, and data. The shares are about those of the public repositories that ship NetworkPolicies."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import measured, say

FILES = 9_000
LIMIT = 4.0
LINES = 30


def _object(kind: str, version: str, number: int, body: str = "") -> str:
    labels = "".join(f"    label-{each}: value-{each}\n" for each in range(3))
    return (
        f"---\n# {kind} {number}\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: thing-{number}\n"
        f"  namespace: team-{number % 40}\n  labels:\n    app: app-{number % 90}\n{labels}{body}"
    )


def _settings(number: int, indent: str = "  ") -> str:
    return "".join(f"{indent}setting-{each}:\n{indent}  enabled: true\n{indent}  size: {number}\n" for each in range(8))


def _deployment(number: int) -> str:
    return _object(
        "Deployment",
        "apps/v1",
        number,
        f"spec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app: app-{number % 90}\n  template:\n"
        f"    metadata:\n      labels:\n        app: app-{number % 90}\n    spec:\n"
        "      containers:\n      - name: main\n"
        "        image: registry.example/app:1\n        ports:\n        - containerPort: 8080\n        env:\n"
        + "".join(f"        - name: VARIABLE_{each}\n          value: '{each}'\n" for each in range(8)),
    )


def _service(number: int) -> str:
    return _object("Service", "v1", number, f"spec:\n  selector:\n    app: app-{number % 90}\n  ports:\n  - port: 80\n")


def _policy(number: int) -> str:
    return _object(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        number,
        f"spec:\n  podSelector:\n    matchLabels:\n      app: app-{number % 90}\n  ingress:\n  - from:\n"
        f"    - podSelector:\n        matchLabels:\n          app: app-{(number + 1) % 90}\n"
        "    ports:\n    - port: 8080\n",
    )


def _kustomization(number: int) -> str:
    resources = "".join(f"- thing-{number}-{each}.yaml\n" for each in range(4))
    return f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{resources}"


def _release(number: int) -> str:
    return _object("HelmRelease", "helm.toolkit.fluxcd.io/v2", number, f"spec:\n  values:\n{_settings(number, '    ')}")


def _custom(number: int) -> str:
    return _object("ExternalSecret", "external-secrets.io/v1", number, f"spec:\n{_settings(number)}")


def _config_map(number: int) -> str:
    lines = "".join(f"    line {each} of a script && more of it\n" for each in range(LINES))
    return _object("ConfigMap", "v1", number, f"data:\n  script: |\n{lines}")


def _template(number: int) -> str:
    return _object("Deployment", "apps/v1", number, "spec:\n  replicas: {{ .Values.replicas }}\n{{- if .Values.x }}\n")


def _values(number: int) -> str:
    return f"replicas: {number}\nsettings:\n{_settings(number)}"


def _workflow(number: int) -> str:
    steps = "".join(f"    - name: step {each}\n      run: make part-{each}\n" for each in range(6))
    return f"name: build {number}\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"


def _data(number: int) -> str:
    panels = [{"id": each, "title": f"panel {each} of {number}", "targets": [{"expr": "up"}]} for each in range(20)]
    return json.dumps({"panels": panels, "version": number}, indent=2)


SHARES: tuple[tuple[int, str, Callable[[int], str]], ...] = (
    (26, "kustomization.yaml", _kustomization),
    (14, "release.yaml", _release),
    (16, "custom.yaml", _custom),
    (8, "deployment.yaml", _deployment),
    (6, "service.yaml", _service),
    (2, "policy.yaml", _policy),
    (8, "config.yaml", _config_map),
    (6, "templates/deployment.yaml", _template),
    (6, "values.yaml", _values),
    (4, ".github/workflows/build.yaml", _workflow),
    (4, "dashboard.json", _data),
)
"""Of a hundred files: how many, their name, and what is in one."""


def write_repository(root: Path, files: int) -> None:
    """Write about ``files`` files below ``root``."""
    for share, name, make in SHARES:
        for number in range(files * share // 100):
            path = root / f"area-{number % 7}" / f"thing-{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(make(number), encoding="utf-8")


def run() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder), FILES)
        command = [sys.executable, "-m", "auditor", "expect", "-f", folder, "-R", "--ports", "TCP/8080", "-o", "json"]
        measured(command)
        seconds, memory, code = min(measured(command) for _ in range(3))
    say(
        f"expect -R of a repository with {FILES:,} files",
        f"{seconds:.2f} s",
        f"limit {LIMIT:g} s: {seconds / LIMIT:.2f}; {memory:.0f} MiB, exit {code}",
    )


if __name__ == "__main__":
    run()
