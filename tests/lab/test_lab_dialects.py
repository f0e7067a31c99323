"""Each dialect with real packets: one question that it answers otherwise than the specification, asked under both."""

import asyncio

import pytest

from auditor.model.dialect import OF_TIERS, Dialect, Enforcement
from auditor.model.labels import LabelSelector
from tests.lab.lab_rig import (
    EGRESS,
    INGRESS,
    UDP,
    block,
    deny,
    labelled,
    make_agent_importable,
    namespaces,
    not_in,
    pods,
    policy,
    port,
    receive,
    rigged,
    rule,
    send,
    world,
)
from tests.marking import some

pytestmark = pytest.mark.lab

PER_LAB = 6
"""So many questions are put to one lab, each after policies of its own: setting a lab up takes longer than asking."""
EVERYTHING = rule()
OPENS, CLOSES = True, False
WEB_TO_DB = ("a/web", "a/db")


@pytest.fixture(autouse=True)
def _agent(monkeypatch):
    make_agent_importable(monkeypatch)


# Dialect, policies, question, and what the dialect does to it: it opens what the specification closes, or the reverse.
DEPARTURES = [
    (Dialect.ENFORCES_NOTHING, [deny(INGRESS, app="db")], WEB_TO_DB, OPENS),
    (Dialect.IGNORES_EGRESS, [deny(EGRESS, app="web")], WEB_TO_DB, OPENS),
    (Dialect.IGNORES_INGRESS, [deny(INGRESS, app="db")], WEB_TO_DB, OPENS),
    (Dialect.IGNORES_UDP, [deny(INGRESS, app="db")], (*WEB_TO_DB, "udp", 53), OPENS),
    (Dialect.IGNORES_IPV6, [deny(INGRESS, app="db")], (*WEB_TO_DB, "tcp", 80, 6), OPENS),
    (Dialect.IGNORES_PORTS, [receive(rule(ports=[port(81)]), app="db")], WEB_TO_DB, OPENS),
    (Dialect.IGNORES_PROTOCOL, [receive(rule(ports=[port(53)]), app="db")], (*WEB_TO_DB, "udp", 53), OPENS),
    (Dialect.IGNORES_PROTOCOL, [send(rule(ports=[port(80, protocol=UDP)]), app="web")], WEB_TO_DB, OPENS),
    (Dialect.IGNORES_END_PORT, [receive(rule(ports=[port(80, 81)]), app="db")], (*WEB_TO_DB, "tcp", 81), CLOSES),
    (
        Dialect.IGNORES_NAMED_PORTS,
        [receive(rule(ports=[port(name="sql")]), app="db")],
        (*WEB_TO_DB, "tcp", 5432),
        CLOSES,
    ),
    (Dialect.IGNORES_NAMED_PORTS, [send(rule(ports=[port(name="sql")]), app="web")], (*WEB_TO_DB, "tcp", 5432), CLOSES),
    (Dialect.IGNORES_EXCEPT, [receive(rule(block("10.244.0.0/16", "10.244.0.0/24")), app="db")], WEB_TO_DB, OPENS),
    (
        Dialect.IGNORES_NAMESPACE_SELECTOR,
        [receive(rule(namespaces(labelled(team="red"))), app="db")],
        ("b/client", "a/db"),
        OPENS,
    ),
    (
        Dialect.OWN_NAMESPACE_ONLY,
        [receive(rule(namespaces(labelled(team="blue"))), app="db")],
        ("b/client", "a/db"),
        CLOSES,
    ),
    (Dialect.OWN_NAMESPACE_ONLY, [receive(rule(namespaces(LabelSelector())), app="db")], WEB_TO_DB, CLOSES),
    (
        Dialect.POD_SELECTOR_ANY_NAMESPACE,
        [receive(rule(pods(labelled(app="web"))), app="db")],
        ("b/web", "a/db"),
        OPENS,
    ),
    (
        Dialect.PEERS_OR_INSTEAD_OF_AND,
        [receive(rule(namespaces(labelled(team="blue"), labelled(app="web"))), app="db")],
        ("b/client", "a/db"),
        OPENS,
    ),
    (
        Dialect.PEERS_OR_INSTEAD_OF_AND,
        [receive(rule(namespaces(labelled(team="blue"), labelled(app="web"))), app="db")],
        WEB_TO_DB,
        OPENS,
    ),
    (Dialect.LABEL_KEY_ONLY, [receive(rule(pods(labelled(app="nobody"))), app="db")], WEB_TO_DB, OPENS),
    (Dialect.LABEL_KEY_ONLY, [deny(INGRESS, app="nobody")], WEB_TO_DB, CLOSES),
    (
        Dialect.NOT_IN_NEEDS_KEY,
        [receive(rule(pods(labelled(not_in("tier", "back")))), app="web")],
        ("a/db", "a/web"),
        CLOSES,
    ),
    (
        Dialect.FIRST_POLICY_ONLY,
        [receive(EVERYTHING, name="z", app="db"), deny(INGRESS, name="a", app="db")],
        WEB_TO_DB,
        CLOSES,
    ),
    (Dialect.ISOLATES_BOTH_DIRECTIONS, [receive(EVERYTHING, app="web")], WEB_TO_DB, CLOSES),
    (Dialect.BLOCKS_SELF, [deny(INGRESS, app="web")], ("a/web", "a/web"), CLOSES),
    (Dialect.BLOCKS_SELF, [deny(EGRESS, app="web")], ("a/web", "a/web", "udp", 53, 6), CLOSES),
    (Dialect.BLOCKS_OWN_NODE, [deny(INGRESS, app="web")], ("node/n0", "a/web"), CLOSES),
    (Dialect.BLOCKS_OWN_NODE, [deny(INGRESS, app="web")], ("node/n0", "a/web", "udp", 53, 6), CLOSES),
    (Dialect.BLOCKS_OWN_NODE, [deny(EGRESS, app="web")], ("a/web", "node/n0"), CLOSES),
    (Dialect.STATELESS, [deny(INGRESS, app="web")], WEB_TO_DB, CLOSES),
    (Dialect.STATELESS, [deny(EGRESS, app="db")], (*WEB_TO_DB, "udp", 53), CLOSES),
    (Dialect.IP_BLOCK_SKIPS_PODS, [receive(rule(block("10.0.0.0/8")), app="db")], WEB_TO_DB, CLOSES),
    (Dialect.IP_BLOCK_SKIPS_PODS, [send(rule(block("172.18.0.0/16")), app="web")], ("a/web", "b/shared"), CLOSES),
    (Dialect.SHUTS_PODS, [receive(EVERYTHING, app="db")], WEB_TO_DB, CLOSES),
    (Dialect.SHUTS_PODS, [], WEB_TO_DB, CLOSES),
    (Dialect.KNOWS_NO_PODS, [receive(rule(pods(labelled(app="web"))), app="db")], WEB_TO_DB, CLOSES),
    (Dialect.KNOWS_NO_PODS, [send(rule(namespaces(LabelSelector())), app="web")], WEB_TO_DB, CLOSES),
    (Dialect.SHARES_DIRECTIONS, [policy(LabelSelector(), INGRESS, EGRESS, ingress=[EVERYTHING])], WEB_TO_DB, OPENS),
    (
        Dialect.SHARES_DIRECTIONS,
        [policy(LabelSelector(), INGRESS, EGRESS, egress=[rule(pods(labelled(app="db")), ports=[port(80)])])],
        WEB_TO_DB,
        OPENS,
    ),
    (
        Dialect.NAMES_OF_ANY_POD,
        [send(rule(ports=[port(name="sql")]), app="web")],
        ("a/web", "b/web", "tcp", 5432),
        OPENS,
    ),
]


def in_turns(cases):
    """``cases`` in pieces for one lab each, named after the dialects in them."""
    pieces = [cases[first : first + PER_LAB] for first in range(0, len(cases), PER_LAB)]
    marks = [[pytest.mark.slow] if number % 3 else [] for number in range(len(pieces))]
    return [
        pytest.param(piece, id=" ".join(dict.fromkeys(str(case[0]) for case in piece)), marks=marked)
        for piece, marked in zip(pieces, marks, strict=True)
    ]


@pytest.mark.parametrize("cases", in_turns(DEPARTURES))
async def test_departs_from_the_specification_only_under_the_dialect(cases):
    async with rigged(world()) as rig:
        for case in cases:
            dialect, policies, question, effect = case
            as_specified, otherwise = (rig.is_silent, rig.reaches) if effect is OPENS else (rig.reaches, rig.is_silent)
            await rig.lab.program(Enforcement(), policies=policies)
            assert await as_specified(*question), case
            await rig.lab.program(Enforcement.parse((dialect,)))
            assert await otherwise(*question), case
            await rig.lab.program(Enforcement())
            assert await as_specified(*question), case


ALIKE = [
    (
        Dialect.FIRST_POLICY_ONLY,
        [receive(EVERYTHING, name="a", app="db"), deny(INGRESS, name="z", app="db")],
        WEB_TO_DB,
    ),
    (Dialect.BLOCKS_SELF, [receive(EVERYTHING, app="web")], ("a/web", "a/web")),
    (Dialect.BLOCKS_SELF, [deny(INGRESS, app="web")], ("node/n0", "a/web")),
    (Dialect.BLOCKS_OWN_NODE, [deny(INGRESS, app="web")], ("a/web", "a/web")),
    (Dialect.BLOCKS_OWN_NODE, [deny(INGRESS, app="web")], ("a/web", "node/n0")),
    (Dialect.BLOCKS_OWN_NODE, [deny(EGRESS, app="web")], ("node/n0", "a/web", "udp", 53)),
    (Dialect.BLOCKS_OWN_NODE, [receive(rule(block("172.18.0.2/32")), app="web")], ("node/n0", "a/web")),
    (Dialect.IGNORES_PORTS, [receive(EVERYTHING, app="db")], WEB_TO_DB),
    (Dialect.IGNORES_NAMED_PORTS, [receive(rule(ports=[port(name="sql"), port(80)]), app="db")], WEB_TO_DB),
    (Dialect.IGNORES_IPV6, [receive(rule(block("10.244.0.0/16")), app="db")], WEB_TO_DB),
    (Dialect.IGNORES_UDP, [receive(rule(ports=[port(protocol=UDP)]), app="db")], (*WEB_TO_DB, "udp", 53)),
    (Dialect.STATELESS, [deny(EGRESS, app="client")], WEB_TO_DB),
    (Dialect.IP_BLOCK_SKIPS_PODS, [receive(rule(block("0.0.0.0/0")), app="db")], ("host/out", "a/db")),
    (Dialect.SHUTS_PODS, [deny(INGRESS, app="web")], ("a/web", "a/web")),
    (Dialect.SHUTS_PODS, [deny(INGRESS, app="web")], ("a/web", "node/n0")),
    (Dialect.KNOWS_NO_PODS, [receive(rule(block("10.0.0.0/8")), app="db")], WEB_TO_DB),
    (Dialect.KNOWS_NO_PODS, [receive(EVERYTHING, app="db")], WEB_TO_DB),
    (Dialect.SHARES_DIRECTIONS, [receive(EVERYTHING, app="db")], WEB_TO_DB),
    (Dialect.NAMES_OF_ANY_POD, [send(rule(ports=[port(name="sql")]), app="web")], (*WEB_TO_DB, "tcp", 5432)),
]


@pytest.mark.parametrize("cases", in_turns(ALIKE))
async def test_lets_through_what_its_definition_does_not_touch(cases):
    async with rigged(world()) as rig:
        for case in cases:
            dialect, policies, question = case
            await rig.lab.program(Enforcement.parse((dialect,)), policies=policies)
            assert await rig.reaches(*question), case


OF_ONE_POD = [
    ("enforces-nothing@a/db", [deny(INGRESS, app="db")], WEB_TO_DB, ("a/db", "a/web"), OPENS),
    ("shuts-pods@a/db", [receive(EVERYTHING)], WEB_TO_DB, ("a/web", "a/web"), CLOSES),
    ("shuts-pods@a/db", [], ("a/db", "a/web"), ("a/db", "node/n1"), CLOSES),
    ("knows-no-pods@a/web", [receive(rule(pods(LabelSelector())))], WEB_TO_DB, ("a/db", "a/web"), CLOSES),
    ("knows-no-pods@a/db", [send(rule(pods(LabelSelector())))], WEB_TO_DB, ("a/db", "a/web"), CLOSES),
]


@pytest.mark.parametrize(("enforcer", "policies", "changed", "kept", "effect"), some(OF_ONE_POD, 3))
async def test_about_one_pod_it_departs_for_that_pod_alone(enforcer, policies, changed, kept, effect):
    async with rigged(world(*policies)) as rig:
        opened, closed = rig.reaches, rig.is_silent
        assert await (closed if effect is OPENS else opened)(*changed)
        await rig.lab.program(Enforcement.parse((enforcer,)))
        assert await (opened if effect is OPENS else closed)(*changed)
        assert await opened(*kept)


async def test_stale_enforces_the_policies_before_the_last_change():
    async with rigged(world(deny(INGRESS, app="db")), enforcement=["stale"], previous_policies=()) as rig:
        assert await rig.reaches(*WEB_TO_DB)
        await rig.lab.program(Enforcement.parse(("stale",)), policies=[])
        assert await rig.is_silent(*WEB_TO_DB)
        await rig.lab.program(Enforcement())
        assert await rig.reaches(*WEB_TO_DB)


async def test_stale_without_a_change_is_the_specification():
    async with rigged(world(deny(INGRESS, app="db")), enforcement=["stale"]) as rig:
        assert await rig.is_silent(*WEB_TO_DB)


async def test_slow_is_open_first_and_then_the_specification():
    async with rigged(world(deny(INGRESS, app="db"))) as rig:
        assert await rig.is_silent(*WEB_TO_DB)
        await rig.lab.program(Enforcement.parse(("slow:3",)))
        assert await rig.reaches(*WEB_TO_DB)
        closed = [await rig.is_silent(*WEB_TO_DB) for _ in range(12) if not await asyncio.sleep(0.5)]
        assert closed[-1]


async def test_programming_anew_cancels_what_a_slow_enforcer_had_still_to_do():
    async with rigged(world(deny(INGRESS, app="db")), enforcement=["slow:1"]) as rig:
        await rig.lab.program(Enforcement.parse(("enforces-nothing",)))
        await asyncio.sleep(1.5)
        assert await rig.reaches(*WEB_TO_DB)


@pytest.mark.parametrize(
    ("destination", "protocol"),
    some([("10.244.1.11", "udp"), ("fd00:10:244:1::11", "tcp"), ("203.0.113.10", "udp")], 3),
)
async def test_flaky_drops_about_its_share_of_new_connections(destination, protocol):
    async with rigged(world(receive(EVERYTHING, app="db"))) as rig:
        # Most are dropped first: what once was answered has its connection known, and a port of it may come again.
        for share, least, most in (("1", 0, 0), ("0.3", 100, 175), ("0", 200, 200)):
            await rig.lab.program(Enforcement.parse((f"flaky:{share}",)))
            answered = await rig.ask("a/web", "many", address=destination, port=80, protocol=protocol, count=200)
            assert least <= answered <= most, share


async def test_flaky_connection_fares_alike_each_time():
    async with rigged(world(), enforcement=["flaky:0.5"]) as rig:
        sources = range(20001, 20011)
        first = [await rig.outcome(*WEB_TO_DB, "udp", 53, patience=0.5, source_port=source) for source in sources]
        again = [await rig.outcome(*WEB_TO_DB, "udp", 53, patience=0.5, source_port=source) for source in sources]
        assert first == again


async def test_flaky_leaves_alone_what_crosses_no_filter():
    async with rigged(world(), enforcement=["flaky:1"]) as rig:
        assert await rig.reaches("a/web", "a/web")
        assert await rig.reaches("a/web", "node/n0")
        assert await rig.reaches("host/out", "node/n0")
        assert await rig.is_silent("host/out", "a/web")


@pytest.mark.parametrize("family", [4, 6])
async def test_rejects_answers_what_the_specification_drops(family):
    async with rigged(world(deny(INGRESS, app="db"))) as rig:
        assert await rig.is_silent(*WEB_TO_DB, "tcp", 80, family)
        await rig.lab.program(Enforcement.parse(("rejects",)))
        assert await rig.outcome(*WEB_TO_DB, "tcp", 80, family) == "refused"
        assert (await rig.outcome(*WEB_TO_DB, "udp", 53, family)).startswith("unreachable")
        assert await rig.reaches("a/db", "a/web", "tcp", 80, family)


async def test_a_dialect_on_one_node_leaves_the_other_alone():
    policies = [deny(EGRESS), deny(EGRESS, namespace="b")]
    async with rigged(world(*policies), enforcement=["ignores-egress@n1"]) as rig:
        assert await rig.reaches("a/db", "a/web")
        assert await rig.reaches("b/web", "host/out")
        assert await rig.is_silent("a/web", "a/db")
        assert await rig.is_silent("b/client", "a/db")


def test_every_dialect_is_shown():
    shown = {case[0] for case in DEPARTURES} | {
        Dialect.STALE,
        Dialect.SLOW,
        Dialect.FLAKY,
        Dialect.REJECTS,
        Dialect.SPEC,
        *OF_TIERS,  # tests/lab/test_random_clusters.py, and the scenarios of rule 16
    }
    assert shown == set(Dialect)
    assert policy(labelled(), INGRESS) == deny(INGRESS, name="policy")
