"""What all tests share."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Take SIGINT back where it is ignored, as in a job that a shell runs in the background: children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
