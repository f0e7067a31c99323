"""The lab's own reading of policies, rule by rule, without a packet."""

from ipaddress import ip_address

import pytest

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.dialects import BEHAVIOURS, EnforcerBehaviour
from auditor.cluster.lab.policing import Allowance, Policing, matches
from auditor.model.dialect import Dialect
from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.ports import Protocol
from tests.lab.lab_rig import (
    EGRESS,
    ENDPOINTS,
    INGRESS,
    TCP,
    UDP,
    block,
    deny,
    labelled,
    namespaces,
    not_in,
    pods,
    port,
    receive,
    rule,
    send,
    world,
)

WEB, DB, CLIENT, OTHER_WEB, SHARED, OUT, _ = ENDPOINTS
ANY_TCP = (TCP, 0, 65535)


def policing(*policies, behaviour=EnforcerBehaviour(), endpoints=ENDPOINTS):  # noqa: B008 - a frozen value
    cluster = AddressSet.of(address for endpoint in endpoints if endpoint is not OUT for address in endpoint.addresses)
    return Policing(world(*policies, endpoints=endpoints), policies, behaviour, cluster)


def of(*endpoints):
    return AddressSet.of(address for endpoint in endpoints for address in endpoint.addresses)


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (labelled(), {}, True),
        (labelled(k="v"), {"k": "v", "other": ""}, True),
        (labelled(k="v"), {"k": "w"}, False),
        (labelled(k=""), {}, False),
        (labelled(k=""), {"k": ""}, True),
        (labelled(not_in("k", "v")), {}, True),
        (labelled(not_in("k", "v")), {"k": "w"}, True),
        (labelled(not_in("k", "v")), {"k": "v"}, False),
        (labelled(Requirement("k", Operator.IN, ("v", "w"))), {"k": "w"}, True),
        (labelled(Requirement("k", Operator.IN, ("v", "w"))), {}, False),
        (labelled(Requirement("k", Operator.EXISTS)), {"k": ""}, True),
        (labelled(Requirement("k", Operator.EXISTS)), {}, False),
        (labelled(Requirement("k", Operator.DOES_NOT_EXIST)), {}, True),
        (labelled(Requirement("k", Operator.DOES_NOT_EXIST)), {"k": ""}, False),
        (labelled(not_in("k", "v"), a="b"), {"k": "w"}, False),
    ],
)
def test_selectors(selector, labels, expected):
    assert matches(selector, labels) is expected


def test_unselected_and_other_direction_are_not_isolated():
    one = policing(deny(INGRESS, app="db"))
    assert one.allowances(DB, INGRESS) == ()
    assert one.allowances(DB, EGRESS) is None
    assert one.allowances(WEB, INGRESS) is None
    assert one.allowances(OTHER_WEB, INGRESS) is None


def test_host_network_pods_are_neither_subjects_nor_peers():
    one = policing(deny(INGRESS, namespace="b"), receive(rule(namespaces(LabelSelector())), app="db"))
    assert one.allowances(SHARED, INGRESS) is None
    assert one.allowances(DB, INGRESS) == (Allowance(of(WEB, DB, CLIENT, OTHER_WEB), None),)


def test_peers_are_the_union_of_their_items_and_blocks_go_by_address():
    peers = rule(pods(labelled(app="web")), block("10.244.1.0/24", "10.244.1.11/32"), block("172.18.0.3/32"))
    (allowed,) = policing(receive(peers, app="db")).allowances(DB, INGRESS)
    assert [endpoint.name for endpoint in ENDPOINTS if endpoint.addresses[0] in allowed.addresses] == [
        "a/web",
        "b/web",
        "b/shared",
    ]
    assert [endpoint.name for endpoint in ENDPOINTS if endpoint.addresses[1] in allowed.addresses] == ["a/web"]


def test_both_selectors_in_one_peer_mean_both():
    peers = rule(namespaces(labelled(team="blue"), labelled(app="web")))
    assert policing(receive(peers, app="db")).allowances(DB, INGRESS) == (Allowance(of(OTHER_WEB), None),)


def test_ports_are_joined_per_protocol():
    ports = [port(80), port(81, 90), port(53, protocol=UDP), port(85), port(protocol=Protocol.SCTP)]
    (allowed,) = policing(receive(rule(ports=ports), app="db")).allowances(DB, INGRESS)
    assert allowed == Allowance(None, ((TCP, 80, 90), (UDP, 53, 53), (Protocol.SCTP, 0, 65535)))


def test_named_ports_of_ingress_are_the_pods_own():
    named = receive(rule(ports=[port(name="sql"), port(80)]))
    assert policing(named).allowances(DB, INGRESS) == (Allowance(None, ((TCP, 80, 80), (TCP, 5432, 5432))),)
    assert policing(named).allowances(WEB, INGRESS) == (Allowance(None, ((TCP, 80, 80),)),)
    assert policing(receive(rule(ports=[port(name="sql")]))).allowances(WEB, INGRESS) == ()


def test_named_ports_of_egress_are_each_destinations_own():
    allowed = policing(send(rule(ports=[port(name="sql"), port(80)]), app="web")).allowances(WEB, EGRESS)
    assert set(allowed) == {
        Allowance(None, ((TCP, 80, 80),)),
        Allowance(of(DB), ((TCP, 5432, 5432),)),
        Allowance(of(OTHER_WEB), ((TCP, 81, 81),)),
    }


def test_named_ports_of_egress_reach_the_covered_family_of_a_destination_only():
    (allowed,) = policing(
        send(rule(block("10.244.0.0/16"), ports=[port(name="sql", protocol=UDP)]), app="web")
    ).allowances(WEB, EGRESS)
    assert allowed == Allowance(AddressSet.of([ip_address("10.244.1.11")]), ((UDP, 53, 53),))


@pytest.mark.parametrize(
    ("dialect", "rules", "expected"),
    [
        (Dialect.IGNORES_NAMED_PORTS, [rule(ports=[port(name="sql")])], ()),
        (Dialect.IGNORES_NAMED_PORTS, [rule(ports=[port(name="sql"), port()])], (Allowance(None, (ANY_TCP,)),)),
        (Dialect.OWN_NAMESPACE_ONLY, [rule(namespaces(labelled()))], ()),
        (
            Dialect.OWN_NAMESPACE_ONLY,
            [rule(namespaces(labelled()), pods(labelled(app="web")))],
            (Allowance(of(WEB), None),),
        ),
        (Dialect.OWN_NAMESPACE_ONLY, [rule()], (Allowance(None, None),)),
        (Dialect.IP_BLOCK_SKIPS_PODS, [rule(block("10.244.1.0/24"), block("172.18.0.0/30"))], None),
        (
            Dialect.LABEL_KEY_ONLY,
            [rule(namespaces(labelled(team="none")))],
            (Allowance(of(WEB, DB, CLIENT, OTHER_WEB), None),),
        ),
    ],
)
def test_dialects_where_a_rewrite_has_an_edge(dialect, rules, expected):
    allowed = policing(receive(*rules, app="db"), behaviour=BEHAVIOURS[dialect]).allowances(DB, INGRESS)
    if expected is None:
        (allowance,) = allowed
        assert not any(address in allowance.addresses for endpoint in ENDPOINTS for address in endpoint.addresses)
        assert ip_address("10.244.1.200") in allowance.addresses
    else:
        assert allowed == expected


def test_every_dialect_has_an_understanding():
    assert set(BEHAVIOURS) == set(Dialect)
    assert len({id(behaviour) for behaviour in BEHAVIOURS.values()}) == len(Dialect)
