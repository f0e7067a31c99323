"""A bystander sees honest probes and repeats, alters and relays them: no pair of others looks any different for it."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from auditor.cluster.lab.lab import Lab
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.probe_run import probe
from tests.lab.audits_in_trouble import agent_at
from tests.lab.lab_rig import NODES, ROOT, UDP, labelled, namespaces, receive, rule, world
from tests.unit.cli.audit_process import environment

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: entering the lab's namespaces needs root"),
]

WEB = "10.244.0.10"
SEEN, HONEST, ALLOWED = (Cell(source, "a/web", UDP, 80, Family.IPV4) for source in ("b/client", "a/db", "b/web"))
BYSTANDER = """
import re, socket, sys, time
from auditor.cluster.lab.isolation import enter_network

mode, source, own, web = sys.argv[1:]

def enter(pid):
    with open(f"/proc/{pid}/ns/net") as network:
        enter_network(network.fileno())

enter(own)
mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
enter(source)
eyes = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
eyes.bind(("eth0", 3))
feigned = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
feigned.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: speaks with the address of the destination
feigned.bind((web, 80))
eyes.settimeout(0.2)
mine.settimeout(0.2)
print("ready", flush=True)
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        packet = eyes.recv(2000)
    except TimeoutError:
        continue
    question = re.search(rb"audit\\? (?:[0-9a-f]{8} )?([0-9a-f]{8})([0-9a-f]{8}).*\\n", packet)
    if packet[9] != 17 or not question:
        continue
    mine.sendto(question.group(), (web, 80))
    if mode == "relays":
        try:
            feigned.sendto(mine.recv(2000), (socket.inet_ntoa(packet[12:16]), int.from_bytes(packet[20:22], "big")))
        except TimeoutError:
            pass
    else:  # guesses what others ask
        batch = int(question.group(1), 16)
        for other in range(batch - 12, batch + 13):
            for attempt in range(3):
                nonce = b"%08x%08x" % (other % (1 << 32), attempt)
                mine.sendto(question.group().replace(b"".join(question.groups()), nonce), (web, 80))
"""


class Watched(NoProgress):
    """Lets a bystander at ``own`` watch ``source`` from the first pass on."""

    def __init__(self, lab, mode, source, own):
        self.lab = lab
        self.arguments = mode, source, own
        self.process = None

    def phase(self, name, attempts):
        if name == "probing" and self.process is None:
            mode, *sites = self.arguments
            pids = [self._pid(name) for name in sites]
            command = [sys.executable, "-c", BYSTANDER, mode, *pids, WEB]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE)
            assert self.process.stdout.readline() == b"ready\n"

    def _pid(self, name):
        return str(next(agent_at(self.lab, site) for site in self.lab.sites if site.name == name))


@contextmanager
def watched(lab, mode):
    progress = Watched(lab, mode, "b/client", "b/web")
    try:
        yield progress
    finally:
        if progress.process:
            progress.process.kill()
            progress.process.communicate()


@pytest.mark.parametrize("mode", ["guesses", "relays"])
async def test_a_bystander_makes_nobody_look_as_if_he_reached_anybody(mode):
    snapshot = world(receive(rule(namespaces(labelled(team="blue"), labelled(app="web"))), app="web"))
    async with Lab(snapshot, nodes=NODES) as lab:
        with watched(lab, mode) as progress:
            outcome = await probe(
                [SEEN, HONEST, ALLOWED],
                lab.sites,
                lab.open,
                lambda cell: Verdict.ALLOWED if cell == ALLOWED else Verdict.DENIED,
                ProbingOptions(timeout=0.8, settle=0.0),
                progress,
                translators=snapshot.node_addresses,
            )
    seen = outcome.observations
    assert (seen[HONEST].verdict, seen[HONEST].outcome) == (Observed.DROPPED, "request-lost")
    assert (seen[ALLOWED].verdict, seen[ALLOWED].outcome) == (Observed.ALLOWED, "token")
    assert seen[SEEN].verdict is Observed.INCONCLUSIVE
    assert "reached its destination from 10.244.1.13, which is not its source" in seen[SEEN].outcome
