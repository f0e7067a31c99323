"""What a new pod's first process tries and tells, as a process of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from ipaddress import ip_address

import pytest

from auditor.cluster.kubernetes.objects import WAIT
from auditor.cluster.kubernetes.session.first_tries import ASK, KNOCK, TRY, as_arguments, read_told, read_tries
from tests.unit.probing.processes import free_ports

HERE = ip_address("127.0.0.1")


def ask():
    """What it says by now; empty before it can be asked."""
    return subprocess.run([sys.executable, "-ISc", ASK], capture_output=True, check=False, timeout=20).stdout


def test_it_tries_from_its_start_on_and_tells_until_when_each_target_was_open():
    shut, reached = free_ports(2)
    listener = socket.create_server((str(HERE), 0))
    targets = [(HERE, listener.getsockname()[1]), (HERE, shut)]
    code = TRY + WAIT.replace("REACHED", str(reached))
    before = time.monotonic()
    with subprocess.Popen([sys.executable, "-ISc", code, *as_arguments(targets)]) as first:
        try:
            listener.accept()[0].close()
            while not read_tries(ask(), 2) and time.monotonic() < before + 20:
                time.sleep(0.05)
            listener.close()
            ended = time.monotonic() - before
            time.sleep(0.3)
            opened, closed = read_tries(ask(), 2)
        finally:
            first.terminate()
            code = first.wait(20)
    assert code == 0
    assert 0 < opened.began <= opened.open_until <= ended + 0.05 < opened.age
    assert 0 < closed.began < closed.age
    assert closed.open_until is None


def test_it_listens_where_it_is_told_and_a_pod_that_was_there_before_tells_until_when_that_was_open():
    port, reached = free_ports(2)
    code = TRY + WAIT.replace("REACHED", str(reached))
    knocking = [sys.executable, "-ISc", KNOCK, *as_arguments([(HERE, port)])]
    with subprocess.Popen(knocking, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as knock:
        with subprocess.Popen([sys.executable, "-ISc", code, str(port)]) as first:
            told = None
            while told is None or told.tries[0].open_until is None:
                told = read_told(knock.stdout.readline(), 1)
            first.terminate()
            first.wait(20)
        lines = [read_told(knock.stdout.readline(), 1) for _ in range(5)]
        knock.stdin.close()
        assert knock.wait(20) == 0
    last = lines[-1]
    assert last.tries[0].began < told.tries[0].open_until <= last.tries[0].open_until < last.age - 0.3


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"[1]",
        b'[1, [["a", null]]]',
        b"[1, [[null, null]]]",
        b"[1, [[1, NaN]]]",
        b"[-1, [[1, 1]]]",
        b"[1, [[1, true]]]",
        b"[1, [[1, 1], [1, 1]]]",
        b"\xff",
        b"[1, [[1]]]",
    ],
)
def test_what_makes_no_sense_says_nothing(line):
    assert read_tries(line, 1) == []


def test_no_more_targets_are_given_than_a_command_has_room_for():
    assert len(as_arguments([(HERE, port) for port in range(1, 1000)])) == 32
