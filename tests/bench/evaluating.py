"""The evaluator and ``audit expect``, as functions and as whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.clusters import cluster, manifests
from tests.bench.measure import in_turns, process, say

AUDIT = [sys.executable, "-m", "auditor"]
READ_ONLY = "import sys, yaml; list(yaml.load_all(open(sys.argv[1]), yaml.CSafeLoader))"
EVALUATE = """
import resource, sys, time
from auditor.policy.evaluator import evaluate
from tests.bench.clusters import cluster
snapshot = cluster(*map(int, sys.argv[1:]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
matrix = evaluate(snapshot)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(matrix.classes), len(matrix.atoms))
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
        say("  --expand --ports TCP/80: 160,000 cells", f"{expanded:.2f} s", f"{expanded / reading:.2f} x {beside}; limit 3 s")
    seconds, memory = {}, {}
    for pods in (10_000, 20_000):
        answer = subprocess.run(
            [sys.executable, "-c", EVALUATE, str(pods), "100", "1000"], capture_output=True, text=True, check=True
        ).stdout.split()
        seconds[pods], memory[pods] = float(answer[0]), float(answer[1])
        say(
            f"evaluate, all ports: {pods} pods, 1000 policies, {answer[2]} classes, {answer[3]} atoms",
            f"{seconds[pods]:.2f} s",
            "limit 3 s" if pods == 10_000 else "",
        )
        say("  peak memory of the process", f"{memory[pods]:.0f} MiB", "limit 1024 MiB" if pods == 10_000 else "")
    say("  twice the pods, same classes", f"{seconds[20_000] / seconds[10_000]:.2f} x", "limit 2 x")


if __name__ == "__main__":
    run()
