"""Peers outside: every address that is nobody's in the input belongs to one, and is treated as it is."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random

import pytest

from auditor.model.addresses import IPAddress
from auditor.model.policy import Direction
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Service, Snapshot
from auditor.policy.addresses import bounds
from auditor.policy.evaluator import evaluate
from auditor.policy.outside import outside_peers, peer_holding, with_outside
from auditor.policy.selection import select
from tests.marking import slow
from tests.oracle.clusters import block, cluster, host, node, pod, policy, rule
from tests.oracle.evaluator import verdict
from tests.strategies import Shape, boundaries_in_policies, random_snapshot

SHAPES = (
    Shape(pods=2, policies=3, hosts=2),
    Shape(pods=2, policies=6, namespaces=1, hosts=1),
    Shape(pods=2, policies=3, hosts=1, addressless=0.6),
    Shape(pods=3, policies=4, nodes=1, hosts=0, host_network=0.4),
)
NESTED = (
    *("203.0.113.0/25", "203.0.113.0/32", "203.0.113.127/32", "203.0.113.128/32", "203.0.113.255/32"),
    *("192.168.0.0/16", "2001:db8::/48", "2001:db8:5::/64", "2001:db8:0:ffff:ffff:ffff:ffff:ffff/128"),
)


def with_nested_blocks(snapshot: Snapshot, random: Random) -> Snapshot:
    """``snapshot`` with rules for ranges inside others, with excepts and without, beside its own."""

    def some_block():
        inner = [text for text in NESTED if random.random() < 0.4]
        wide = random.choice(("203.0.113.0/24", "0.0.0.0/0", "192.0.0.0/4", "2001:db8::/32", "::/0", *NESTED))
        same = [text for text in inner if ip_network(text).version == ip_network(wide).version]
        return block(wide, *same)

    namespaces = sorted(snapshot.namespaces)
    added = [
        policy(
            f"{random.choice(namespaces)}/nested-{number}",
            ingress=[rule(some_block(), some_block(), random.choice(("TCP/80", "UDP/53", "TCP/*")))],
            egress=[rule(some_block()), rule(some_block(), "TCP/443")],
        )
        for number in range(random.randint(0, 2))
    ]
    return replace(snapshot, policies=(*snapshot.policies, *added))


def borders(snapshot: Snapshot) -> set[IPAddress]:
    """First and last address of every network of a rule, one before and one after."""
    found = set()
    for each in snapshot.policies:
        for direction in Direction:
            for one in each.rules(direction):
                for peer in one.peers:
                    for network in (peer.ip_block.cidr, *peer.ip_block.excepts) if peer.ip_block else ():
                        first, last = bounds(network)
                        most = (1 << network.max_prefixlen) - 1
                        numbers = [at for at in (first - 1, first, last, last + 1) if 0 <= at <= most]
                        found |= {type(network.network_address)(at) for at in numbers}
    return found


def inside(snapshot: Snapshot) -> set[IPAddress]:
    return {address for each in snapshot.endpoints if each.kind is not EndpointKind.HOST for address in each.addresses}


@pytest.mark.parametrize("seed", [*range(40), *map(slow, range(40, 120))])
def test_every_border_of_every_block_is_judged_as_by_the_oracle(seed: int) -> None:
    random = Random(seed)
    snapshot = with_nested_blocks(random_snapshot(random, SHAPES[seed % len(SHAPES)]), random)
    complete = with_outside(snapshot)
    peers = complete.endpoints[len(snapshot.endpoints) :]
    matrix = evaluate(complete)
    asked = sorted(boundaries_in_policies(snapshot))
    pods = [each for each in snapshot.endpoints if each.kind is EndpointKind.POD]
    for address in sorted(borders(snapshot) - inside(snapshot), key=lambda each: (each.version, each)):
        family = Family(address.version)
        talking = [each for each in pods if not each.addresses or family in each.families]
        holding = [peer for peer in peers if any(address in each for each in peer.ranges)]
        if not talking:
            continue
        assert len(holding) == 1, (address, holding)
        assert peer_holding(peers, ip_network(address)) is holding[0]
        assert holding[0].address(family) is not None
        there = Endpoint("host/there", EndpointKind.HOST, addresses=(address,))
        for each in talking:
            for protocol, port in random.sample(asked, min(5, len(asked))):
                for ends, names in (
                    ((there, each), (holding[0].name, each.name)),
                    ((each, there), (each.name, holding[0].name)),
                ):
                    right = verdict(snapshot, *ends, protocol, port, family)
                    assert matrix.verdict(*names, protocol, port, family) is right, (address, names, protocol, port)


@pytest.mark.parametrize("seed", range(60))
def test_examples_are_nobodys_and_of_their_own_peer_alone(seed: int) -> None:
    random = Random(seed)
    snapshot = with_nested_blocks(random_snapshot(random, SHAPES[seed % len(SHAPES)]), random)
    peers = outside_peers([snapshot])
    assert len({peer.name for peer in peers}) == len(peers)
    for peer in peers:
        assert peer.addresses
        assert inside(snapshot).isdisjoint(peer.addresses)
        for address in peer.addresses:
            assert [other for other in peers if any(address in each for each in other.ranges)] == [peer]


def names(*policies, endpoints=(), services=()) -> list[str]:
    snapshot = cluster(*(endpoints or [pod("prod/web", {"app": "web"})]), policies=policies, services=services)
    return [peer.name for peer in outside_peers([snapshot])]


def test_without_ip_blocks_all_addresses_are_one_peer() -> None:
    assert names(policy("prod/a", ingress=[rule("TCP/80")])) == ["outside (any address)"]


def test_what_no_rule_names_comes_last() -> None:
    found = names(policy("prod/a", ingress=[rule(block("203.0.113.0/24")), rule(block("2001:db8::/32"), "TCP/80")]))
    assert found == ["outside 203.0.113.0/24", "outside 2001:db8::/32", "outside (any other address)"]


def test_the_internet_but_a_range_splits_one_family_alone() -> None:
    found = names(policy("prod/a", egress=[rule(block("0.0.0.0/0", "10.0.0.0/8"))]))
    assert found == ["outside (any other IPv4 address)", "outside 10.0.0.0/8 (and any IPv6 address)"]


def test_five_hundred_blocks_of_one_rule_are_one_peer() -> None:
    blocks = [block(f"203.{high}.{low}.0/24") for high in range(5) for low in range(0, 200, 2)]
    found = names(policy("prod/a", ingress=[rule(*blocks, "TCP/443")]))
    assert found == [
        "outside 203.0.0.0/24, 203.0.2.0/24, 203.0.4.0/24 and 497 more",
        "outside (any other address)",
    ]


def test_as_many_rules_and_policies_that_say_the_same_are_one_peer_too() -> None:
    alike = [
        policy(f"prod/a{number}", {"app": "web"} if number % 2 else {}, egress=[rule(block(f"203.0.{number}.0/24"))])
        for number in range(20)
    ]
    assert len(names(*alike)) == 2


def test_other_ports_other_pods_and_the_other_direction_are_told_apart() -> None:
    pods = [pod("prod/web", {"app": "web"}), pod("prod/db", {"app": "db"})]
    ranges = ["203.0.0.0/24", "203.0.1.0/24", "203.0.2.0/24", "203.0.3.0/24"]
    found = names(
        policy("prod/a", {"app": "web"}, ingress=[rule(block(ranges[0])), rule(block(ranges[1]), "TCP/80")]),
        policy("prod/b", {"app": "db"}, ingress=[rule(block(ranges[2]))], egress=[rule(block(ranges[3]))]),
        endpoints=pods,
    )
    assert found == [*(f"outside {each}" for each in ranges), "outside (any other address)"]


def test_a_policy_that_selects_nobody_splits_nothing() -> None:
    found = names(policy("prod/a", {"app": "gone"}, ingress=[rule(block("203.0.113.0/24"))]))
    assert found == ["outside (any address)"]


def test_a_range_that_is_not_in_force_splits_nothing() -> None:
    asked = replace(policy("prod/a", ingress=[rule("TCP/80")]), egress=(rule(block("203.0.113.0/24")),))
    assert names(asked) == ["outside (any address)"]


def test_blocks_of_pods_nodes_and_services_alone_are_no_peer() -> None:
    ends = [pod("prod/web", {}, "10.244.0.5"), node("n1", "172.18.0.2"), pod("prod/db", {}, "10.244.0.6")]
    service = Service("prod", "web", {}, (), (ip_address("10.96.0.1"),))
    found = names(
        policy(
            "prod/a",
            egress=[rule(block("10.244.0.5/32"), block("172.18.0.2/32"), block("10.96.0.1/32")), rule("UDP/53")],
        ),
        endpoints=ends,
        services=[service],
    )
    assert found == ["outside (any IPv4 address)"]


def test_what_is_around_the_pods_in_a_block_is_outside() -> None:
    found = names(
        policy("prod/a", egress=[rule(block("10.244.0.4/31"))]), endpoints=[pod("prod/web", {}, "10.244.0.4")]
    )
    assert found == ["outside 10.244.0.4/31", "outside (any other IPv4 address)"]


def test_named_hosts_stay_outside() -> None:
    ends = [pod("prod/web", {}, "10.244.0.4"), host("office", "203.0.113.7")]
    found = names(policy("prod/a", egress=[rule(block("203.0.113.7/32"))]), endpoints=ends)
    assert found == ["outside 203.0.113.7/32", "outside (any other IPv4 address)"]


def test_ranges_inside_an_except_come_back() -> None:
    found = names(
        policy("prod/a", ingress=[rule(block("10.0.0.0/8", "10.1.0.0/16"), block("10.1.2.0/24"))]),
        endpoints=[pod("prod/web", {}, "172.16.0.1")],
    )
    assert found == ["outside 10.0.0.0/8 except 10.1.0.0/16; 10.1.2.0/24", "outside (any other IPv4 address)"]


def test_only_families_in_which_pods_can_talk() -> None:
    found = names(policy("prod/a", ingress=[rule(block("::/0"))]), endpoints=[pod("prod/web", {}, "10.244.0.4")])
    assert found == ["outside (any IPv4 address)"]


def test_two_inputs_share_their_peers() -> None:
    before, after = (
        cluster(pod("prod/web", {"app": "web"}), policies=[policy("prod/a", ingress=[rule(block(each))])])
        for each in ("10.0.0.0/8", "10.1.0.0/16")
    )
    assert [peer.name for peer in outside_peers([before, after])] == [
        "outside 10.0.0.0/8 except 10.1.0.0/16",
        "outside 10.1.0.0/16",
        "outside (any other address)",
    ]


def test_peers_outside_are_selected_by_name_and_together() -> None:
    snapshot = with_outside(
        cluster(pod("prod/web"), policies=[policy("prod/a", ingress=[rule(block("203.0.113.0/24"))])])
    )
    first, rest = snapshot.endpoints[-2:]
    assert select(snapshot.endpoints, "outside") == (first, rest)
    assert select(snapshot.endpoints, "outside 203.0.113.0/24") == (first,)
    assert select(snapshot.endpoints, "outside (any other address)") == (rest,)
