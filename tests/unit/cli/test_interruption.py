from __future__ import annotations

import asyncio
import os
import signal

import pytest

from auditor.cli.interruption import run_interruptibly


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


def test_further_signals_do_not_break_the_clean_up(capsys):
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
        run_interruptibly(work())
    assert done == ["cleaned up"]
    assert capsys.readouterr().err.count(f"still cleaning up; kill -9 {os.getpid()} leaves nothing behind either") == 2


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
