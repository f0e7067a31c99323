from __future__ import annotations

import gc

from auditor.cli import application
from auditor.loop.collections import brief_collections


def collected(generation):
    return gc.get_stats()[generation]["collections"]


def make_many_that_stay():
    return [[[]] for _ in range(1_000_000)]


def test_old_objects_are_looked_at_no_more_and_young_ones_are():
    with brief_collections():
        before = [collected(generation) for generation in range(3)]
        kept = make_many_that_stay()
        after = [collected(generation) for generation in range(3)]
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert after[2] == before[2]
    assert len(kept) == 1_000_000


def test_afterwards_all_is_as_before():
    before = gc.get_threshold()
    with brief_collections():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before


def test_cycles_among_young_objects_go():
    with brief_collections():
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(200_000):
            cycle = []
            cycle.append(cycle)
        assert len(gc.get_objects()) < before + 100_000


def test_commands_collect_briefly(monkeypatch):
    seen = []
    monkeypatch.setattr(application.audit, "invoke", lambda _: seen.append(gc.get_threshold()))
    application.run(["enforcers"])
    with brief_collections():
        assert seen == [gc.get_threshold()]
