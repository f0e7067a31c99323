"""Which pods an audit in place joins from night to night."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.run.live_plan import plan_live
from auditor.run.sampling import drawn
from tests.oracle.clusters import cluster, pod, policy
from tests.unit.run.test_plan_live import options


def pods_of(sizes, nodes=3):
    """Pods of several classes, called ``CLASS-NUMBER``."""
    return {
        f"{kind}-{number}": pod(f"prod/{kind}-{number}", node=f"n-{number % nodes}")
        for kind, size in enumerate(sizes)
        for number in range(size)
    }


def class_of(name):
    return int(name.partition("-")[0])


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7), number=st.integers(1, 12), day=st.integers(0, 10**6))
def test_in_time_every_pod_has_its_turn_and_no_night_joins_more(sizes, number, day):
    pods = pods_of(sizes)
    seen = set()
    for night in range(day, day + max(sizes) * len(sizes) + len(sizes)):
        tonight = drawn(pods, class_of, number, night)
        assert len(tonight) == min(number, len(pods))
        if number >= len(sizes):
            assert {class_of(name) for name in tonight} == set(range(len(sizes)))
        assert tonight == drawn(dict(reversed(pods.items())), class_of, number, night)
        seen |= tonight
    assert seen == set(pods)


def test_pods_of_other_nodes_come_first():
    pods = pods_of([6])
    three = [drawn(pods, class_of, 1, night) for night in range(3)]
    assert {pods[name].node for names in three for name in names} == {"n-0", "n-1", "n-2"}


WEBS = [pod(f"prod/web-{n}", {"app": "web"}, f"10.0.0.{n + 1}", node=f"n-{n % 2}") for n in range(4)]
DB = pod("prod/db-1", {"app": "db"}, "10.0.0.9", node="n-1")
STALLED = pod("prod/job-1", {"app": "job"}, node="n-1")
SNAPSHOT = cluster(
    *WEBS,
    DB,
    STALLED,
    pod("dev/client", {"app": "client"}, "10.0.1.1", node="n-1"),
    policies=[policy("prod/db", {"app": "db"}, ingress=[]), policy("prod/job", {"app": "job"}, egress=[])],
)


@pytest.mark.parametrize("night", range(4))
def test_a_sample_has_each_kind_and_other_pods_every_night(night):
    asked = replace(options(in_place=True), sample=2, night=night)
    planned = plan_live(LiveSnapshot(SNAPSHOT), asked)
    joined = {"/".join(place) for place in planned.members.values()}
    assert len(joined) == 2
    assert "prod/db-1" in joined
    assert joined != {
        "/".join(place) for place in plan_live(LiveSnapshot(SNAPSHOT), replace(asked, night=night + 1)).members.values()
    }
    assert "2 pods joined by --sample 2, drawn for today: other days join others" in planned.remarks
    assert set(planned.absent.values()) >= {"none of its pods runs"}
