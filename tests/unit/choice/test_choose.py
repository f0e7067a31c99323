"""What is chosen for clusters of a few lines, and what of it a run has noticed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from auditor.choice.choose import TIMES, Bounds, choose
from auditor.choice.misreadings import misreadings
from auditor.choice.world import World
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.diagnosis.admin_proof import NOT_CHOSEN
from auditor.diagnosis.asked import Asked
from auditor.diagnosis.proof import policy_tests
from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.errors import LimitError
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction
from auditor.model.ports import PortRequest, Protocol
from auditor.model.report import CellResult
from auditor.model.verdict import Observation, Observed, Result
from auditor.probe_pods.choice import Mode, ProbeRequest
from auditor.run.live_plan import LiveOptions, narrowed, plan_live
from auditor.run.planning import AuditOptions, plan
from tests.oracle.clusters import block, cluster, host, pod, pods, policy, rule

TEAMS = 20
CALLS = cluster(
    *(
        pod(f"t{team}/{app}-{copy}", {"app": app}, ports=["http=TCP/8080"], node=f"n{copy}")
        for team in range(TEAMS)
        for app in ("web", "db", "job")
        for copy in range(2)
    ),
    pod("dns/dns", {"app": "dns"}, node="n0"),
    policies=[
        each
        for team in range(TEAMS)
        for each in (
            policy(f"t{team}/all", {}, ingress=[], egress=[rule(pods({"app": "dns"}, {"of": "dns"}), "UDP/53")]),
            policy(f"t{team}/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "TCP/8080")]),
            policy(f"t{team}/web", {"app": "web"}, egress=[rule(pods({"app": "db"}), "TCP/8080")]),
        )
    ],
    labels={"dns": {"of": "dns"}},
)

EXCEPTING = block("203.0.113.0/24", "203.0.113.7/32")


def chosen(snapshot=CALLS, namespaces=("t3",), outside=(), **bounds):
    return choose(snapshot, outside, ProbeRequest(tuple(namespaces)), Bounds(**{"probe_pods": 100, **bounds}))


def noticing(found):
    return found.ledger.of(found.connections)


def planned(**said):
    return plan_live(LiveSnapshot(CALLS), LiveOptions(ConnectionOptions(), **said))


def test_few_pods_in_few_namespaces_notice_all_that_can_be_noticed():
    found = chosen()
    assert noticing(found).noticed == noticing(found).ways > 25
    assert noticing(found).policies == 3
    assert {probe.namespace for probe in found.probe_pods} <= {"t3", "dns", "t0"}
    assert len(found.probe_pods) <= 8
    assert not found.without


def test_all_namespaces_share_what_there_is_room_for():
    found = chosen(namespaces=(), probe_pods=24)
    told = noticing(found)
    assert len(found.probe_pods) <= 24
    assert 0.3 < told.share < 1.0
    assert len(told.missed) == 100
    assert len(found.without) >= TEAMS
    assert told.noticed == noticing(chosen(namespaces=(), probe_pods=24)).noticed


def test_traffic_inside_a_kind_of_pod_gets_a_second_probe_pod_on_another_node():
    ring = cluster(
        *(pod(f"ring/store-{number}", {"app": "store"}, node=f"n{number}") for number in range(3)),
        policies=[policy("ring/store", {"app": "store"}, ingress=[rule(pods({"app": "store"}), "TCP/7000")])],
    )
    found = chosen(ring, ("ring",))
    assert len({probe.node for probe in found.probe_pods}) == 2
    assert sorted(name for probe in found.probe_pods for name in probe.stands_for) == [
        "ring/store-0",
        "ring/store-1",
        "ring/store-2",
    ]
    assert noticing(found).share == 1.0


def test_an_except_is_noticed_at_a_host_outside_that_was_named():
    ends = cluster(
        pod("app/web", {"app": "web"}, "10.0.0.1"),
        policies=[
            policy("app/web", {"app": "web"}, egress=[rule(block("203.0.113.0/24", "203.0.113.7/32"), "TCP/443")])
        ],
    )
    named = host("there", "203.0.113.7")
    outside = type(named)(
        named.name, named.kind, addresses=named.addresses, ports=pod("x/x", ports=["p=TCP/443"]).ports
    )
    found = chosen(ends, ("app",), (outside,))
    assert len(found.probe_pods) == 1
    assert {(each.source, each.destination, str(each.port)) for each in found.connections} == {
        ("app/web", "host/there", "TCP/443")
    }
    whats = {way.what for area in found.ledger.areas for way in area.whats}
    assert "the except list of ipBlocks is ignored" in whats
    assert not chosen(ends, ("app",)).connections


def test_what_is_in_a_closed_namespace_is_not_created_and_stays_missed():
    request = ProbeRequest(("t3",), closed=("dns",))
    found = choose(CALLS, (), request, Bounds(100))
    assert "dns" not in {probe.namespace for probe in found.probe_pods}
    assert noticing(found).ways == noticing(chosen()).ways
    assert 0 < noticing(found).noticed < noticing(found).ways
    assert any(each.startswith("t3/all for t3/") for each in noticing(found).missed)


def test_what_got_no_verdict_has_noticed_nothing():
    intended = planned(namespaces=("t3",), coverage=1.0)
    matrix, probes = plan(intended.snapshot, narrowed(AuditOptions(), intended, in_place=False))
    assert len(probes.cells) == len(intended.chosen.connections)
    results = [
        CellResult(
            cell,
            matrix.verdict(*cell),
            Observation(Observed.ALLOWED, "connected")
            if cell.destination.startswith("t3/")
            else Observation(Observed.SKIPPED, "no probe pod"),
            Result.MATCH if cell.destination.startswith("t3/") else Result.SKIPPED,
        )
        for cell in probes.cells
    ]
    told = intended.chosen.ledger.of_results(results)
    assert 0 < told.noticed < told.ways
    assert intended.chosen.ledger.of_results([]).noticed == 0


def test_policies_of_pods_that_get_no_probe_pod_are_untested():
    intended = planned(max_probe_pods=12)
    assert intended.absent
    options = narrowed(AuditOptions(), intended, in_place=False)
    asked = Asked(dict.fromkeys(Direction, options.scope), intended.absent)
    tests = policy_tests(intended.snapshot, (), asked)
    reasons = {reason for each in tests.untested for reason in each.reasons}
    assert any("more than --max-probe-pods 12" in reason for reason in reasons)
    assert tests.in_scope == 3 * TEAMS


def test_an_administrators_policy_of_which_nothing_chosen_shows_anything_is_untested():
    every = LabelSelector()
    deny = AdminRule(Action.DENY, (AdminPeer(LabelSelector((("of", "dns"),)), every),))
    job = LabelSelector((("app", "job"),))
    guard = AdminPolicy("ClusterNetworkPolicy", "guard", AdminTier.ADMIN, 0, every, job, egress=(deny,))
    key = (guard.full_name, Direction.EGRESS)
    live = LiveSnapshot(replace(CALLS, admin_policies=(guard,)))
    few = plan_live(live, LiveOptions(ConnectionOptions(), namespaces=("t3",), max_connections=1))
    options = narrowed(AuditOptions(), few, in_place=False)
    assert key in options.not_chosen
    asked = Asked(dict.fromkeys(Direction, options.scope), {}, (), options.not_chosen)
    tests = policy_tests(few.snapshot, (), asked)
    assert {each.reasons for each in tests.untested if each.policy == guard.full_name} == {(NOT_CHOSEN,)}
    by_ports = AuditOptions(ports=(PortRequest(Protocol.TCP, number=7),))
    assert not narrowed(by_ports, few, in_place=False).not_chosen
    more = plan_live(live, LiveOptions(ConnectionOptions(), namespaces=("t3",), coverage=1.0))
    assert key not in narrowed(AuditOptions(), more, in_place=False).not_chosen


def test_ports_that_the_user_names_are_tried_between_all_that_is_chosen():
    intended = planned(namespaces=("t3",), coverage=1.0)
    options = narrowed(AuditOptions(ports=(PortRequest(Protocol.TCP, number=7),)), intended, in_place=False)
    _, probes = plan(intended.snapshot, options)
    assert {cell.port for cell in probes.cells} == {7}
    assert {end for cell in probes.cells for end in (cell.source, cell.destination)} == {
        probe.name for probe in intended.probes
    }


def test_each_misreading_of_a_policy_says_where_and_is_another():
    (made,) = cluster(
        policies=[
            policy(
                "p/x",
                {"app": "x"},
                ingress=[rule(pods({"a": "b"}, {"c": "d"}), block("10.0.0.0/8", "10.1.0.0/16"), "TCP/1-9", "UDP/5")],
            )
        ]
    ).policies
    told = [each.what for each in misreadings(made, Direction.INGRESS)]
    assert len(told) == len(set(told)) == len({each.reading for each in misreadings(made, Direction.INGRESS)})
    assert {
        "NetworkPolicies are not enforced",
        "endPort is ignored",
        "the except list of ipBlocks is ignored",
        "podSelector: app=x is overlooked",
        "ingress[0] is overlooked",
        "ingress[0].from is overlooked",
        "ingress[0].from[0].podSelector: a=b is overlooked",
        "a namespaceSelector matches every namespace",
        "ingress[0].ports[1] (UDP/5) is overlooked",
    } <= set(told)
    assert [each.what for each in misreadings(made, Direction.EGRESS)] == ["every policy isolates in both directions"]


def test_a_dialect_that_takes_no_policy_for_another_is_nothing_to_notice_or_to_miss():
    phrases = {phrase for phrase, _ in World(CALLS, ()).everywhere}
    assert "egress is not enforced" in phrases
    assert "endPort is ignored" not in phrases


def test_what_only_concerns_other_namespaces_is_not_compiled():
    world = World(CALLS, (), ["t3"])
    rules = [opening.rule for side in world.sides.values() for opening in side.openings]
    assert len(rules) == 3 < len(World(CALLS, ()).sides[Direction.INGRESS].openings)


def test_per_node_covers_the_nodes_of_audited_pods_where_few_are_chosen():
    wide = cluster(
        *(pod(f"t3/db-{number}", {"app": "db"}, node=f"n{number}") for number in range(4)),
        *(pod(f"t{team}/web", {"app": "web"}, node=f"m{team}") for team in range(3, 20)),
        policies=[
            each
            for team in range(3, 20)
            for each in (policy(f"t{team}/web", {"app": "web"}, ingress=[rule(pods({"app": "db"}), "TCP/80")]),)
        ]
        + [policy("t3/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "TCP/8080")])],
    )
    options = LiveOptions(ConnectionOptions(), ("t3",), mode=Mode.PER_NODE, max_probe_pods=10)
    intended = plan_live(LiveSnapshot(wide), options)
    assert {probe.node for probe in intended.probes} >= {"n0", "n1", "n2", "n3", "m3"}
    assert len(intended.probes) <= 8
    tried = {end for each in intended.chosen.connections for end in (each.source, each.destination)}
    assert tried == {probe.name for probe in intended.probes}
    _, probes = plan(intended.snapshot, narrowed(AuditOptions(), intended, in_place=False))
    for node in range(4):
        name = next(probe.name for probe in intended.probes if probe.node == f"n{node}")
        assert any(cell.destination == name for cell in probes.cells)
    with pytest.raises(LimitError, match="--per-node asks for them"):
        plan_live(LiveSnapshot(wide), replace(options, max_probe_pods=4))


def test_over_sctp_which_nobody_tries_nothing_is_noticed():
    ends = cluster(
        pod("app/web", {"app": "web"}),
        pod("app/db", {"app": "db"}),
        policies=[policy("app/db", {"app": "db"}, ingress=[rule(pods({"app": "web"}), "SCTP/7000")])],
    )
    found = chosen(ends, ("app",))
    told = noticing(found)
    assert {each.port.protocol for each in found.connections} == {Protocol.TCP, Protocol.UDP}
    assert "app/db for app/db, ingress: selectors of peers match no pod" in told.missed
    assert not any("not enforced" in each for each in told.missed)


NO_POD = "selectors of peers match no pod"


def behind_an_except(*excepts):
    """A web that may send everywhere on one port but for ``excepts``, and to db on all."""
    return cluster(
        pod("app/web", {"app": "web"}, "10.0.0.1"),
        pod("app/db", {"app": "db"}, "10.0.0.2"),
        pod("app/job", {"app": "job"}, "10.0.0.3"),
        policies=[
            policy(
                "app/web",
                {"app": "web"},
                egress=[rule(block("0.0.0.0/0", *excepts), "TCP/443"), rule(pods({"app": "db"}), "TCP/443")],
            )
        ],
    )


@pytest.mark.parametrize("excepted", ["169.254.169.254/32", "10.0.0.1/32", "10.0.0.3/32"])
def test_what_a_block_lets_through_to_all_pods_does_not_show_that_a_rule_for_some_is_overlooked(excepted):
    found = chosen(behind_an_except(excepted), ("app",))
    whats = {way.what for area in found.ledger.areas for way in area.whats}
    assert NO_POD not in whats
    assert "egress[0].ports is overlooked" in whats


def test_a_block_that_excepts_all_pods_shows_at_pods_that_its_except_is_ignored():
    found = chosen(behind_an_except("10.0.0.0/8"), ("app",))
    whats = {way.what for area in found.ledger.areas for way in area.whats}
    assert {NO_POD, "egress[1].ports is overlooked"} <= whats
    assert noticing(found).share == 1.0


def test_each_way_is_noticed_by_three_connections_where_there_are_as_many():
    apps = [f"a{number}" for number in range(8)]
    ring = cluster(
        *(pod(f"ring/{app}", {"app": app}) for app in apps),
        policies=[
            policy(f"ring/{app}", {"app": app}, ingress=[rule(pods({"app": caller}), "TCP/7000")])
            for app, caller in pairwise([*apps, apps[0]])
        ],
    )
    found = chosen(ring, ("ring",))
    bundles = sum(len(area.bundles) for area in found.ledger.areas)
    times = Counter(place for mask in found.ledger.shown.values() for place in range(bundles) if mask >> place & 1)
    assert noticing(found).share == 1.0
    several = [place for place in range(bundles) if times[place] >= TIMES]
    assert len(several) > bundles / 4
    assert len(found.connections) < len(found.probe_pods) ** 2 * 3
    assert {end for each in found.connections for end in each[:2]} == {probe.name for probe in found.probe_pods}
