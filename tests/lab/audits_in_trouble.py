"""``audit run`` as a process of its own to which things happen: its agents found and ended, and whatever it leaves
found.
"""

import json
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from auditor.run.sources import load_scenario
from tests.lab.lab_rig import ROOT
from tests.lab.troubled_lab import users_of
from tests.unit.cli.audit_process import environment

LOOKS = 3000
COMMAND = (sys.executable, "-m", "auditor")
SHORT = ("run", "--lab", "demo", "--ports", "TCP/8080,UDP/53", "--settle", "0.5")


class Trouble:
    """One ``audit`` process. Everything that it starts carries a mark of its own in its environment."""

    def __init__(self, *arguments, command=COMMAND, output="json", **options):
        self.mark = f"AUDIT_MARK={uuid.uuid4()}"
        formatted = ("-o", output) if output else ()
        name, value = self.mark.split("=")
        self.networks = set()
        self.process = subprocess.Popen(
            [*command, *map(str, arguments), *formatted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**{name: value, "PYTHONPATH": str(ROOT)}),
            start_new_session=True,
            **options,
        )

    def read_until(self, phase):
        """Read the progress until ``phase`` begins."""
        seen = []
        for line in self.process.stderr:
            seen.append(line.decode())
            if seen[-1].startswith(phase):
                return
        raise AssertionError(f"it ended before it told {phase!r}: {seen}")

    def processes(self):
        """The processes that carry the mark, itself aside, and their network namespaces."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                with suppress(OSError):
                    if self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = str((entry / "ns/net").readlink())
        self.networks |= set(found.values()) - {str(Path("/proc/self/ns/net").readlink())}
        return found

    def agent_of(self, endpoint):
        """The process id of the agent that has an address of ``endpoint`` of the demo."""
        (found,) = [e for e in load_scenario("demo").snapshot.endpoints if e.name == endpoint]
        wanted = f"|-- {found.addresses[0]}\n"
        holders = [pid for pid in self.processes() if wanted + "           /32 host LOCAL" in _fib(pid)]
        (agent,) = holders
        return agent

    def finish(self):
        """Wait for its end; its exit code, and its report or, without one, None."""
        shown, said = self.process.communicate(timeout=100)
        self.said = said.decode()
        return self.process.returncode, json.loads(shown) if shown.startswith(b"{") else None

    def leaves_nothing(self):
        """Whether, after a bounded wait, none of its processes and network namespaces is left."""
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        return until(lambda: not self.processes()) and until(lambda: not users_of(self.networks, ended))


@contextmanager
def trouble(*arguments, **options):
    """A ``Trouble`` that is gone when the test is over."""
    one = Trouble(*arguments, **options)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
        one.process.communicate()


def until(condition):
    """Whether ``condition`` comes true. Looks are counted and not seconds: a machine that stood still gets as many."""
    for _ in range(LOOKS):
        if condition():
            return True
        time.sleep(0.02)
    return False


def agent_at(lab, site):
    """The process id of the agent at ``site`` of a lab of this process."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    parents = dict(zip(map(int, found[::2]), map(int, found[1::2]), strict=True))
    inside = {pid for pid, parent in parents.items() if parents.get(parent) == lab.pid}
    (agent,) = [pid for pid in inside if f"|-- {site.addresses[0]}\n           /32 host LOCAL" in _fib(pid)]
    return agent


def _fib(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/net/fib_trie").read_text()
    return ""
