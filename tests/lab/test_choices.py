"""Packets show what a choice of probe pods claims to notice; ``python -m tests.lab.choices`` asks more of them."""

from __future__ import annotations

import asyncio

import pytest

from tests.lab.choices import hold, problems

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.mark.parametrize("seed", [2])
def test_packets_show_what_a_choice_claims_and_nothing_that_it_says_to_miss(seed):
    held = asyncio.run(hold(seed, ways=2, one_in=4))  # its own computing may hold up this loop
    assert held.wrong == []
    assert problems([held]) == []
    assert held.count(True) > 20
