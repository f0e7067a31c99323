from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.cluster.kubernetes.session import history as module
from auditor.cluster.kubernetes.session.changes import NAMESPACES, POLICIES, Changes
from auditor.cluster.kubernetes.session.history import MOST_STATES, StateHistory, Told, merged
from auditor.model.labels import LabelSelector
from auditor.model.policy import UnknownPolicy
from auditor.policy.doubt import doubtful_cells
from auditor.policy.evaluator import evaluate
from tests.unit.kubernetes.living import (
    EXPIRED,
    FORBIDDEN,
    PROD_POLICIES,
    namespace,
    policy,
    snapshot,
    until,
    versions,
    world,
)
from tests.unit.kubernetes.test_live import CELLS, ENDPOINTS

UNREADABLE = {"ingress": [{"from": [{"podSelector": {}, "somethingNew": {}}]}]}


def followed(store):
    """The changes from now on."""
    policies = [read_live_policy(item) for path, item in store.objects.items() if "/networkpolicies/" in path]
    return Changes(store, snapshot((), policies), versions(store))


def told(states):
    """Of each state the policies by name, with the values of app that they let in."""
    return [
        {
            each.name: [dict(peer.pod_selector.match_labels)["app"] for rule in each.ingress for peer in rule.peers]
            for each in state.policies
        }
        for state in states
    ]


async def watched(store):
    await until(lambda: sum(method == "WATCH" for method, _ in store.requests) >= 2)


async def test_a_cluster_at_rest_tells_nothing():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        assert list(await changes.take_states()) == []
    assert changes.trouble == ""


async def test_each_state_is_told_once_and_in_order():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        await watched(store)
        store.put(*policy("more", "api"))
        store.put(*policy("db", "api"))
        store.delete(f"{PROD_POLICIES}/more")
        await until(lambda: len(changes._history.states) == 3)
        assert told(await changes.take_states()) == [
            {"db": ["web"], "more": ["api"]},
            {"db": ["api"], "more": ["api"]},
            {"db": ["api"]},
        ]
        assert list(await changes.take_states()) == []


async def test_there_and_back_is_two_states():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        store.put(*policy("db", "api"))
        store.put(*policy("db", "web"))
        await until(lambda: len(changes._history.states) == 2)
        assert told(await changes.take_states()) == [{"db": ["api"]}, {"db": ["web"]}]


def written(store, collection, item, generation):
    """``item`` as an API server stores it that counts the changes of its spec."""
    item["metadata"]["generation"] = generation
    return store.put(collection, item)


async def test_there_and_back_that_no_watch_has_told_leaves_the_policy_in_doubt_for_that_while():
    store = world()
    written(store, *policy("calm", "web", app="web"), 1)
    uid = written(store, *policy("db", "web"), 1)["metadata"]["uid"]
    async with followed(store) as changes:
        assert list(await changes.take_states()) == []
        again = policy("db", "web")
        again[1]["metadata"]["uid"] = uid
        written(store, *again, 3)
        store.log.clear()
        doubtful, now = await changes.take_states()
        assert [each.full_name for each in doubtful.unknown] == ["prod/db"]
        assert told([doubtful, now]) == [{"calm": ["web"]}, {"calm": ["web"], "db": ["web"]}]
        assert now.unknown == ()
        assert list(await changes.take_states()) == []


async def test_so_does_one_that_was_replaced_by_its_like():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        await changes.take_states()
        store.delete(f"{PROD_POLICIES}/db")
        store.put(*policy("db", "web"))
        store.log.clear()
        doubtful, now = await changes.take_states()
        assert ([each.full_name for each in doubtful.unknown], now.unknown) == (["prod/db"], ())


async def test_a_namespace_that_was_written_unseen_leaves_policies_that_read_namespaces_in_doubt():
    store = world(policy("db", **ANY_TEAM), policy("web", "db", app="web"))
    async with followed(store) as changes:
        await changes.take_states()
        store.put(*namespace("prod", team="prod"))
        store.log.clear()
        doubtful, now = await changes.take_states()
        assert ([each.full_name for each in doubtful.unknown], now.unknown) == (["prod/db"], ())


async def test_what_says_the_same_is_no_change():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        for _ in range(3):
            store.put(*policy("db", "web"))
        store.put(*policy("last", "web"))
        await until(lambda: changes._history.states)
        assert told(await changes.take_states()) == [{"db": ["web"], "last": ["web"]}]


async def test_a_namespace_with_other_labels_a_new_one_and_one_that_is_gone():
    store = world()
    async with followed(store) as changes:
        store.put(*namespace("prod", team="other"))
        store.put(*namespace("new"))
        store.delete("/api/v1/namespaces/dev")
        await until(lambda: len(changes._history.states) == 2)
        relabelled, created = await changes.take_states()
        assert relabelled.namespaces["prod"].labels["team"] == "other"
        assert set(relabelled.namespaces) == {"dev", "prod"}
        # What stood in a namespace that is gone was audited with its labels, and still needs them.
        assert set(created.namespaces) == {"dev", "prod", "new"}


async def test_a_policy_that_can_not_be_read_comes_and_goes():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        store.put(*policy("db", **UNREADABLE))
        store.put(*policy("db", "web"))
        await until(lambda: len(changes._history.states) == 2)
        unreadable, readable = await changes.take_states()
    assert (unreadable.policies, [each.full_name for each in unreadable.unknown]) == ((), ["prod/db"])
    assert "somethingNew" in unreadable.unknown[0].why
    assert (len(readable.policies), readable.unknown) == (1, ())


async def test_after_an_expired_watch_a_new_list_tells_the_difference():
    store = world(policy("db", "web"), policy("old", "web"))
    store.faults[POLICIES.path] += [EXPIRED]
    store.faults[NAMESPACES.path] += [EXPIRED]
    changes = followed(store)
    store.delete(f"{PROD_POLICIES}/old")
    store.put(*policy("new", "api"))
    store.put(*namespace("prod", team="other"))
    store.log.clear()
    async with changes:
        await until(lambda: len(changes._history.states) == 3)
        last = (await changes.take_states())[-1]
    assert told([last]) == [{"db": ["web"], "new": ["api"]}]
    assert last.namespaces["prod"].labels["team"] == "other"
    gap = r"the API server forgot a part of what changed in \w+ during the run: what came and went in it is not known"
    assert re.fullmatch(gap, changes.trouble)


async def test_bookmarks_are_no_changes():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        await watched(store)
        store._tell(f"{PROD_POLICIES}/x", "BOOKMARK", {"metadata": {}})
        store.put(*policy("new", "api"))
        await until(lambda: changes._history.states)
        assert told(await changes.take_states()) == [{"db": ["web"], "new": ["api"]}]


async def test_where_watching_is_refused_that_is_told_and_what_there_is_in_the_end_is_known_all_the_same():
    store = world(policy("db", "web"))
    store.faults[POLICIES.path] += [FORBIDDEN]
    async with followed(store) as changes:
        await until(lambda: changes.trouble)
        store.put(*policy("db", "api"))
        assert told(await changes.take_states()) == [{"db": ["api"]}]
    assert changes.trouble.startswith("changes during the run could not be followed: ")
    assert "may not watch networkpolicies" in changes.trouble


async def test_an_api_server_that_is_away_is_told_and_raises_nothing():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        store.away = True
        assert list(await changes.take_states()) == []
    assert "can't be reached" in changes.trouble


async def test_a_watch_that_lags_behind_hides_nothing():
    store = world(policy("db", "web"))
    async with followed(store) as changes:
        store.put(*policy("db", "api"))
        store.log.clear()
        assert told(await changes.take_states()) == [{"db": ["api"]}]


async def test_more_states_than_are_kept_leave_what_moved_in_doubt(monkeypatch):
    store = world(policy("calm", "web", app="web"), policy("db"))
    async with followed(store) as changes:
        for number in range(MOST_STATES + 20):
            store.put(*policy("db", *(["web"] if number % 2 else ["api"])))
        store.put(*policy("db"))
        await until(lambda: told(changes._history.states[-1:]) == [{"calm": ["web"], "db": []}])
        await until(lambda: len(store.log) and changes._history.states[-1].unknown == ())
        states = await changes.take_states()
    assert len(states) == MOST_STATES
    merged_state = states[-2]
    assert [(each.full_name, each.why) for each in merged_state.unknown] == [("prod/db", module.UNFOLLOWED)]
    assert told([merged_state, states[-1]]) == [{"calm": ["web"]}, {"calm": ["web"], "db": []}]


@pytest.mark.parametrize(("more", "states"), [(0, MOST_STATES), (1, 2)])
def test_as_many_changes_as_are_kept_are_told_apart_when_they_come_in_one_list(more, states):
    history = StateHistory(snapshot((), []))
    listed = [Told.of(policy(f"p{number:03}", "web")[1]) for number in range(MOST_STATES + more)]
    history.compare(listed, of_policies=True)
    kept = history.take_states()
    assert len(kept) == states
    assert len(kept[-1].policies) == MOST_STATES + more
    assert all(bool(one.unknown) is bool(more) for one in kept[:-1])


def state(*policies, labels=None, unknown=()):
    made = snapshot(ENDPOINTS, [read_live_policy(item) for _, item in policies])
    moved = {name: replace(one, labels={**one.labels, **(labels or {})}) for name, one in made.namespaces.items()}
    return replace(made, namespaces=moved, unknown=tuple(unknown))


ANY_TEAM = {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}]}
UNKNOWN = UnknownPolicy("dev", "odd", LabelSelector(), "can't be read")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (state(policy("db", "web")), state(policy("db"))),
        (state(policy("db", "web")), state()),
        (state(), state(policy("db", "api"))),
        (state(policy("db", **ANY_TEAM)), state(policy("db", **ANY_TEAM), labels={"team": "x"})),
        (
            state(policy("db"), policy("web", "db", app="web")),
            state(policy("db", "web"), policy("web", "db", app="web")),
        ),
    ],
)
def test_a_merged_state_is_certain_of_nothing_that_differed(one, other):
    both = merged(one, other)
    doubtful = doubtful_cells(both, both.unknown, CELLS)
    first, second, matrix = evaluate(one), evaluate(other), evaluate(both)
    assert any(first.verdict(*cell) is not second.verdict(*cell) for cell in CELLS)
    for cell in CELLS:
        if cell not in doubtful:
            assert first.verdict(*cell) is second.verdict(*cell) is matrix.verdict(*cell)


def test_merging_keeps_what_is_the_same_and_what_could_not_be_read():
    one, other = state(policy("db"), policy("x", "web"), unknown=[UNKNOWN]), state(policy("db"), unknown=[])
    both = merged(one, other)
    assert told([both]) == [{"db": []}]
    assert {each.full_name for each in both.unknown} == {"dev/odd", "prod/x"}
    again = merged(both, state(policy("db"), policy("x", "web")))
    assert {each.full_name for each in again.unknown} == {"dev/odd", "prod/x"}


async def test_nothing_goes_on_afterwards():
    before = asyncio.all_tasks()
    async with followed(world()):
        assert len(asyncio.all_tasks() - before) == 2
    assert asyncio.all_tasks() == before
