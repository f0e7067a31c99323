"""What ``--help`` of a command looks like: options under headings, so that those for one purpose are found together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from auditor.cli.connection import CONNECTION

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Scope": (
        *("namespaces", "all_namespaces", "selector", "externals"),
        *("scenario", "lab", "scenarios", "enforcers"),
        *("paths", "recursive", "replicas", "hosts"),
        *("sources", "destinations", "ports", "services", "dns", "intent", "former"),
    ),
    "Reading files": (
        *("kustomizations", "charts", "values", "exclude", "keep_going"),
        *("default_namespace", "pod_networks"),
    ),
    "Probe pods": (
        *("max_probe_pods", "max_connections", "coverage", "everything"),
        *("one_per_class", "per_node", "all_pods", "in_place", "sample", "image", "start_seconds", "accept"),
    ),
    "Report": (
        *("output", "output_file", "verbose", "full", "expand"),
        *("min_coverage", "accept_untested", "fail_on", "suppressions", "exit_code"),
    ),
    "From night to night": (
        *("history", "history_keep", "history_days", "baseline", "reports"),
        *("webhooks", "gateway"),
    ),
    "Probing": ("timeout", "retests", "settle", "late_isolation", "datagrams", "window"),
    "Options": (),
    "Connection to a live cluster": CONNECTION,
}
"""The headings, and the parameters whose options stand below each, in the order in which they are shown;
"Options" has the others.
"""
PATHS = frozenset({"PATH", "FILE", "DIR", "CHART", "PLACE", "SCENARIO"})
"""What follows options that name something to read or to write, in the words of --help."""
PATH_ARGUMENTS = frozenset({"old", "new", "run", "directory", "intents"})


class SectionedCommand(click.Command):
    """A command whose help has the ``examples`` and the sections of ``SECTIONS``, as far as it has options for them.

    An empty path is refused: mostly it comes from a variable that is not set, and it would mean the working directory.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._examples = examples

    def invoke(self, ctx: click.Context) -> Any:
        for parameter in self.params:
            name = parameter.name or ""
            if names_a_path(parameter) and name not in CONNECTION and _has_empty(ctx.params.get(name)):
                raise click.BadParameter("it is empty: name a file or a directory", ctx, parameter)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        everywhere = {name for names in SECTIONS.values() for name in names}
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if not isinstance(parameter, click.Argument) and (record := parameter.get_help_record(ctx)) is not None
        }
        if self._examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self._examples))
        for title, names in SECTIONS.items():
            chosen = names or [name for name in records if name not in everywhere]
            shown = [records[name] for name in chosen if name in records]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)


def names_a_path(parameter: click.Parameter) -> bool:
    """Whether the value of ``parameter`` is a file or a directory to read or to write, or several."""
    if isinstance(parameter, click.Argument):
        return parameter.name in PATH_ARGUMENTS
    return parameter.metavar in PATHS


def _has_empty(value: object) -> bool:
    return "" in value if isinstance(value, tuple) else value == ""
