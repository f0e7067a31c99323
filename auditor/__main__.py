"""``python -m auditor``: the command line where no console script is installed."""

from auditor.cli import main

main()
