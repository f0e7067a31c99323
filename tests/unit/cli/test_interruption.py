from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from types import SimpleNamespace

import click
import pytest

from auditor.cli import application
from auditor.cli.interruption import LEAVES_NOTHING, LEAVES_PODS, LEAVES_THE_REST, SIGNALS, run_interruptibly
from auditor.loop.apart import apart
from tests.e2e import conftest
from tests.e2e.auditing import HELD_UP


def test_the_result_is_passed_on():
    async def work():
        await asyncio.sleep(0)
        return 7

    assert run_interruptibly(work()) == 7


def test_an_error_is_passed_on():
    async def work():
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        run_interruptibly(work())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_work_which_cleans_up(number, capsys):
    done = []

    async def work():
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(30)
            done.append("went on")
        finally:
            await asyncio.sleep(0)
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work())
    assert done == ["cleaned up"]
    assert capsys.readouterr().err == "cleaning up ...\n"


@pytest.mark.parametrize("after_kill", [LEAVES_NOTHING, LEAVES_PODS, LEAVES_THE_REST])
def test_further_signals_do_not_break_the_clean_up_and_say_what_a_kill_would_leave(capsys, after_kill):
    done = []

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(30)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work(), after_kill)
    assert done == ["cleaned up"]
    assert capsys.readouterr().err.count(f"still cleaning up; kill -9 {os.getpid()} {after_kill}\n") == 2


def compute():
    while True:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_while_something_is_computed_apart(number):
    done = []

    async def work():
        try:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
            await apart(compute)
        finally:
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work())
    assert done == ["cleaned up"]


async def blocking():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass


def test_debug_tells_how_long_nobody_listened(capsys):
    with click.Context(application.audit) as context:
        context.params["debug"] = True
        run_interruptibly(blocking())
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        r"debug: \d+\.\d\d s without a turn, 0\.\d\d s of it computing at test_interruption\.py:\d+, in blocking",
        lines[0],
    )
    assert lines[1].startswith("debug: at most, the event loop was ")
    assert re.fullmatch(
        r"debug: at most, its own thread or a garbage collection held it up for 0\.[45]\d\d s", lines[2]
    )


def test_the_suite_on_a_real_cluster_finds_that_line_and_tells_the_worst_at_its_end(capsys, monkeypatch):
    with click.Context(application.audit) as context:
        context.params["debug"] = True
        run_interruptibly(blocking())
    seconds = [float(found) for found in HELD_UP.findall(capsys.readouterr().err)]
    assert len(seconds) == 1
    lines = []
    reporter = SimpleNamespace(write_line=lines.append)
    conftest.pytest_terminal_summary(reporter)
    assert lines == [], "no audit of a real cluster was watched"
    monkeypatch.setattr(conftest, "held_up", [0.0, *seconds, 0.001])
    conftest.pytest_terminal_summary(reporter)
    assert lines == [f"3 audits were watched: at most, an event loop was held up for {seconds[0]:.3f} s"]


def test_without_debug_nothing_is_told(capsys):
    with click.Context(application.audit) as context:
        context.params["debug"] = False
        run_interruptibly(blocking())
    assert capsys.readouterr().err == ""


def test_the_handlers_of_before_are_back_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    async def work():
        return None

    run_interruptibly(work())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work():
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        return "went on"

    try:
        assert run_interruptibly(work()) == "went on"
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("arguments", "work", "left"),
    [
        (["run", "-n", "prod"], "auditor.run.live.audit_live", "probe pods"),
        (["run", "-n", "prod", "--in-place"], "auditor.run.live.audit_live", "ephemeral containers"),
        (["conformance"], "auditor.cli.conformance._run", "namespaces netpol-conf-..."),
        (["run", "--lab", "demo"], "auditor.run.lab.audit_lab", "nothing behind"),
    ],
)
def test_the_second_signal_says_what_a_kill_would_leave_of_this_very_command(
    arguments, work, left, capsys, monkeypatch
):
    async def interrupted_twice(*_):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(30)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.01)

    monkeypatch.setattr(work, interrupted_twice)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        assert application.run([*arguments, "-q"]) == 130
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = [line for line in capsys.readouterr().err.splitlines() if "kill -9" in line]
    assert len(said) == 1
    assert left in said[0]
    assert ("'audit cleanup'" in said[0]) is ("--lab" not in arguments)
