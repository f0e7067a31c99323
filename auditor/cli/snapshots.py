"""From the paths after ``-f``, or from the live cluster, to a snapshot: what ``audit expect`` and ``audit explain``
have in common.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from auditor.cli.connection import CONNECTION, read_connection
from auditor.cli.parameters import check_scope, refuse
from auditor.model.addresses import IPAddress
from auditor.model.errors import InputError, Problem, UsageError
from auditor.model.policy import NOT_EVALUATED
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.workloads import KINDS
from auditor.report.lines import say_aside

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.reading import LiveSnapshot
    from auditor.model.policy import NetworkPolicy
    from auditor.model.scenario import Scenario
    from auditor.parsing.source import Source


MOST_EXCLUDED = 6
FILES_ONLY = ("recursive", "exclude", "keep_going", "replicas", "hosts")
"""The parameters that mean nothing where a live cluster is read."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What other programs render: directories of kustomizations, charts, and files of values for these."""

    kustomizations: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kustomizations or self.charts)

    @property
    def names(self) -> tuple[str, ...]:
        """What is rendered, in words."""
        return (*(f"-k {each}" for each in self.kustomizations), *(f"--helm {each}" for each in self.charts))


NOTHING_RENDERED = Rendered()


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What to read: ``paths`` of files, directories and scenarios, how deep, what of them not, how many replicas, and
    external hosts beside them.

    ``keep_going`` without the objects that can't be read. ``namespace`` is that of objects and names that have none;
    empty: default. With ``connection``, the live cluster instead: there it is what is asked about, empty: all of it.
    """

    paths: tuple[str, ...]
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    keep_going: bool = False
    namespace: str = ""
    rendered: Rendered = NOTHING_RENDERED
    replicas: int = 2
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False)
    connection: ConnectionOptions | None = None

    @property
    def name(self) -> str:
        """What is read, in words."""
        return in_words((*self.paths, *self.rendered.names)) or "the live cluster"


def in_words(paths: Sequence[str]) -> str:
    """``manifests/, standard input``."""
    from auditor.run.sources import STDIN

    return ", ".join("standard input" if path == STDIN else path for path in paths)


def choose_input(  # noqa: PLR0913 - one parameter for each option
    *,
    paths: tuple[str, ...],
    all_namespaces: bool,
    recursive: bool,
    exclude: tuple[str, ...],
    keep_going: bool,
    default_namespace: str | None,
    kustomizations: tuple[str, ...],
    charts: tuple[str, ...],
    values: tuple[str, ...],
    replicas: int,
    hosts: Mapping[str, tuple[IPAddress, ...]],
    **rest: Any,
) -> InputOptions:
    """What the options say to read: files with -f, the live cluster with -n or -A; ``rest`` are the options of the
    connection.

    Raises UsageError unless it is one of the two.
    """
    rendered = read_rendered(kustomizations, charts, values)
    files = bool(paths or rendered)
    check_scope([default_namespace] if default_namespace else [], all_namespaces=all_namespaces)
    if files and all_namespaces:
        raise UsageError("give -f PATH to read files, or -A to read the live cluster, not both")
    if not (files or all_namespaces or default_namespace):
        raise UsageError("give -f PATH to read files, or -n NAMESPACE or -A to read the live cluster")
    refuse_the_other_input(files=files)
    connection = None if files else read_connection(**rest)
    return InputOptions(
        paths, recursive, exclude, keep_going, default_namespace or "", rendered, replicas, hosts, connection
    )


def read_rendered(kustomizations: tuple[str, ...], charts: tuple[str, ...], values: tuple[str, ...]) -> Rendered:
    """What -k, --helm and --values say. Raises UsageError for values without a chart."""
    if values and not charts:
        raise UsageError("--values goes with --helm CHART")
    return Rendered(kustomizations, charts, values)


def refuse_the_other_input(*, files: bool) -> None:
    """Raise UsageError when an option was given that means nothing where ``files``, or where a live
    cluster, are read.
    """
    if files:
        refuse(CONNECTION, "applies to live clusters only: leave out either it or -f")
    else:
        refuse(FILES_ONLY, "goes with -f: a live cluster has the pods and nodes that it has")


async def read_live(connection: ConnectionOptions, *, entries: bool = False) -> LiveSnapshot:
    """The live cluster as it is now; with ``entries``, what leads in from outside, too."""
    from auditor.cluster.kubernetes.client.config import connect
    from auditor.cluster.kubernetes.client.server import ApiServer
    from auditor.cluster.kubernetes.entries import with_entries
    from auditor.cluster.kubernetes.reading import read_cluster, with_service_endpoints

    async with ApiServer(await connect(connection)) as api:
        live = await read_cluster(api)
        live = replace(live, snapshot=await with_service_endpoints(api, live.snapshot))
        return await with_entries(api, live) if entries else live


def _read_live(connection: ConnectionOptions, namespace: str, *, entries: bool) -> Snapshot:
    from auditor.cli.interruption import run_interruptibly

    live = run_interruptibly(read_live(connection, entries=entries))
    if namespace and namespace not in live.snapshot.namespaces:
        raise UsageError(f"there is no namespace {namespace!r} in the cluster (-n {namespace})")
    for policy in live.snapshot.unknown:
        if policy.why != NOT_EVALUATED:  # these are counted
            warn([f"policy {policy.full_name} {policy.why}: it is not evaluated"])
    warn([*not_evaluated(live.other_kinds, "the cluster"), *live.notes])
    return live.snapshot


def warn(lines: Iterable[str]) -> None:
    """Write ``lines`` to stderr, each as a warning."""
    for line in lines:
        say_aside(f"warning: {line}")


def not_evaluated(counts: Mapping[str, int], where: str) -> Iterator[str]:
    """A line for each kind of ``counts`` that is a policy: nobody evaluates those but NetworkPolicies of
    networking.k8s.io.
    """
    for kind, count in counts.items():
        if "NetworkPolicy" in kind and not kind.startswith("Staged"):  # Calico never enforces staged ones
            yield f"{count} {kind} in {where} not evaluated: what is expected may be wrong where such policies apply"


def check_stdin(paths: Sequence[str], option: str, path: str | None) -> None:
    """Raise UsageError when both -f and ``option``, whose value is ``path``, are to be read from standard input."""
    from auditor.run.sources import STDIN

    if path == STDIN and STDIN in paths:
        raise UsageError(f"{STDIN}: standard input can be read once only, and -f reads it: give {option} a file")


def read_endpoints(options: InputOptions, *, entries: bool = False) -> Snapshot:
    """As ``read_input``, and a UsageError, too, for input in which there is nothing that could reach anything."""
    snapshot = read_input(options, entries=entries)
    if snapshot.endpoints:
        return snapshot
    counts = {**({"NetworkPolicy": len(snapshot.policies)} if snapshot.policies else {}), **snapshot.ignored}
    only = f", only {', '.join(f'{count} {kind}' for kind, count in counts.items())}" if counts else ""
    raise UsageError(
        f"{options.name}: no pod, workload, node or host in the input{only}: add the manifests of the workloads,"
        " or what 'kubectl get ns,pods,svc,netpol -A -o yaml' prints"
    )


def read_policies(path: str, option: str) -> tuple[NetworkPolicy, ...]:
    """The NetworkPolicies at ``path``, the value of ``option``. Raises what ``read_input`` raises, and UsageError where
    there are none.
    """
    policies = read_input(InputOptions((path,), recursive=True)).policies
    if not policies:
        raise UsageError(f"{option} {path}: there is no NetworkPolicy in it")
    return policies


def read_input(options: InputOptions, *, entries: bool = False) -> Snapshot:
    """The snapshot that ``options`` describe: of all manifests together, or of one scenario. Of a live cluster, what
    leads in from outside is read with ``entries`` alone.

    Raises UsageError for paths that can't be read, InputError for what is wrong in them, ClusterError for a cluster
    that can't be read.
    """
    from auditor.parsing.manifests import read_snapshot
    from auditor.parsing.scenario import is_scenario, read_scenario
    from auditor.run.sources import load_sources, manifests_beside

    if options.connection is not None:
        return _read_live(options.connection, options.namespace, entries=entries)
    sources = load_sources(options.paths, recursive=options.recursive, exclude=options.exclude)
    sources += _render(options)
    scenarios = [source for source in sources if not source.found and is_scenario(source)]
    if not scenarios:
        with _with_a_way_on(sources, options.paths):
            snapshot = read_snapshot(
                sources,
                replicas=options.replicas,
                hosts=options.hosts,
                keep_going=options.keep_going,
                default_namespace=options.namespace or "default",
            )
        _say_what_does_not_count(snapshot)
        return snapshot
    if len(sources) > 1:
        raise UsageError(f"{scenarios[0].name}: a scenario is a whole cluster; give it alone")
    if options.hosts:
        raise UsageError(f"{scenarios[0].name}: --host goes with manifests; a scenario names its own hosts")
    scenario = read_scenario(scenarios[0], manifests_beside(scenarios[0].name))
    check_manifests(scenario)
    return scenario.snapshot


@contextmanager
def _with_a_way_on(sources: Sequence[Source], paths: Sequence[str]) -> Iterator[None]:
    """Say how to get an answer all the same, where files that were found in a directory can't be read."""
    try:
        yield
    except InputError as error:
        found = [source.name for source in sources if source.found]
        places = list(dict.fromkeys(problem.file for problem in error.problems)) if found else []
        places = [place for place in places if place in found]
        if not places:
            raise
        what, they = ("it", "it") if len(places) == 1 else ("them", "they")
        way = (
            f"leave {what} out with {_excluding(places, found, paths)}, or answer from the rest with --keep-going, "
            f"where what {they} may decide is in doubt"
        )
        error.lines = (*error.lines, way)
        raise


def _excluding(places: Sequence[str], found: Sequence[str], paths: Sequence[str]) -> str:
    """The options that leave out ``places`` and no other of the files ``found`` in the directories ``paths``: by the
    name of the file or, where others have the same, by its path below the directory.
    """
    if len(places) > MOST_EXCLUDED:
        return "--exclude GLOB (once for each)"
    named = Counter(name.rpartition("/")[2] for name in found)
    globs = (name if named[name := place.rpartition("/")[2]] == 1 else _below_one_of(paths, place) for place in places)
    return " ".join(f"--exclude {shlex.quote(glob)}" for glob in globs)


def _below_one_of(paths: Sequence[str], place: str) -> str:
    root = max((path for path in paths if place.startswith(path)), key=len, default="")
    return place.removeprefix(root).lstrip("/")


def _render(options: InputOptions) -> list[Source]:
    if not options.rendered:
        return []
    from auditor.run.sources import render_chart, render_kustomization

    rendered = options.rendered
    return [
        *map(render_kustomization, rendered.kustomizations),
        *(render_chart(chart, rendered.values, options.namespace) for chart in rendered.charts),
    ]


def _say_what_does_not_count(snapshot: Snapshot) -> None:
    from auditor.report.skipped import skipped_lines

    warn(f"{problem} (left out)" for problem in snapshot.problems)
    for line in skipped_lines(snapshot.skipped):
        say_aside(line)
    warn([*snapshot.remarks, *not_evaluated(snapshot.ignored, "the input")])


def check_manifests(scenario: Scenario) -> None:
    """Raise InputError, with what is wrong in them, for a scenario whose point is that its manifests are refused."""
    if scenario.problems:
        raise InputError(
            [Problem("this scenario shows that its manifests are refused:", scenario.file), *scenario.problems]
        )


def namespace_of_names(options: InputOptions) -> str:
    """The namespace of names that have none: that of -n or, on a live cluster, of the context; empty: not given."""
    if options.namespace or options.connection is None:
        return options.namespace
    from auditor.cluster.kubernetes.client.config import context_namespace

    return context_namespace(options.connection)


def in_namespace(name: str, namespace: str) -> str:
    """``name``, of a pod, or with the kind before it of a Service or workload, in ``namespace`` where it names none and
    one is given.
    """
    from auditor.policy.selection import POD_PREFIXES, SERVICE_PREFIXES

    prefix, slash, rest = name.partition("/")
    has_kind = prefix in (*SERVICE_PREFIXES, *POD_PREFIXES) or prefix.lower() in KINDS
    if not namespace or (slash and (not has_kind or "/" in rest)):
        return name
    return f"{prefix}/{namespace}/{rest}" if slash else f"{namespace}/{name}"


def endpoint_called(snapshot: Snapshot, name: str, other_than: Endpoint | None = None) -> Endpoint:
    """The endpoint of ``snapshot`` called ``name``, or one of those that this selection matches if no policy tells them
    apart: ``other_than`` this one, where there are several.

    Raises UsageError, with the closest names, when there is none, and with their names when they differ.
    """
    from auditor.run.naming import endpoints_called

    found = endpoints_called(snapshot, name)
    return found[0] if len(found) == 1 else _any_of(snapshot, name, found, other_than)


def _any_of(snapshot: Snapshot, name: str, found: Sequence[Endpoint], other_than: Endpoint | None) -> Endpoint:
    first = next((endpoint for endpoint in found if endpoint != other_than), found[0])
    from auditor.policy.evaluator import evaluate

    matrix = evaluate(snapshot)
    classes = {matrix.class_of(endpoint.name): endpoint.name for endpoint in reversed(found)}
    if len(classes) > 1:
        raise UsageError(
            f"{name} are {len(found)} endpoints that policies tell apart: name one, such as "
            f"{' or '.join(list(reversed(classes.values()))[:3])}"
        )
    say_aside(f"{name}: {first.name} is one of {len(found)} that no policy tells apart")
    return first
