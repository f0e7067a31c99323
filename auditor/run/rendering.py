"""Manifests that other programs on the PATH render: kustomizations by kubectl or kustomize, charts by helm."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from auditor.model.errors import UsageError, system_reason
from auditor.parsing.source import Source

KUSTOMIZERS = (("kubectl", "kustomize"), ("kustomize", "build"))
"""Each renders a kustomization whose directory comes last; the first that is there is taken."""
LONGEST_SECONDS = 300


def render_kustomization(directory: str) -> Source:
    """What the kustomization in ``directory`` comes to. Raises UsageError when it can't be rendered."""
    for command in KUSTOMIZERS:
        if shutil.which(command[0]):
            return _render([*command, directory])
    raise UsageError(
        f"-k {directory}: neither kubectl nor kustomize is on the PATH: install one, or render it elsewhere and "
        "give -f -"
    )


def render_chart(chart: str, values: Sequence[str], namespace: str) -> Source:
    """What ``chart`` comes to with the files ``values``, in ``namespace`` (empty: none is told). Raises UsageError when
    it can't be rendered.
    """
    if not shutil.which("helm"):
        raise UsageError(
            f"--helm {chart}: helm is not on the PATH: install it, or render the chart elsewhere and give -f -"
        )
    options = [word for file in values for word in ("--values", file)]
    return _render(["helm", "template", chart, *options, *(["--namespace", namespace] if namespace else [])])


def _render(command: Sequence[str]) -> Source:
    name = " ".join(command)
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=LONGEST_SECONDS, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise UsageError(f"{name}: {system_reason(error)}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{name}: no end after {LONGEST_SECONDS} s: render it elsewhere and give -f -") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
        raise UsageError(f"{name} failed: {last}")
    return Source(name, done.stdout)
