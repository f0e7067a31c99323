from __future__ import annotations

import io

import pytest
from rich.console import Console

from auditor.report.progress import LineProgress, Silence, open_progress
from auditor.report.progress_bar import BarProgress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def lines_of(steps):
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.phase("probing", 1000)
    for seconds, attempts in steps:
        clock.now += seconds
        progress.advance(attempts)
    return stream.getvalue().splitlines()


def test_lines_are_rate_limited():
    assert lines_of([(0.1, 10)] * 10) == ["probing: 1,000 attempts"]


def test_a_line_tells_done_rate_and_time_left():
    assert lines_of([(1.0, 100), (1.0, 100)]) == [
        "probing: 1,000 attempts",
        "probing: 200 of 1,000, 20 %, 100/s, 8 s left",
    ]


def test_at_most_one_line_every_two_seconds():
    assert len(lines_of([(0.5, 10)] * 40)) == 1 + 10


def test_a_phase_of_unknown_length_tells_no_share():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.phase("setting up", 0)
    clock.now = 4.0
    progress.advance(8)
    assert stream.getvalue().splitlines() == ["setting up", "setting up: 8, 2/s"]


def test_a_rate_below_one_a_second_is_not_told():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.phase("scenarios", 2)
    clock.now = 4.0
    progress.advance(1)
    assert stream.getvalue().splitlines()[1:] == ["scenarios: 1 of 2, 50 %, 4 s left"]


def test_plain_lines_when_the_stream_is_no_terminal():
    stream = io.StringIO()
    with open_progress(stream) as progress:
        progress.note("demo: 9 endpoints in 7 classes")
        progress.phase("controls", 12)
    assert stream.getvalue() == "demo: 9 endpoints in 7 classes\ncontrols: 12 attempts\n"


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_plain_lines_on_a_terminal_that_can_redraw_nothing(kind, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    stream = io.StringIO()
    stream.isatty = lambda: True
    with open_progress(stream) as progress:
        progress.phase("controls", 12)
    assert stream.getvalue() == "controls: 12 attempts\n"


def test_quiet_tells_nothing():
    stream = io.StringIO()
    with open_progress(stream, quiet=True) as progress:
        assert isinstance(progress, Silence)
        progress.note("demo")
        progress.phase("controls", 12)
        progress.advance(12)
    assert not stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar():
    with open_progress(Terminal()) as progress:
        assert isinstance(progress, BarProgress)


def test_the_bar_shows_phase_and_counts_and_notes():
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with BarProgress(console) as progress:
        progress.note("demo: 9 endpoints in 7 classes")
        progress.phase("controls", 12)
        progress.phase("[probing]", 1000)
        progress.advance(250)
        progress._bar.refresh()
    text = stream.getvalue()
    assert "demo: 9 endpoints in 7 classes" in text
    assert "[probing]" in text
    assert "250/1000" in text


def test_a_bar_ends_with_its_block_however_that_ends():
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    bar = BarProgress(console)
    with pytest.raises(KeyboardInterrupt), bar:
        raise KeyboardInterrupt
    assert bar._bar.live.is_started is False
    assert "\x1b[?25h" in stream.getvalue(), "the cursor is shown again"
