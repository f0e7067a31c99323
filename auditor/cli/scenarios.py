"""``audit scenarios``: what can be given to ``audit run --lab``."""

from __future__ import annotations

import click

CLAIMS = {True: "claim holds", False: "claim is wrong", None: ""}


@click.command("scenarios")
def command() -> int:
    """List the scenarios that come with the auditor: name, title, and whether the claim that it tests holds."""
    import sys

    from auditor.report.console import open_console, print_paragraph
    from auditor.run.sources import load_scenario, scenario_names

    console = open_console(sys.stdout)
    scenarios = [load_scenario(name) for name in scenario_names()]
    for scenario in scenarios:
        remarks = [CLAIMS[scenario.claim_is_right], "is refused" if scenario.problems else ""]
        told = ", ".join(filter(None, remarks))
        print_paragraph(console, scenario.name + (f"  [{told}]" if told else ""))
        print_paragraph(console, scenario.title, 4)
    return 0
