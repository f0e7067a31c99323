"""Waves: as few as there is room for."""

from collections import Counter

from auditor.run.conformance.waves import make_waves
from tests.unit.conformance.shipped import prepared_scenarios


def test_everything_goes_into_one_wave_where_there_is_room():
    (wave,) = make_waves(prepared_scenarios(), {"a": 500, "b": 500})
    assert wave.prepared_scenarios == list(prepared_scenarios())
    assert all(len(set(nodes.values())) == 2 for nodes in wave.nodes.values())


def test_no_wave_has_more_pods_than_a_node_takes():
    waves = make_waves(prepared_scenarios(), {"a": 30, "b": 40})
    assert [prepared for wave in waves for prepared in wave.prepared_scenarios] == list(prepared_scenarios())
    assert all(wave.pods["a"] <= 30 and wave.pods["b"] <= 40 for wave in waves)
    assert len(waves) < 8


def test_one_node_stands_for_all():
    (wave,) = make_waves(prepared_scenarios()[:2], {"only": 100})
    assert {node for nodes in wave.nodes.values() for node in nodes.values()} == {"only"}


def test_no_more_gives_way_than_the_next_wave_needs():
    first, second, *_ = make_waves(prepared_scenarios(), {"a": 58, "b": 58})
    room = {"a": 58, "b": 58}
    going = first.giving_way(second, room)
    without_the_last = sum(map(first.pods_of, going[:-1]), Counter())
    there = Counter(room) - first.pods
    assert second.pods - there - without_the_last
    assert not second.pods - there - (without_the_last + first.pods_of(going[-1]))
    last = make_waves(prepared_scenarios()[:30], {"a": 60, "b": 60})[-1]
    assert len(first.giving_way(last, room)) < len(first.prepared_scenarios)
    assert first.giving_way(second, {"a": 200, "b": 200}) == []
