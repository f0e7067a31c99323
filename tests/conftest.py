"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys

import hypothesis

hypothesis.settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

PERSONAL = (
    "AUDIT_DEBUG",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "KUBECONFIG",
    "LINES",
    "NO_COLOR",
    "PYTHONUNBUFFERED",
)
"""Variables that change what an audit prints, or which cluster it finds: each test says what it needs of them."""


def pytest_configure() -> None:
    """Take signals back that those who started us ignore or block: a shell for a job in the background, nohup. Children
    would inherit that.
    """
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    for name in PERSONAL:
        os.environ.pop(name, None)
    _keep_bytecode()
    os.environ["TERM"] = (
        "xterm"  # what a CI system or a job without a terminal has for it decides whether there are colours
    )


def pytest_collection_finish() -> None:
    """Keep all modules and tests out of garbage collections: they stay to the end, and there are so many that looking
    at them again and again takes longer than many a test.
    """
    gc.collect()
    gc.freeze()


def _keep_bytecode() -> None:
    """Keep what is compiled, also where containers and CI systems switch that off: the workers and some hundred
    processes of tests would each compile the whole program anew, which takes longer than what most of them then do.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
