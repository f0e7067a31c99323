"""The indexes of addresses answer as a look at each network does."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from auditor.model.policy import IPBlock
from auditor.model.snapshot import Family
from auditor.policy.addresses import AddressIntervals, Located, NestedRanges, Ranges, bounds

BASE = int(IPv4Address("10.0.0.0"))
addresses = st.integers(BASE - 2, BASE + 66)
networks = st.builds(
    lambda address, length: ip_network((address, length), strict=False),
    st.integers(BASE, BASE + 63),
    st.integers(26, 32),
)
several = st.lists(networks, max_size=8)


@st.composite
def blocks(draw):
    cidr = draw(networks)
    inside = [each for each in draw(several) if each != cidr and each.subnet_of(cidr)]
    return IPBlock(cidr, tuple(inside))


def holds(network, address):
    return IPv4Address(address) in network


def test_a_range_holds_its_first_and_its_last_address_and_no_other():
    ranges = Ranges([ip_network("10.0.0.4/30"), ip_network("10.0.0.12/32")])
    assert [number - BASE for number in range(BASE, BASE + 16) if ranges.hold(number)] == [4, 5, 6, 7, 12]


@given(networks, addresses)
def test_bounds_are_the_first_and_the_last_address(network, address):
    first, last = bounds(network)
    assert (first <= address <= last) is holds(network, address)


@given(several, addresses)
def test_ranges_hold_what_any_network_holds(given_ones, address):
    assert Ranges(given_ones).hold(address) is any(holds(each, address) for each in given_ones)


@given(several, networks)
def test_ranges_include_what_one_network_includes(given_ones, network):
    assert Ranges(given_ones).include(*bounds(network)) is any(network.subnet_of(each) for each in given_ones)


@given(several, addresses, st.integers(0, 20))
def test_ranges_that_meet_are_the_widest_with_a_common_address(given_ones, first, more):
    widest = {each for each in given_ones if not any(each != other and each.subnet_of(other) for other in given_ones)}
    meeting = sorted(
        bounds(each) for each in widest if any(holds(each, address) for address in range(first, first + more + 1))
    )
    assert list(Ranges(given_ones).meeting(first, first + more)) == meeting


@given(several, addresses)
def test_of_nested_ranges_the_only_one_is_told(given_ones, address):
    holding = [number for number, each in enumerate(given_ones) if holds(each, address)]
    expected = holding[0] if len(holding) == 1 else None
    assert NestedRanges(given_ones, Family.IPV4).only(address) == expected


@given(several, addresses)
def test_ranges_of_the_other_family_hold_nothing(given_ones, address):
    assert NestedRanges(given_ones, Family.IPV6).only(address) is None


@given(st.lists(blocks(), min_size=1, max_size=5), st.lists(addresses, unique=True, max_size=10))
def test_what_is_located_inside_a_block_is_what_the_block_holds(given_ones, present):
    intervals = AddressIntervals(given_ones, Family.IPV4)
    by_interval = {}
    for number, address in enumerate(present):
        interval = intervals.of(IPv4Address(address))
        by_interval[interval] = by_interval.get(interval, 0) | 1 << number
    located = Located(intervals, by_interval)
    for block in given_ones:
        inside = [
            number
            for number, address in enumerate(present)
            if holds(block.cidr, address) and not any(holds(each, address) for each in block.excepts)
        ]
        assert located.inside(block) == sum(1 << number for number in inside)
