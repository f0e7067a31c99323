"""Enforcers that the diagnosis does not know, with packets: what is seen under them is what was computed."""

import pytest

from tests.lab.unknown_faults import RefusesEndPort, SameNodeOpen, world_named
from tests.lab.unknown_packets import play

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("kind", [RefusesEndPort, SameNodeOpen])
async def test_packets_under_such_an_enforcer_are_what_was_computed(kind):
    assert await play(world_named("rule-06-end-port"), [kind]) == []
