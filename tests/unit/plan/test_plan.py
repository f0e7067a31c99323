from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.model.errors import UsageError
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, PolicyPort, Rule
from auditor.model.ports import ContainerPort, PortRequest, Protocol
from auditor.model.snapshot import Family, Snapshot
from auditor.policy.evaluator import evaluate
from auditor.policy.selection import choose
from auditor.probing.plan import Connection, choose_ports, plan_cells, plan_chosen, with_other_protocols
from tests.unit.diagnosis.worlds import SHOP, pod, with_policies

UNNAMED = PortRequest(Protocol.TCP, 9999), PortRequest(Protocol.UDP, 9999)


def chosen(*ports: PolicyPort, endpoints=()) -> set[str]:
    policy = NetworkPolicy("prod", "p", LabelSelector(), frozenset({Direction.INGRESS}), (Rule((), ports),))
    return {str(port) for port in choose_ports(Snapshot(SHOP.namespaces, endpoints, (policy,)))}


def test_without_rules_one_port_of_each_protocol_that_nobody_names():
    assert choose_ports(Snapshot({}, ())) == UNNAMED


def test_a_single_port_is_probed_itself():
    assert chosen(PolicyPort(Protocol.TCP, 80)) == {"TCP/80", "TCP/9999", "UDP/9999"}


def test_a_range_is_probed_at_both_edges_and_just_outside():
    assert chosen(PolicyPort(Protocol.UDP, 100, 200)) == {
        "UDP/99",
        "UDP/100",
        "UDP/200",
        "UDP/201",
        "TCP/9999",
        "UDP/9999",
    }


def test_ranges_that_end_at_the_limits_stay_inside():
    assert chosen(PolicyPort(Protocol.TCP, 1, 10)) == {"TCP/1", "TCP/10", "TCP/11", "TCP/9999", "UDP/9999"}
    assert chosen(PolicyPort(Protocol.TCP, 65530, 65535)) == {
        "TCP/65529",
        "TCP/65530",
        "TCP/65535",
        "TCP/9999",
        "UDP/9999",
    }


def test_where_rules_name_every_port_there_is_none_that_nobody_names():
    assert chosen(PolicyPort(Protocol.TCP, 1, 65535)) == {"TCP/1", "TCP/65535", "UDP/9999"}


def test_the_unnamed_port_avoids_what_rules_and_pods_name():
    declared = (pod("prod/a", "10.244.0.2", ContainerPort(Protocol.TCP, 9999)),)
    assert chosen(PolicyPort(Protocol.TCP, 9990, 9998), endpoints=declared) >= {"TCP/9999", "TCP/9989", "TCP/9988"}


def test_sctp_takes_part_only_where_it_is_named():
    assert chosen(PolicyPort(Protocol.SCTP)) == {"TCP/9999", "UDP/9999", "SCTP/9999"}


def test_rules_of_a_direction_that_is_not_in_force_do_not_count():
    policy = NetworkPolicy(
        "prod",
        "p",
        LabelSelector(),
        frozenset({Direction.INGRESS}),
        egress=(Rule((), (PolicyPort(Protocol.TCP, 80),)),),
    )
    assert choose_ports(with_policies(policy))[0] == PortRequest(Protocol.TCP, 3306)
    assert PortRequest(Protocol.TCP, 80) not in choose_ports(with_policies(policy))


def test_cells_cover_every_pair_that_a_policy_can_govern():
    cells = plan_cells(SHOP.endpoints, SHOP.endpoints, (PortRequest(Protocol.TCP, 80),))
    pairs = {(cell.source, cell.destination) for cell in cells}
    assert ("host/backup", "host/other") not in pairs
    assert ("node/node-2", "host/other") not in pairs
    assert {("prod/web", "prod/web"), ("host/backup", "prod/db"), ("prod/db", "node/node-2")} <= pairs
    assert len(cells) == len(pairs) == 16 + 24


def test_a_named_port_gives_cells_only_where_it_is_declared():
    cells = plan_cells(
        SHOP.endpoints, SHOP.endpoints, (PortRequest(Protocol.TCP, name="sql"), PortRequest(Protocol.TCP, 3306))
    )
    assert {(cell.destination, cell.port) for cell in cells if cell.source == "prod/api"} == {
        (endpoint.name, 3306) for endpoint in SHOP.endpoints
    }
    only_named = plan_cells(SHOP.endpoints, SHOP.endpoints, (PortRequest(Protocol.TCP, name="sql"),))
    assert {cell.destination for cell in only_named} == {"prod/db"}


def test_each_common_family_has_its_own_cells():
    web, api = SHOP.endpoints[:2]
    dual = replace(web, addresses=(ip_address("10.244.0.2"), ip_address("fd00::2")))
    cells = plan_cells((dual,), (dual, api), (PortRequest(Protocol.TCP, 80),))
    assert [(cell.destination, cell.family) for cell in cells] == [
        ("prod/web", Family.IPV4),
        ("prod/web", Family.IPV6),
        ("prod/api", Family.IPV4),
    ]


@pytest.mark.parametrize("selections", [("prod/nobody",), ("prod/web", "app=nothing")])
def test_a_selection_that_matches_nothing_is_a_usage_error(selections):
    with pytest.raises(UsageError, match="matches no endpoint"):
        choose(SHOP.endpoints, selections)


def test_chosen_connections_are_tried_over_each_family_that_both_ends_have():
    both = [(ip_address(f"10.0.0.{number}"), ip_address(f"fd00::{number}")) for number in (1, 2)]
    ends = (
        replace(pod("p/a", "10.0.0.1"), addresses=both[0]),
        replace(pod("p/b", "10.0.0.2"), addresses=both[1]),
        pod("p/c", "10.0.0.3"),
    )
    chosen = {
        Connection("p/b", "p/a", PortRequest(Protocol.UDP, number=53)),
        Connection("p/a", "p/b", PortRequest(Protocol.TCP, number=80)),
        Connection("p/a", "p/c", PortRequest(Protocol.TCP, number=80)),
        Connection("p/a", "p/gone", PortRequest(Protocol.TCP, number=80)),
    }
    told = [(cell.source, cell.destination, cell.port, cell.family) for cell in plan_chosen(ends, ends, chosen)]
    assert told == [
        ("p/a", "p/b", 80, 4),
        ("p/a", "p/b", 80, 6),
        ("p/a", "p/c", 80, 4),
        ("p/b", "p/a", 53, 4),
        ("p/b", "p/a", 53, 6),
    ]
    assert [cell.source for cell in plan_chosen(ends[1:], ends, chosen)] == ["p/b", "p/b"]


SOME = (PortRequest(Protocol.TCP, number=3306), *UNNAMED)


def over_both(*policies, ports=SOME, endpoints=SHOP.endpoints):
    """What is tried besides: source, destination, and port."""
    snapshot = replace(with_policies(*policies), endpoints=endpoints)
    cells = plan_cells(endpoints, endpoints, ports)
    whole = with_other_protocols(cells, evaluate(snapshot))
    assert [cell for cell in whole if cell in set(cells)] == list(cells)
    order = [cell.source for cell in whole]
    assert order == sorted(order, key=order.index)
    return [(cell.source, cell.destination, str(cell.protocol), cell.port) for cell in whole if cell not in set(cells)]


def opening(*ports):
    return NetworkPolicy("prod", "p", LabelSelector(), frozenset({Direction.INGRESS}), (Rule((), ports),))


def test_a_number_is_tried_over_the_other_protocol_where_a_rule_tells_them_apart():
    (policy,) = SHOP.policies
    assert over_both(policy) == [("prod/api", "prod/db", "UDP", 3306)]
    assert over_both() == []
    udp = over_both(opening(PolicyPort(Protocol.UDP, 3306)))
    assert {(port, number) for *_, port, number in udp} == {("UDP", 3306)}
    both = PolicyPort(Protocol.TCP, 3306), PolicyPort(Protocol.UDP, 3306)
    assert (
        over_both(NetworkPolicy("prod", "p", LabelSelector(), frozenset({Direction.INGRESS}), (Rule((), both),))) == []
    )


def test_the_number_is_tried_once_for_pods_that_nothing_tells_apart():
    api = replace(SHOP.endpoint("prod/api"), name="prod/api-2", addresses=(ip_address("10.244.0.9"),))
    (policy,) = SHOP.policies
    assert over_both(policy, endpoints=(*SHOP.endpoints, api)) == [("prod/api", "prod/db", "UDP", 3306)]
