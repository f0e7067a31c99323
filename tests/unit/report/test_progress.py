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


def test_a_short_phase_is_one_line():
    assert lines_of([(0.9, 10)] * 10) == ["probing: 1,000 attempts"]


def test_a_line_tells_done_rate_and_time_left():
    assert lines_of([(5.0, 500), (5.0, 300)]) == [
        "probing: 1,000 attempts",
        "probing: 800 of 1,000, 80 %, 80/s, 2 s left",
    ]


def test_an_hour_is_a_handful_of_lines():
    told = lines_of([(1.0, 1)] * 3600)
    assert len(told) == 1 + 8
    assert len(set(told)) == len(told)


def test_what_is_done_again_and_again_is_told_once():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    for name in ("probing", "retesting", "retesting", "retesting", "probing"):
        progress.phase(name, 9)
        clock.now += 1
        progress.advance(9)
    assert stream.getvalue().splitlines() == ["probing: 9 attempts", "retesting: 9 attempts", "probing: 9 attempts"]


def test_the_next_phase_is_told_of_soon_after_a_long_one():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    for name in ("probing", "tracing"):
        progress.phase(name, 1000)
        for _ in range(11):
            clock.now += 1
            progress.advance(10)
    assert len(stream.getvalue().splitlines()) == 4


def test_a_phase_of_unknown_length_tells_no_share():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.phase("setting up", 0)
    clock.now = 10.0
    progress.advance(20)
    assert stream.getvalue().splitlines() == ["setting up", "setting up: 20, 2/s"]


def test_a_rate_below_one_a_second_is_not_told():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.phase("scenarios", 2)
    clock.now = 10.0
    progress.advance(1)
    assert stream.getvalue().splitlines()[1:] == ["scenarios: 1 of 2, 50 %, 10 s left"]


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
