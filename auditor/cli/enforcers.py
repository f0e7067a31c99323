"""``audit enforcers``: what the lab can play."""

from __future__ import annotations

import click

from auditor.model.dialect import DEFAULT_VALUES, DEFINITIONS, FAULTLESS, Dialect
from auditor.model.path_dialect import PATH_DEFINITIONS, PathDialect


@click.command("enforcers")
def command() -> int:
    """List the enforcers that the lab can run, faulty ones included.

    Use one with 'audit run --lab SCENARIO --enforcer NAME', NAME:VALUE or NAME@NODE.
    """
    import sys

    from auditor.report.console import open_console, print_paragraph

    console = open_console(sys.stdout)
    width = max(len(_written(dialect)) for dialect in Dialect) + 2
    for dialect in Dialect:
        mark = " " if dialect in FAULTLESS else "*"
        print_paragraph(console, f"{mark} {_written(dialect):<{width}}{DEFINITIONS[dialect]}", 0, width + 2)
    print_paragraph(console)
    print_paragraph(console, "Beside any of these, about what goes through Services (found with --services):")
    for path in PathDialect:
        print_paragraph(console, f"* {path:<{width}}{PATH_DEFINITIONS[path]}", 0, width + 2)
    print_paragraph(console)
    print_paragraph(console, "* faulty: an audit must find something wherever it makes a difference.")
    return 0


def _written(dialect: Dialect) -> str:
    """``slow:2``: the name, with the value that it has by default if it takes one."""
    return f"{dialect}:{DEFAULT_VALUES[dialect]:g}" if dialect in DEFAULT_VALUES else str(dialect)
