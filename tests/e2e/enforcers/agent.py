"""What runs on each node of the nftables enforcer: puts rulesets in force in the node's network namespace, and in its
pods'.

It is handed to ``python3 -c`` inside a privileged pod on the host's network, so it is one file of standard library.
With ``hold`` it is the pod's first process, which only waits and takes the rules away when the pod is ended; with
``serve`` it answers requests, one JSON object per line: ``{"id": 1, "node": RULES, "pods": {UID: RULES}}`` becomes
``{"id": 1, "error": ""}``. Rules outlive ``serve``, as those of any CNI outlive its controller.

nft comes from the pod's own image or, without it there, from the node, whose file system is mounted at /host.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

TABLE = "inet audit"
CLEAR = f"table {TABLE}\ndelete table {TABLE}\n"
ROOT = [] if shutil.which("nft") else ["chroot", "/host"]


def load(rules, network=""):
    """Run nft on ``rules``, in the network namespace at the path ``network`` if given. Returns what went wrong, or an
    empty text.
    """
    enter = ["nsenter", f"--net={network}"] if network else []
    done = subprocess.run([*ROOT, *enter, "nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    return done.stderr.strip()[:500] if done.returncode else ""


def network_of(uid):
    """The path of the network namespace of the pod ``uid``, as its processes show it; None when it has none here."""
    pattern = re.compile(f"pod{uid.replace('-', '[-_]')}")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if pattern.search(folder.joinpath("cgroup").read_text()):
                return str(folder / "ns" / "net")
        except OSError:
            continue
    return None


def answer(request):
    """What went wrong in all that ``request`` asks for. A pod that has gone meanwhile is no error."""
    problems = [load(request["node"])]
    for uid, rules in request["pods"].items():
        network = network_of(uid)
        problems += [load(rules, network)] if network else []
    return "; ".join(problem for problem in problems if problem)


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"id": request["id"], "error": answer(request)}), flush=True)


def hold():
    signal.sigwait({signal.SIGTERM})
    load(CLEAR)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM} if sys.argv[1] == "hold" else ())
    {"serve": serve, "hold": hold}[sys.argv[1]]()
