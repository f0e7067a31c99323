"""Builds and programs network namespaces from inside: system settings, ``ip`` batches, nftables transactions.

Runs in the supervisor, alone in its process namespace. The texts come from the controller; here they are only carried
out.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.cluster.lab.isolation import inside, new_network
from auditor.cluster.lab.wire import Message

_PATIENCE = 60.0
_SIDE_BY_SIDE = max(2, min(8, os.cpu_count() or 2))

_IPV4_SETTINGS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/core/somaxconn": "4096",
    # The verdict of a probe may be an ICMP error: none may be saved on.
    "net/ipv4/icmp_ratelimit": "0",
}
_IPV6_SETTINGS = {
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    # No link-local addresses, no router solicitations: links are static, and quiet.
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/icmp/ratelimit": "0",
}
_OPTIONAL_SETTINGS = {
    "net/ipv4/icmp_msgs_per_sec": "1000000",
    "net/ipv4/icmp_msgs_burst": "1000000",
}
_TRACKING_SETTINGS = {
    # Thousands of short connections each second must not fill the table: what is over is forgotten soon.
    **{
        f"net/netfilter/nf_conntrack_tcp_timeout_{state}": "2"
        for state in ("close", "close_wait", "fin_wait", "last_ack", "time_wait")
    },
    "net/netfilter/nf_conntrack_tcp_timeout_established": "600",
    "net/netfilter/nf_conntrack_udp_timeout": "8",
    "net/netfilter/nf_conntrack_udp_timeout_stream": "8",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
}


class CommandError(Exception):
    """A command failed, or the machine refused a setting. The text is one line."""


@dataclass(frozen=True, slots=True)
class Command:
    """One run of a tool inside a namespace, with its standard input; ``what`` names it for the user."""

    namespace: int
    argv: tuple[str, ...]
    text: str
    what: str


class Networks:
    """The namespaces of one lab. Index 0 is the fabric: where this is made, and where the supervisor stays."""

    def __init__(self, ip: str, nft: str) -> None:
        self._ip = ip
        self._nft = nft
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors: list[int] = []
        self._names: list[str] = []
        self._tracking: set[int] = set()

    def build(self, plans: Sequence[Message], ipv6: bool) -> None:
        """Make every namespace of ``plans`` (each a ``topology.NamespacePlan``) and configure it. Raises
        CommandError.
        """
        self._names = [plan["name"] for plan in plans]
        self._descriptors = [self._home, *(new_network() for _ in plans[1:])]
        for index, plan in enumerate(plans):
            self._configure(index, plan, ipv6)
        for stage in sorted({plan["stage"] for plan in plans}):
            self._run(self._linking(index, plan["batch"]) for index, plan in enumerate(plans) if plan["stage"] == stage)

    def add(self, plan: Message, joined: Iterable[tuple[int, str]], ipv6: bool) -> None:
        """Make one more namespace, the last of all; ``joined`` is carried out first, in the namespaces with these
        indexes. Raises CommandError.
        """
        self._names.append(plan["name"])
        self._descriptors.append(new_network())
        index = len(self._descriptors) - 1
        self._configure(index, plan, ipv6)
        for number, batch in (*joined, (index, plan["batch"])):
            self._run([self._linking(number, batch)])

    def _configure(self, index: int, plan: Message, ipv6: bool) -> None:
        with inside(self._descriptors[index], self._home):
            _configure(plan["forwards"], ipv6)

    def _linking(self, index: int, batch: str) -> Command:
        what = f"network of {self._names[index]}: ip"
        return Command(index, (self._ip, "-batch", "-"), self._resolved(batch), what)

    def program(self, rulesets: Iterable[tuple[int, str]]) -> None:
        """Put each ruleset (namespace, text) in force, each in one transaction. Raises CommandError."""
        items = list(rulesets)
        self._run(
            Command(index, (self._nft, "-f", "-"), text, f"rules of {self._names[index]}: nft") for index, text in items
        )
        for index in {index for index, _ in items} - self._tracking:
            self._tracking.add(index)
            with inside(self._descriptors[index], self._home):
                _write(_TRACKING_SETTINGS, optional=True)

    def descriptor(self, index: int) -> int:
        """The descriptor of a namespace."""
        return self._descriptors[index]

    def _resolved(self, batch: str) -> str:
        return re.sub(r"%(\d+)%", lambda match: f"/proc/self/fd/{self._descriptors[int(match[1])]}", batch)

    def _run(self, commands: Iterable[Command]) -> None:
        """Carry out ``commands``, a few side by side; the first failure ends it."""
        running: list[tuple[Command, subprocess.Popen[bytes]]] = []
        try:
            for command in commands:
                if len(running) == _SIDE_BY_SIDE:
                    _finish(*running.pop(0))
                running.append((command, self._start(command)))
            while running:
                _finish(*running.pop(0))
        finally:
            for _, process in running:
                process.kill()
                process.communicate()

    def _start(self, command: Command) -> subprocess.Popen[bytes]:
        with _NamelessFile(command.text) as standard_input, inside(self._descriptors[command.namespace], self._home):
            # The descriptors of the namespaces are passed on so that links can be put into them.
            linked = [int(number) for number in re.findall(r"/proc/self/fd/(\d+)", command.text)]
            return subprocess.Popen(
                command.argv, stdin=standard_input, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=linked
            )


class _NamelessFile:
    """A text as a file without a name, so that nobody has to feed a pipe."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> int:
        self._descriptor = os.memfd_create("input")
        with open(self._descriptor, "wb", closefd=False) as file:
            file.write(self._text.encode())
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _finish(command: Command, process: subprocess.Popen[bytes]) -> None:
    try:
        _, errors = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise CommandError(f"{command.what} did not end within {_PATIENCE:g} s") from None
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines() or [f"ended with status {process.returncode}"]
        raise CommandError(f"{command.what}: {lines[0]}")


def _configure(forwards: bool, ipv6: bool) -> None:
    settings = dict(_IPV4_SETTINGS) | (_IPV6_SETTINGS if ipv6 else {})
    if forwards:
        settings["net/ipv4/ip_forward"] = "1"
        if ipv6:
            settings["net/ipv6/conf/all/forwarding"] = "1"
    _write(settings)
    _write(_OPTIONAL_SETTINGS, optional=True)


def _write(settings: dict[str, str], *, optional: bool = False) -> None:
    for name, value in settings.items():
        try:
            Path("/proc/sys", name).write_text(value)
        except OSError as error:
            if optional:
                continue
            if "ipv6" in name and not Path("/proc/sys/net/ipv6").exists():
                raise CommandError(
                    "this kernel has IPv6 switched off and the scenario has IPv6 addresses: boot without ipv6.disable=1"
                ) from None
            advice = (
                "in a container, start it privileged, or with /proc/sys writable (--security-opt "
                "systempaths=unconfined)"
            )
            raise CommandError(f"can't set {name.replace('/', '.')} ({error.strerror}): {advice}") from None
