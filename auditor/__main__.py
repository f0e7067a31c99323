"""``python -m auditor``: the command line without an installed script."""

from auditor.cli import main

main()
