"""Address sets against sets of integers."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from auditor.cluster.lab.addresses import AddressSet, difference, union
from auditor.model.snapshot import Family

spans = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
)


def members(items):
    return {number for first, last in items for number in range(first, last + 1)}


@given(spans)
def test_union_holds_the_same_integers_in_separate_sorted_spans(items):
    merged = union(items)
    assert members(merged) == members(items)
    assert all(merged[i][1] + 1 < merged[i + 1][0] for i in range(len(merged) - 1))


@given(spans, spans)
def test_difference_holds_what_is_in_the_first_alone(items, removed):
    assert members(difference(items, removed)) == members(items) - members(removed)


def test_families_stay_apart():
    mixed = AddressSet.of([ip_network("10.0.0.0/30"), ip_address("10.0.0.9"), ip_address("::1")])
    assert mixed.texts(Family.IPV4) == ("10.0.0.0-10.0.0.3", "10.0.0.9")
    assert mixed.texts(Family.IPV6) == ("::1",)
    assert ip_address("10.0.0.2") in mixed
    assert ip_address("0.0.0.1") not in mixed
    assert (mixed - AddressSet.of([ip_network("10.0.0.1/32")])).texts(Family.IPV4) == (
        "10.0.0.0",
        "10.0.0.2-10.0.0.3",
        "10.0.0.9",
    )
