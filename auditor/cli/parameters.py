"""The options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

import click

from auditor.model.addresses import IPAddress
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint
from auditor.probing.options import ProbingOptions

Decorator: TypeAlias = Callable[[Any], Any]
NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


def with_options(command: Any, options: Sequence[Decorator]) -> Any:
    """``command`` with ``options``, which its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _read_ports(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[PortRequest, ...]:
    try:
        return tuple(dict.fromkeys(port for text in texts for port in PortRequest.parse_list(text)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def read_port(_context: click.Context, _argument: click.Parameter, text: str) -> PortRequest:
    """The callback of an argument that is one port."""
    try:
        return PortRequest.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _read_hosts(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, tuple[IPAddress, ...]]:
    hosts: dict[str, tuple[IPAddress, ...]] = {}
    for text in texts:
        name, equals, address_text = text.partition("=")
        if not equals or not name or "/" in name:
            raise click.BadParameter(f"{text!r}: write NAME=ADDRESS, such as backup=192.0.2.10")
        try:
            address = ip_address(address_text)
        except ValueError:
            raise click.BadParameter(f"{text!r}: {address_text!r} is not a valid IPv4 or IPv6 address") from None
        if any(other.version == address.version for other in hosts.get(name, ())):
            raise click.BadParameter(f"{text!r}: {name} has an IPv{address.version} address already")
        hosts[name] = (*hosts.get(name, ()), address)
    return hosts


def _read_namespaces(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(NAMESPACE, name):
            raise click.BadParameter(
                f"{name!r} is not a valid namespace name: use at most 63 of a-z, 0-9 and '-', with a letter "
                "or digit at both ends"
            )
    return names


ports_option: Decorator = click.option(
    "--ports",
    multiple=True,
    callback=_read_ports,
    metavar="PORTS",
    help="Only these ports, such as TCP/80,443,UDP/53,TCP/http: a protocol holds until the next one, and "
    "without any it is TCP. A name is looked up at each destination.",
)
from_option: Decorator = click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="SELECTION",
    help="Only from these endpoints, such as prod, prod/db or app=web; may be repeated.",
)
to_option: Decorator = click.option(
    "--to", "destinations", multiple=True, metavar="SELECTION", help="Only to these endpoints; may be repeated."
)
file_option: Decorator = click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    metavar="PATH",
    help="File, directory or scenario to read, or - for standard input; may be repeated.",
)
live_option: Decorator = click.option(
    "-A", "--all-namespaces", is_flag=True, help="Read the live cluster instead of files."
)
recursive_option: Decorator = click.option(
    "-R", "--recursive", is_flag=True, help="Read the directories below a directory, too."
)
exclude_option: Decorator = click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out what matches, of directories: a name, or a path below the directory; may be repeated.",
)
kustomize_option: Decorator = click.option(
    "-k",
    "--kustomize",
    "kustomizations",
    multiple=True,
    metavar="DIR",
    help="Render this kustomization with kubectl or kustomize, and read what comes out; may be repeated.",
)
helm_option: Decorator = click.option(
    "--helm",
    "charts",
    multiple=True,
    metavar="CHART",
    help="Render this chart with helm, and read what comes out; may be repeated.",
)
values_option: Decorator = click.option(
    "--values", multiple=True, metavar="FILE", help="Values for the charts of --helm; may be repeated."
)


keep_going_option: Decorator = click.option(
    "--keep-going",
    is_flag=True,
    help="Answer without the objects that can't be read; what they may decide is in doubt.",
)


def _default_namespace(meaning: str) -> Decorator:
    return click.option(
        "-n",
        "--namespace",
        "default_namespace",
        callback=lambda context, option, name: None if name is None else _read_namespaces(context, option, (name,))[0],
        metavar="NAMESPACE",
        help=meaning,
    )


default_namespace_option = _default_namespace(
    "The namespace of objects and names that have none. [default: default, on a live cluster the context's] Without "
    "-f: read the live cluster, and ask about this namespace."
)
namespace_of_files_option = _default_namespace("The namespace of objects that have none.  [default: default]")
replicas_option: Decorator = click.option(
    "--replicas",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="At most this many endpoints per workload.",
)
enforcer_option: Decorator = click.option(
    "--enforcer",
    "enforcers",
    multiple=True,
    metavar="NAME[:VALUE][@NODE]",
    help="What enforces the policies on the lab, everywhere or on one node; may be repeated. [default: spec] See "
    "'audit enforcers'.",
)
timeout_option: Decorator = click.option(
    "--timeout",
    type=click.FloatRange(0.05, 60),
    default=ProbingOptions().timeout,
    show_default=True,
    metavar="SECONDS",
    help="How long silence must last to count as dropped.",
)
late_isolation_option: Decorator = click.option(
    "--late-isolation",
    type=click.FloatRange(0, 600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long after the start what is to be denied may still be open. Kubernetes isolates pods before they start.",
)
host_option: Decorator = click.option(
    "--host",
    "hosts",
    multiple=True,
    callback=_read_hosts,
    metavar="NAME=ADDRESS",
    help="An external host; may be repeated.",
)


def input_options(command: Any) -> Any:
    """Give ``command`` the options that say which files to read, and how, but for -f itself."""
    for option in (
        keep_going_option,
        exclude_option,
        recursive_option,
        values_option,
        helm_option,
        kustomize_option,
    ):
        command = option(command)
    return command


def namespace_option(meaning: str) -> Decorator:
    """-n, which may be repeated, with ``meaning`` as its help."""
    return click.option(
        "-n", "--namespace", "namespaces", multiple=True, callback=_read_namespaces, metavar="NAMESPACE", help=meaning
    )


def check_scope(namespaces: Collection[str], *, all_namespaces: bool) -> None:
    """Raise UsageError when both -n and -A were given."""
    if namespaces and all_namespaces:
        raise UsageError("-n and -A exclude each other: leave one out")


def refuse(names: Collection[str], why: str) -> None:
    """Raise UsageError when an option that arrives as one of ``names`` was given to the command that runs: ``why`` it
    can't be.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name in names:
            raise UsageError(f"{parameter.opts[-1]} {why}")


def check_ports(destinations: Iterable[Endpoint], ports: Iterable[PortRequest]) -> None:
    """Raise UsageError for a port asked for by a name that no destination declares: a slip of the pen, and not an empty
    answer.
    """
    destinations = tuple(destinations)
    for request in ports:
        if request.name and not any(endpoint.resolve(request.protocol, request.name) for endpoint in destinations):
            raise UsageError(f"--ports {request}: no destination declares a {request.protocol} port of this name")
