from __future__ import annotations

import pytest

from auditor.probing.disruptions import LAG_SHARE, disruptions
from auditor.probing.session import Health

TIMEOUT = 3.0
LIMIT = LAG_SHARE * TIMEOUT


def found(health, *, gone="", restarted=False):
    return list(disruptions("a", gone=gone, restarted=restarted, health=health, timeout=TIMEOUT))


def test_a_third_of_the_timeout_is_what_an_agent_may_stand_still():
    assert pytest.approx(1.0) == LIMIT
    assert found(Health(LIMIT)) == []
    [disruption] = found(Health(LIMIT + 0.001))
    assert disruption.silence_only
    assert "stood still" in disruption.reason


def test_of_an_agent_that_is_gone_nothing_else_is_said():
    [disruption] = found(Health(LIMIT + 1), gone="it ended")
    assert (disruption.reason, disruption.silence_only) == ("it ended", False)


def test_one_that_can_not_be_asked_may_have_been_away():
    [disruption] = found(None)
    assert not disruption.silence_only
