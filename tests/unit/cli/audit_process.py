"""The command line as users meet it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

NOT_A_USERS = ("AUDIT_DEBUG", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONUNBUFFERED")
"""Variables that change what an audit prints, or when: users rarely have them."""


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name not in NOT_A_USERS}
    return {**kept, "PYTHONWARNINGS": "error", **changes}


def audit_process(*arguments, stdin=b"", stdout=subprocess.PIPE, cwd=None, **changes):
    """Runs ``audit`` with ``arguments``; returns the finished process, its output as text."""
    command = [sys.executable, "-m", "auditor", *map(str, arguments)]
    done = subprocess.run(
        command,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**changes),
        cwd=cwd,
        timeout=110,
        check=False,
    )
    done.stderr = done.stderr.decode()
    if done.stdout is not None:
        done.stdout = done.stdout.decode()
    return done
