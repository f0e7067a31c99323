"""The evaluator and ``audit expect``, as functions and as whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from auditor.policy.evaluator import evaluate
from tests.bench.clusters import administered, cluster, manifests
from tests.bench.measure import in_turns, process, say

AUDIT = [sys.executable, "-m", "auditor"]
READ_ONLY = "import sys, yaml; list(yaml.load_all(open(sys.argv[1]), yaml.CSafeLoader))"
LIMITED = 10_000
"""The number of pods that the limits are for."""
EVALUATE = """
import resource, sys, time
from auditor.policy.evaluator import evaluate
from tests.bench.clusters import cluster
snapshot = cluster(*map(int, sys.argv[1:4]), blocks=len(sys.argv) > 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
matrix = evaluate(snapshot)
seconds = time.perf_counter() - began
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(matrix.classes), len(matrix.atoms))
"""


def run() -> None:
    """Measure and print."""
    interpreter, command = in_turns(process([sys.executable, "-c", "import click"]), process([*AUDIT, "--help"]))
    say("audit --help", f"{command:.3f} s", f"{command / interpreter:.2f} x python -c 'import click'; limit 0.2 s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cluster.yaml"
        path.write_text("---\n".join(manifests(cluster(400, 20, 100))), encoding="utf-8")
        reading, classes, expanded = in_turns(
            process([sys.executable, "-c", READ_ONLY, str(path)]),
            process([*AUDIT, "expect", "-f", str(path), "-o", "json"]),
            process([*AUDIT, "expect", "-f", str(path), "-o", "json", "--expand", "--ports", "TCP/80"]),
        )
        beside = "reading the file with PyYAML's C loader alone"
        say(
            "audit expect -o json, 400 pods, 20 namespaces, 100 policies",
            f"{classes:.2f} s",
            f"{classes / reading:.2f} x {beside}; limit 1.5 s",
        )
        say(
            "  --expand --ports TCP/80: 160,000 cells",
            f"{expanded:.2f} s",
            f"{expanded / reading:.2f} x {beside}; limit 3 s",
        )
    twice = {pods: _evaluate(pods) for pods in (10_000, 20_000)}
    say("  twice the pods, same classes", f"{twice[20_000] / twice[10_000]:.2f} x", "limit 2 x")
    _evaluate(10_000, "with ipBlocks over pods")
    for blocks in (False, True):
        without = cluster(LIMITED, 100, 1000, blocks=blocks)
        those = administered(without, 200, blocks=blocks)
        alone, together = in_turns(partial(evaluate, without), partial(evaluate, those), rounds=3)
        what = "  with 200 of administrators"
        say(what + ", ipBlocks over pods" * blocks, f"{together / alone:.2f} x without them", "limit 2 x")


def _evaluate(pods: int, variant: str = "") -> float:
    """Evaluate a cluster in a process of its own, print what it took, and return the seconds."""
    command = [sys.executable, "-c", EVALUATE, str(pods), "100", "1000", *([variant] if variant else [])]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    seconds, memory, classes, atoms = sorted(runs, key=lambda run: float(run[0]))[1]
    limits = ("limit 3 s", "limit 1024 MiB") if pods == LIMITED else ("", "")
    say(f"evaluate, all ports: {pods} pods, 1000 policies {variant}".rstrip(), f"{float(seconds):.2f} s", limits[0])
    say(f"  {classes} classes, {atoms} atoms; peak memory of the process", f"{float(memory):.0f} MiB", limits[1])
    return float(seconds)


if __name__ == "__main__":
    run()
