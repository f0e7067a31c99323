"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

MANY_WORKERS = 4
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
    gc.disable()
    os.environ["TERM"] = (
        "xterm"  # what a CI system or a job without a terminal has for it decides whether there are colours
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have the tests that send packets begin at once, at all workers but one: they wait more than they compute, and
    what the others compute meanwhile costs no time. ``--dist worksteal`` gives each worker an equal piece of the list.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    waiting = [item for item in items if item.get_closest_marker("lab")]
    if not waiting or workers < MANY_WORKERS:
        return
    computing = [item for item in items if not item.get_closest_marker("lab")]
    places = workers - 1
    piece = -(-len(waiting) // places)
    fill = max(0, len(items) // workers - piece)
    items.clear()
    for place in range(places):
        items += waiting[place * piece : (place + 1) * piece] + computing[place * fill : (place + 1) * fill]
    items += computing[places * fill :]


def pytest_collection_finish() -> None:
    """Keep all modules and tests out of garbage collections: they stay to the end, and there are so many that looking
    at them again and again takes longer than many a test.
    """
    gc.freeze()
    gc.enable()


def _keep_bytecode() -> None:
    """Keep what is compiled, also where containers and CI systems switch that off: the workers and some hundred
    processes of tests would each compile the whole program anew, which takes longer than what most of them then do.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
