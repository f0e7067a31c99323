"""Single faults of the auditor's own means, each as something that is done to a running lab from outside.

None of them is a fault of what enforces the policies: whatever they keep from arriving would have arrived.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.lab.troubled_lab import TroubledLab

BEFORE, OPENED, DURING = "before", "opened", "during"
"""When a fault may strike: before any agent is there, when the victim's has just been started, or later on, in a phase
of the audit.
"""

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Scene:
    """Where a fault strikes: at ``site``, of an audit that sends to ``ports`` (number, whether UDP)."""

    troubled: TroubledLab
    site: str
    ports: list[tuple[int, bool]]
    random: Random
    severity: str = ""

    @property
    def agent(self) -> int:
        return self.troubled.agent(self.site)

    @property
    def inside(self) -> int:
        return self.troubled.index(self.site)

    @property
    def node(self) -> int:
        """The other end of the victim's link: its node, or the fabric."""
        return self.troubled.node_of(self.site) or 0

    @property
    def far_interface(self) -> str:
        if self.troubled.node_of(self.site):
            return self.troubled.interface_of(self.site)
        topology, index = self.troubled.topology, self.inside
        hosts = index - len(topology.nodes) - len(topology.links)
        return f"node{index}" if index <= len(topology.nodes) else f"host{index}" if hosts > 0 else ""

    @property
    def near_interface(self) -> str:
        return "uplink" if 1 <= self.inside <= len(self.troubled.topology.nodes) else "eth0"

    def addresses(self, family: int | None = None) -> list[str]:
        site = next(site for site in self.troubled.lab.sites if site.name == self.site)
        return [str(address) for address in site.addresses if family in (None, address.version)]


@dataclass(frozen=True)
class Fault:
    """``strike`` does it. ``words``: what names it in a report, as a regular expression. ``moments``: when it may
    strike.

    ``is_outage``: nobody can tell it from an enforcer that keeps apart what it shouldn't, so that an outage is what it
    is."""

    name: str
    strike: Callable[[Scene], None]
    words: str
    moments: tuple[str, ...] = (BEFORE, DURING)
    is_outage: bool = False


LOST = r"\blinks?\b|\bloss\b|\blost\b|overr|never heard|not heard|could be heard"
AGENT = r"agent of|can't tell|listener"


def killed(scene: Scene) -> None:
    os.kill(scene.agent, signal.SIGKILL)


def stopped(scene: Scene) -> None:
    os.kill(scene.agent, signal.SIGSTOP)


def stopped_for_a_while(scene: Scene) -> None:
    pid, seconds = scene.agent, scene.random.uniform(0.2, 3.0)
    scene.severity = f"{seconds:.1f} s"
    os.kill(pid, signal.SIGSTOP)
    scene.troubled.start("sh", "-c", f"sleep {seconds:.2f}; kill -CONT {pid}")


def slowed(scene: Scene) -> None:
    share = scene.random.choice((0.5, 0.8, 0.95))
    scene.severity = f"{share:.0%} of the time"
    _in_turns(scene, scene.agent, 0.2 * share, 0.2 * (1 - share), 12)


def _in_turns(scene: Scene, pid: int, off: float, on: float, seconds: float) -> None:
    turns = int(seconds / (off + on))
    loop = (
        f"for i in $(seq {turns}); do kill -STOP {pid}; sleep {off:.3f}; kill -CONT {pid} || exit; sleep {on:.3f}; done"
    )
    scene.troubled.start("sh", "-c", f"trap 'kill -CONT {pid}' EXIT; {loop}")


def link_down(scene: Scene) -> None:
    scene.troubled.inside(scene.node, "ip", "link", "set", scene.far_interface, "down")


def link_down_in_the_pod(scene: Scene) -> None:
    scene.troubled.inside(scene.inside, "ip", "link", "set", scene.near_interface, "down")


def link_flaps(scene: Scene) -> None:
    """Down for a while, without the loss of routes: frames vanish, as on a bridge that has forgotten its port."""
    seconds = scene.random.uniform(0.3, 4.0)
    scene.severity = f"{seconds:.1f} s"
    _drop(scene, "in", "")
    _drop(scene, "out", "")
    stop = "nft delete table inet trouble"
    scene.troubled.start("sh", "-c", f"sleep {seconds:.2f}; {stop}", index=scene.inside)
    if scene.node != scene.inside:
        scene.troubled.start("sh", "-c", f"sleep {seconds:.2f}; {stop}", index=scene.node)


def _drop(scene: Scene, way: str, match: str) -> None:
    """Lose what ``match`` says of the frames to (``in``) or from (``out``) the victim, as they arrive at the other end
    of its link.
    """
    where, interface = (scene.inside, scene.near_interface) if way == "in" else (scene.node, scene.far_interface)
    chain = (
        f"chain {way} {{\n type filter hook prerouting priority -310; policy accept;\n iifname {interface} "
        f"{match} drop\n}}"
    )
    scene.troubled.rules(where, chain)


def link_deaf(scene: Scene) -> None:
    _drop(scene, "in", "")


def link_mute(scene: Scene) -> None:
    _drop(scene, "out", "")


def one_family_dead(scene: Scene) -> None:
    family = scene.random.choice((4, 6))
    scene.severity = f"IPv{family}"
    for way in ("in", "out"):
        _drop(scene, way, f"meta nfproto ipv{family}")


def one_protocol_dead(scene: Scene) -> None:
    protocol, ways = scene.random.choice(("tcp", "udp")), scene.random.choice((("in",), ("out",), ("in", "out")))
    scene.severity = f"{protocol} {' and '.join(ways)}"
    for way in ways:
        _drop(scene, way, f"meta l4proto {protocol}")


def new_connections_dead(scene: Scene) -> None:
    """A firewall of the victim's own that lets pass what belongs to a connection, over one protocol or both."""
    protocols, way = scene.random.choice(("tcp", "udp", "{ tcp, udp }")), scene.random.choice(("in", "out"))
    scene.severity = f"{protocols} {way}"
    hook, interface = ("input", "iifname") if way == "in" else ("output", "oifname")
    match = f"{interface} {scene.near_interface} ct state new meta l4proto {protocols} drop"
    scene.troubled.rules(
        scene.inside, f"chain news {{\n type filter hook {hook} priority 0; policy accept;\n {match}\n}}"
    )


def closed_port_silent(scene: Scene) -> None:
    """A firewall on the victim's node says nothing of what is closed there."""
    scene.troubled.rules(
        scene.node,
        "chain closed {\n type filter hook output priority 0; policy accept;\n"
        " tcp flags & rst != 0 drop\n icmp type destination-unreachable drop\n"
        " icmpv6 type destination-unreachable drop\n}",
    )


def big_packets_dead(scene: Scene) -> None:
    """A black hole for large packets, both ways: smaller than any of ours at times."""
    least = scene.random.choice((150, 170, 300, 1280))
    scene.severity = f"from {least} bytes"
    for way in ("in", "out"):
        _drop(scene, way, f"meta length > {least}")


def duplicated(scene: Scene) -> None:
    """Every packet on the victim's link comes twice, both ways."""
    for where, interface in ((scene.inside, scene.near_interface), (scene.node, scene.far_interface)):
        rule = f'meta mark != 77 meta mark set 77 dup to "{interface}"'
        chain = f"chain twice {{ type filter hook egress device {interface} priority 0; {rule}; }}"
        scene.troubled.inside(where, "nft", "-f", "-", text=f"table netdev trouble {{\n{chain}\n}}\n")


def output_torn(scene: Scene) -> None:
    """Whoever else has the agent's standard output writes into it: half a line, garbage, or what looks like ours."""
    texts = (b'{"kind": "results", "ba', b"\0\xff\xfe\n", b"Segmentation fault\n", b'{"kind": "done"}\n', b"{}\n" * 50)
    text = scene.random.choice(texts)
    scene.severity = repr(text[:20])
    with borrowed(scene.agent) as sockets:
        for one in sockets:
            if one.family == socket.AF_UNIX:
                one.send(text)


def address_removed(scene: Scene) -> None:
    for address in scene.random.sample(found := scene.addresses(), scene.random.randint(1, len(found))):
        scene.troubled.inside(scene.inside, "ip", "addr", "del", address, "dev", scene.near_interface, check=False)


def own_route_removed(scene: Scene) -> None:
    for flag in ("-4", "-6"):
        scene.troubled.inside(scene.inside, "ip", flag, "route", "del", "default", check=False)


def node_route_removed(scene: Scene) -> None:
    for address in scene.addresses():
        scene.troubled.inside(scene.node, "ip", "route", "del", address, "dev", scene.far_interface, check=False)


def node_route_blackholed(scene: Scene) -> None:
    for address in scene.addresses():
        scene.troubled.inside(scene.node, "ip", "route", "replace", "blackhole", address, check=False)


def neighbour_wrong(scene: Scene) -> None:
    """A stale neighbour entry: frames for the pod carry somebody else's hardware address."""
    for hop in ("169.254.1.1", "fe80::1"):
        argv = (
            "ip",
            "neigh",
            "replace",
            hop,
            "lladdr",
            "02:00:00:00:00:99",
            "dev",
            scene.far_interface,
            "nud",
            "permanent",
        )
        scene.troubled.inside(scene.node, *argv, check=False)


def tiny_packets_only(scene: Scene) -> None:
    scene.troubled.inside(scene.inside, "ip", "link", "set", scene.near_interface, "mtu", "576")


def nodes_apart(scene: Scene) -> None:
    """Every node and its pods are well, and nothing passes from one node to another."""
    for index in scene.troubled.topology.nodes.values():
        scene.troubled.rules(
            index, "chain in {\n type filter hook prerouting priority -310; policy accept;\n iifname uplink drop\n}"
        )


def loss(scene: Scene) -> None:
    """Loses single packets, both ways, on the victim's own link."""
    share = scene.random.choice((1, 2, 5, 10, 20, 30))
    scene.severity = f"{share} %"
    for way in ("in", "out"):
        _drop(scene, way, f"meta l4proto {{ tcp, udp }} numgen random mod 100 < {share}")


def loss_everywhere(scene: Scene) -> None:
    """Loses single packets that any node forwards."""
    share = scene.random.choice((1, 2, 5, 10, 20, 30))
    scene.severity = f"{share} %"
    match = f"meta l4proto {{ tcp, udp }} numgen random mod 100 < {share} drop"
    for index in scene.troubled.topology.nodes.values():
        scene.troubled.rules(
            index, f"chain everywhere {{\n type filter hook forward priority -200; policy accept;\n {match}\n}}"
        )


FLOOD = """
import socket, sys, time
address, seconds, ports = sys.argv[1], float(sys.argv[2]), [int(port) for port in sys.argv[3:]]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sockets = []
for port in ports:
    sockets.append(socket.socket(family, socket.SOCK_DGRAM))
    sockets[-1].setblocking(False)
    sockets[-1].connect((address, port))
until = time.monotonic() + seconds
while time.monotonic() < until:
    for one in sockets:
        for _ in range(100):
            try:
                one.send(b"x" * 1000)
            except OSError:
                pass
"""


def flood(scene: Scene) -> None:
    """Datagrams at the victim, from its own node or from any other place, for a few seconds."""
    places = sorted({scene.node, *scene.troubled.topology.site_namespaces.values()} - {scene.inside})
    source = scene.random.choice([scene.node, scene.random.choice(places)])
    ports = [number for number, udp in scene.ports if udp] or [9]
    for address in scene.addresses():
        scene.troubled.python(FLOOD, address, scene.random.uniform(3.0, 6.0), *ports[:4], index=source)


LISTEN = """
import select, socket, sys, time
poll = select.poll()
held = []
for word in sys.argv[2:]:
    kind = socket.SOCK_DGRAM if word.startswith("u") else socket.SOCK_STREAM
    one = socket.socket(socket.AF_INET6, kind)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        one.bind(("::", int(word[1:])))
        kind == socket.SOCK_STREAM and one.listen(100)
        held.append(one)
    except OSError:
        pass
time.sleep(float(sys.argv[1]))
"""


def ports_taken(scene: Scene) -> None:
    """Somebody else's listeners sit where the agent's should, and say nothing."""
    some = scene.random.sample(scene.ports, scene.random.randint(1, min(3, len(scene.ports))))
    scene.troubled.python(LISTEN, 14, *(f"{'u' if udp else 't'}{number}" for number, udp in some), index=scene.inside)
    time.sleep(0.15)


@contextmanager
def borrowed(pid: int) -> Iterator[list[socket.socket]]:
    """The sockets of a process: duplicates of its descriptors, so that what is done to them is done to its own."""
    handle = os.pidfd_open(pid)
    found = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()).startswith("socket:"):
                    number = _libc.syscall(_PIDFD_GETFD, handle, int(entry.name), 0)
                    found += [socket.socket(fileno=number)] if number >= 0 else []
        yield found
    finally:
        for one in found:
            one.close()
        os.close(handle)


def listener_gone(scene: Scene) -> None:
    """The agent's sockets are shut behind its back: all of its listeners, or one."""
    with borrowed(scene.agent) as sockets:
        listeners = [one for one in sockets if one.family in (socket.AF_INET, socket.AF_INET6) and _listens(one)]
        scene.random.shuffle(listeners)
        for one in listeners[: scene.random.choice((1, len(listeners)))]:
            with suppress(OSError):
                if one.type == socket.SOCK_STREAM:
                    one.shutdown(socket.SHUT_RDWR)
                else:
                    one.connect(("::1" if one.family == socket.AF_INET6 else "127.0.0.1", 9))


def _listens(one: socket.socket) -> bool:
    if one.type == socket.SOCK_STREAM:
        return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    with suppress(OSError):
        one.getpeername()
        return False
    return one.getsockname()[1] != 0


def descriptors_short(scene: Scene) -> None:
    pid = scene.agent
    least = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    limit = scene.random.choice((least, least + 1, least + 2, least + 8))
    scene.severity = f"{limit - least} more"
    scene.troubled.inside(0, "prlimit", "--pid", str(pid), f"--nofile={limit}:{limit}")


def memory_short(scene: Scene) -> None:
    pid = scene.agent
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    more = scene.random.choice((0, 64, 256, 1024))
    scene.severity = f"{more} kB more"
    scene.troubled.inside(0, "prlimit", "--pid", str(pid), f"--as={size + more * 1024}")


def source_ports_short(scene: Scene) -> None:
    span = scene.random.choice(("40000 40001", "40000 40003", "40000 40015"))
    scene.troubled.inside(scene.inside, "sh", "-c", f"echo '{span}' > /proc/sys/net/ipv4/ip_local_port_range")


def controller_starved(scene: Scene) -> None:
    share = scene.random.choice((0.5, 0.8, 0.95))
    scene.severity = f"{share:.0%} of the time"
    _in_turns(scene, os.getpid(), 0.3 * share, 0.3 * (1 - share), 10)


def controller_stopped_for_a_while(scene: Scene) -> None:
    seconds = scene.random.uniform(0.5, 4.0)
    scene.severity = f"{seconds:.1f} s"
    scene.troubled.start("sh", "-c", f"kill -STOP {os.getpid()}; sleep {seconds:.2f}; kill -CONT {os.getpid()}")


def everything_stopped_for_a_while(scene: Scene) -> None:
    """As a laptop's lid does: all agents at once."""
    seconds = scene.random.uniform(0.5, 3.0)
    scene.severity = f"{seconds:.1f} s"
    pids = []
    for site in scene.troubled.lab.sites:
        with suppress(ProcessLookupError):
            pids.append(str(scene.troubled.agent(site.name)))
    scene.troubled.start("sh", "-c", f"kill -STOP {' '.join(pids)}; sleep {seconds:.2f}; kill -CONT {' '.join(pids)}")


def machine_busy(scene: Scene) -> None:
    for _ in range(6):
        scene.troubled.python("import time\nuntil = time.monotonic() + 6\nwhile time.monotonic() < until: pass")


def lab_killed(scene: Scene) -> None:
    os.kill(scene.troubled.inner, signal.SIGKILL)


def nothing(_scene: Scene) -> None:
    """What strikes elsewhere: in the environment of the lab, or not at all."""


CLOCK, DISK = "clock wrong", "disk full"
FAULTS = (
    Fault("agent killed", killed, AGENT, (OPENED, DURING)),
    Fault("agent stopped", stopped, AGENT, (OPENED, DURING)),
    Fault("agent stopped for a while", stopped_for_a_while, AGENT, (OPENED, DURING)),
    Fault("agent slowed", slowed, f"{AGENT}|slow|took up to", (OPENED, DURING)),
    Fault("all agents stopped for a while", everything_stopped_for_a_while, AGENT, (DURING,)),
    Fault("link down", link_down, LOST),
    Fault("link down, the pod's end", link_down_in_the_pod, f"{LOST}|ENETUNREACH"),
    Fault("link silent for a while", link_flaps, LOST),
    Fault("link deaf", link_deaf, LOST),
    Fault("link mute", link_mute, LOST),
    Fault("one family dead", one_family_dead, LOST),
    Fault("one protocol dead", one_protocol_dead, LOST, is_outage=True),
    Fault("new connections dead", new_connections_dead, LOST, is_outage=True),
    Fault("closed ports silent on the node", closed_port_silent, LOST),
    Fault("large packets dead", big_packets_dead, LOST, is_outage=True),
    Fault("packets duplicated", duplicated, LOST),
    Fault("output torn", output_torn, AGENT, (OPENED, DURING)),
    Fault("address removed", address_removed, f"{LOST}|does not sit|EADDRNOTAVAIL|ENETUNREACH"),
    Fault("route removed in the pod", own_route_removed, f"{LOST}|ENETUNREACH"),
    Fault("route removed on the node", node_route_removed, LOST),
    Fault("route on the node a black hole", node_route_blackholed, LOST),
    Fault("neighbour entry wrong", neighbour_wrong, LOST),
    Fault("small packets only", tiny_packets_only, LOST),
    Fault("nodes apart", nodes_apart, f"{LOST}|nothing was answered between nodes", is_outage=True),
    Fault("loss on a link", loss, LOST),
    Fault("loss everywhere", loss_everywhere, LOST),
    Fault("flood of datagrams", flood, f"{LOST}|flood|buffer|{AGENT}", (BEFORE, DURING)),
    Fault("ports taken", ports_taken, f"{AGENT}|EADDRINUSE", (BEFORE,)),
    Fault("listener gone", listener_gone, AGENT, (DURING,)),
    Fault("descriptors short", descriptors_short, f"{AGENT}|EMFILE|open files", (OPENED, DURING)),
    Fault("memory short", memory_short, f"{AGENT}|memory", (OPENED, DURING)),
    Fault("source ports short", source_ports_short, f"{AGENT}|EADDR|EAGAIN"),
    Fault(CLOCK, nothing, AGENT, (BEFORE,)),
    Fault(DISK, nothing, r"--output-file .*no space", (BEFORE,)),
    Fault("controller starved", controller_starved, f"{AGENT}|took up to"),
    Fault("controller stopped for a while", controller_stopped_for_a_while, f"{AGENT}|took up to"),
    Fault("machine busy", machine_busy, f"{AGENT}|took up to"),
    Fault("lab killed", lab_killed, r"lab: ", (DURING,)),
    Fault("none", nothing, r"(?!)", (BEFORE,)),
)
