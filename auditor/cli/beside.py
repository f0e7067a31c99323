"""The options that say what an audit tries beside the matrix: through Services, names, and Services by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from auditor.cli.parameters import with_options
from auditor.model.errors import UsageError

OPTIONS = (
    click.option(
        "--services",
        is_flag=True,
        help="Also try each connection through Services: ClusterIPs and NodePorts of the run's own, which lead to "
        "probe pods alone (docs/services.md).",
    ),
    click.option(
        "--dns",
        is_flag=True,
        help="Also have every audited pod look a name up as workloads do: by the cluster's own DNS, over UDP and TCP "
        "(docs/services.md).",
    ),
    click.option(
        "--service",
        "reach",
        multiple=True,
        metavar="NAMESPACE/NAME",
        help="Also look this Service of the cluster up by its name, and connect to it on each of its TCP ports; its "
        "own pods answer.",
    ),
)


def beside_options(command: Any) -> Any:
    """Give ``command`` all of them: ``services``, ``dns`` and ``reach``."""
    return with_options(command, OPTIONS)


def refuse_in_place(given: Mapping[str, Any]) -> None:
    """Raise UsageError for one of them that is given with --in-place."""
    for name, leads in (
        ("services", "services leads to"),
        ("dns", "dns asks from"),
        ("reach", "service connects from"),
    ):
        if given["in_place"] and given[name]:
            raise UsageError(f"--{leads} probe pods alone, and --in-place creates none: leave one out")
