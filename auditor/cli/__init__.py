"""The command line: one module per command, each of which parses, builds a frozen options object, calls, and returns an
exit code.
"""

import sys


def main() -> None:
    """Run the command line and exit."""
    from auditor.cli.application import run

    sys.exit(run())
