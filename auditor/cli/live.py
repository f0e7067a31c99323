"""The options that say what of a live cluster is audited, and with which probe pods."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.connection import CONNECTION, read_connection
from auditor.cli.parameters import Decorator, check_scope, namespace_option, refuse, with_options
from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.probe_pod import MAX_PROBE_PODS
from auditor.model.snapshot import Endpoint, EndpointKind

if TYPE_CHECKING:
    from auditor.probe_pods.choice import Mode
    from auditor.run.live_plan import LiveOptions

EXTERNAL = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/\s]+)):(?P<port>[0-9]{1,5})\Z")

LIVE_ONLY = frozenset(
    {
        "namespaces",
        "all_namespaces",
        "selector",
        "one_per_class",
        "per_node",
        "all_pods",
        "in_place",
        "externals",
        "image",
        "admin_policies",
        "start_seconds",
        "accept",
        "max_probe_pods",
        "max_connections",
        "coverage",
        "everything",
        "paths",
        *CONNECTION,
    }
)
"""The parameters that mean nothing on the lab, of whichever command."""


def refuse_live_options() -> None:
    """Raise UsageError when an option that is about live clusters was given to the command that runs, which is to use
    the lab.
    """
    refuse(LIVE_ONLY, "applies to live clusters only: leave out either it or --lab")


def _read_externals(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    found = []
    for text in texts:
        parts = EXTERNAL.match(text)
        if not parts or not 1 <= int(parts["port"]) <= 65535:
            raise click.BadParameter(
                f"{text!r}: write HOST:PORT, such as example.com:443, 192.0.2.10:5432 or [2001:db8::1]:443"
            )
        found.append((parts["v6"] or parts["name"], int(parts["port"])))
    return tuple(found)


def _read_share(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """A percentage, with its sign or without, as a share from 0 to 1."""
    if text is None:
        return None
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 < percent <= 100:
        raise click.BadParameter(f"{text!r}: write a percentage above 0 and up to 100, such as 99%")
    return percent / 100


OPTIONS: Sequence[Decorator] = (
    namespace_option("Audit the pods of this namespace, against all others of the cluster; may be repeated."),
    click.option("-A", "--all-namespaces", is_flag=True, help="Audit the pods of all namespaces."),
    click.option(
        "-l", "--selector", metavar="SELECTOR", help="Audit only pods with these labels, such as app=web,tier!=cache."
    ),
    click.option(
        "--one-per-class",
        is_flag=True,
        help="One probe pod for all pods that no policy can tell apart, and no second one where policies have a say in "
        "what these send each other.",
    ),
    click.option(
        "--per-node",
        is_flag=True,
        help="Create probe pods on every node where policies isolate pods, for each direction.",
    ),
    click.option(
        "--all-pods",
        is_flag=True,
        help="One probe pod for every audited pod, rather than one or two for all pods that no policy can tell apart.",
    ),
    click.option(
        "--in-place",
        is_flag=True,
        help="Probe from inside the pods themselves, to the ports they declare. Leaves an ephemeral container "
        "listed in each of them.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --in-place: join this many pods, other ones every day (UTC), so that in time each has its turn.",
    ),
    click.option(
        "--external",
        "externals",
        multiple=True,
        callback=_read_externals,
        metavar="HOST:PORT",
        help=(
            "Also try to connect to this host outside the cluster, by TCP; may be repeated. No other host "
            "outside is ever probed."
        ),
    ),
    click.option(
        "--image",
        metavar="IMAGE",
        help="Image of the probe pods: any with python3, 3.8 or later. [default: see docs/safety.md]",
    ),
    click.option(
        "--start-timeout",
        "start_seconds",
        type=click.FloatRange(1, 3600),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long probe pods may take to start.",
    ),
    click.option(
        "--max-probe-pods",
        type=click.IntRange(min=1),
        default=MAX_PROBE_PODS,
        show_default=True,
        metavar="N",
        help="Create no more probe pods than this: those that would notice most. With --everything, --all-pods and, "
        "for pods to join, --in-place: refuse an audit that needs more; with --per-node one that needs more for nodes.",
    ),
    click.option(
        "--max-connections",
        type=click.IntRange(min=1),
        metavar="N",
        help="Try no more connections than this: those that would notice most.",
    ),
    click.option(
        "--coverage",
        callback=_read_share,
        metavar="PERCENT",
        help="Create only as many probe pods as would notice this share of the ways in which the policies could be "
        "ignored or misread.",
    ),
    click.option(
        "--everything",
        is_flag=True,
        help="Create a probe pod for all pods that any policy tells apart from others, and try every connection.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        metavar="N",
        help="Of pods that policies don't tell apart, of nodes and of other ends, take the N-th: with a history, each "
        "run takes the next ones. [default without a history: those that tell most]",
    ),
    click.option(
        "--accept",
        type=click.Choice(["pdb", "anti-affinity"]),
        multiple=True,
        help="Accept this harm: a PodDisruptionBudget that allows no eviction meanwhile, or probe pods that "
        "keep real pods off nodes.",
    ),
)


def live_options(command: Any) -> Any:
    """Give ``command`` all of them; they arrive as the parameters of ``read_live_run``."""
    return with_options(command, OPTIONS)


def read_live_run(given: Mapping[str, Any], instead: str = "") -> tuple[LiveOptions, tuple[str, ...]]:
    """What the options say, and the beginning of a command line that says the same.

    ``instead`` names what the command can audit besides a live cluster, after a comma. Raises UsageError for options
    that exclude each other, and for a host that has no address.
    """
    from auditor.cluster.kubernetes.objects import DEFAULT_IMAGE, PodOptions
    from auditor.policy.selection import parse_selector
    from auditor.run.live_plan import LiveOptions

    check_scope(given["namespaces"], all_namespaces=given["all_namespaces"])
    if not given["namespaces"] and not given["all_namespaces"]:
        raise UsageError(f"say what to audit: -n NAMESPACE, or -A for all namespaces{instead}")
    modes = [_flag(name) for name in ("one_per_class", "per_node", "all_pods") if given[name]]
    if len(modes) > 1:
        raise UsageError(f"{modes[0]} and {modes[1]} exclude each other: leave one out")
    _check_choice(given)
    if given["sample"] and (given["all_pods"] or given["per_node"] or not given["in_place"]):
        raise UsageError("--sample says how many pods --in-place joins: give both, without --all-pods and --per-node")
    options = LiveOptions(
        connection=read_connection(**{name: given[name] for name in CONNECTION}),
        namespaces=tuple(dict.fromkeys(given["namespaces"])),
        selector=None if given["selector"] is None else parse_selector(given["selector"]),
        mode=_mode(given),
        in_place=given["in_place"],
        sample=given["sample"] or 0,
        night=datetime.now(UTC).toordinal() if given["seed"] is None else given["seed"],
        seed=given["seed"],
        externals=_endpoints(given["externals"]),
        pods=PodOptions(image=given["image"] or DEFAULT_IMAGE),
        start_seconds=given["start_seconds"],
        accept=frozenset(given["accept"]),
        max_probe_pods=given["max_probe_pods"],
        max_connections=given["max_connections"],
        coverage=given["coverage"],
        everything=given["everything"],
    )
    return options, ("audit", "run", *_again(given))


def _mode(given: Mapping[str, Any]) -> Mode:
    """How many probe pods. What joins pods leaves traces in each of them, so one for a class is enough unless asked."""
    from auditor.probe_pods.choice import Mode

    if given["per_node"]:
        return Mode.PER_NODE
    if given["all_pods"]:
        return Mode.ALL_PODS
    return Mode.ONE_PER_CLASS if given["one_per_class"] or given["in_place"] else Mode.TWO_PER_CLASS


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_choice(given: Mapping[str, Any]) -> None:
    """Raise UsageError where something is to be chosen, and all of it to be there as well."""
    wide = [name for name in ("everything", "per_node", "all_pods", "in_place") if given[name]]
    narrow = [name for name in ("max_connections", "coverage") if given[name] is not None]
    if wide and narrow:
        one, other = (_flag(name[0]) for name in (narrow, wide))
        raise UsageError(f"{one} chooses what notices most, {other} asks for more than that: leave one out")


def _again(given: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for flag, name in (
        ("--kubeconfig", "kubeconfig"),
        ("--context", "context"),
        ("--as", "impersonate"),
        ("--image", "image"),
    ):
        words += [flag, given[name]] if given[name] else []
    for namespace in given["namespaces"]:
        words += ["-n", namespace]
    words += ["-A"] if given["all_namespaces"] else []
    words += ["-l", given["selector"]] if given["selector"] else []
    words += ["--one-per-class"] if given["one_per_class"] else []
    words += ["--per-node"] if given["per_node"] else []
    words += ["--all-pods"] if given["all_pods"] else []
    words += ["--in-place"] if given["in_place"] else []
    words += ["--sample", str(given["sample"])] if given["sample"] else []
    words += ["--everything"] if given["everything"] else []
    words += ["--seed", str(given["seed"])] if given["seed"] is not None else []
    for host, port in given["externals"]:
        words += ["--external", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    words += ["--max-probe-pods", str(given["max_probe_pods"])] if given["max_probe_pods"] != MAX_PROBE_PODS else []
    words += ["--max-connections", str(given["max_connections"])] if given["max_connections"] else []
    words += ["--coverage", f"{given['coverage'] * 100:.15g}%"] if given["coverage"] else []
    for harm in given["accept"]:
        words += ["--accept", harm]
    return words


def _endpoints(externals: Sequence[tuple[str, int]]) -> tuple[Endpoint, ...]:
    """The hosts, each with its addresses and all its ports."""
    ports: dict[str, list[ContainerPort]] = {}
    for host, port in externals:
        ports.setdefault(host, []).append(ContainerPort(Protocol.TCP, port))
    return tuple(
        Endpoint(f"host/{host}", EndpointKind.HOST, addresses=_resolve(host), ports=tuple(dict.fromkeys(numbers)))
        for host, numbers in ports.items()
    )


def _resolve(host: str) -> tuple[IPAddress, ...]:
    """The first address of each family. Raises UsageError when there is none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"--external {host}: no address: {error.strerror or error}") from error
    addresses: dict[int, IPAddress] = {}
    for entry in found:
        address = ip_address(str(entry[4][0]).partition("%")[0])
        addresses.setdefault(address.version, address)
    return tuple(addresses.values())
