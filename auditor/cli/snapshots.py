"""From the paths after ``-f`` to a snapshot: what ``audit expect`` and ``audit explain`` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, IPAddress, Snapshot


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What to read: ``paths`` of files, directories and scenarios, how deep, how many replicas, and external hosts beside them."""

    paths: tuple[str, ...]
    recursive: bool = False
    replicas: int = 2
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False)


def read_input(options: InputOptions) -> Snapshot:
    """The snapshot that ``options`` describe: of all manifests together, or of one scenario.

    Raises UsageError for paths that can't be read, InputError for what is wrong in them.
    """
    from auditor.policy.reading.manifests import read_snapshot
    from auditor.policy.reading.scenario import is_scenario, read_scenario
    from auditor.run.sources import load_sources, manifests_beside

    sources = load_sources(options.paths, recursive=options.recursive)
    scenarios = [source for source in sources if is_scenario(source)]
    if not scenarios:
        return read_snapshot(sources, replicas=options.replicas, hosts=options.hosts)
    if len(sources) > 1:
        raise UsageError(f"{scenarios[0].name}: a scenario is a whole cluster; give it alone")
    if options.hosts:
        raise UsageError(f"{scenarios[0].name}: --host goes with manifests; a scenario names its own hosts")
    scenario = read_scenario(scenarios[0], manifests_beside(scenarios[0].name))
    if scenario.problems:
        raise UsageError(f"{scenarios[0].name}: this scenario shows that its manifests are refused; there is nothing to evaluate")
    return scenario.snapshot


def endpoint_called(snapshot: Snapshot, name: str) -> Endpoint:
    """The endpoint of ``snapshot`` called ``name``; UsageError, with the closest names, when there is none."""
    try:
        return snapshot.endpoint(name)
    except KeyError:
        close = get_close_matches(name, [endpoint.name for endpoint in snapshot.endpoints], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "pods are NAMESPACE/NAME, others host/NAME and node/NAME"
        raise UsageError(f"no endpoint is called {name!r}: {hint}") from None
