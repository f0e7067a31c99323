"""What is demanded of connections through Services, and where nothing is."""

import pytest

from auditor.model.ports import Protocol
from auditor.model.service_seen import ServiceCell, Way
from auditor.model.snapshot import Family
from auditor.model.verdict import Note, Verdict
from auditor.policy.service_ways import expectation
from tests.lab.lab_rig import (
    EGRESS,
    INGRESS,
    block,
    deny,
    labelled,
    node_endpoint,
    pod,
    pods,
    port,
    receive,
    rule,
    send,
    world,
)

ENDPOINTS = (
    pod("a/web", "n0", 10, {"app": "web"}),
    pod("a/db", "n1", 11, {"app": "db"}),
    node_endpoint("n0"),
    node_endpoint("n1"),
)
NODE_PORT = 30001


def cell(source="a/web", backend="a/db", way=Way.CLUSTER_IP, at=""):
    address = str(next(end.addresses[0] for end in ENDPOINTS if end.name == f"node/{at}")) if at else "10.96.0.7"
    number = NODE_PORT if at else 443
    return ServiceCell(source, backend, Protocol.TCP, 80, Family.IPV4, way, address, number, at)


def demanded(*policies, of, notes=()):
    return expectation(world(*policies, endpoints=ENDPOINTS), of, notes).demanded


ALLOWED, DENIED, OPEN = Verdict.ALLOWED, Verdict.DENIED, None
SHUT = deny(INGRESS, app="db")
MUTE = deny(EGRESS, app="web")
TO_DB = send(rule(pods(labelled(app="db")), ports=[port(80)]), app="web")
TO_SERVICES = send(rule(block("10.96.0.0/16"), ports=[port(443)]), app="web")
FROM_WEB = receive(rule(pods(labelled(app="web"))), app="db")
TO_ALL = send(rule(), app="web")


@pytest.mark.parametrize(
    ("policies", "of", "verdict"),
    [
        ((), cell(), ALLOWED),
        ((SHUT,), cell(), DENIED),
        ((TO_DB,), cell(), ALLOWED),
        ((MUTE,), cell(), DENIED),
        # The pod behind it is denied, and a block holds the Service's address: either may count.
        ((TO_SERVICES,), cell(), OPEN),
        ((TO_SERVICES, SHUT), cell(), DENIED),
        # A pod always reaches itself.
        ((SHUT, deny(EGRESS, name="mute", app="db")), cell("a/db"), ALLOWED),
        # With externalTrafficPolicy Cluster the node may stand for either end, at the pod's own node always let in.
        ((SHUT,), cell(way=Way.NODE_PORT, at="n1"), OPEN),
        ((FROM_WEB,), cell(way=Way.NODE_PORT, at="n0"), OPEN),
        ((), cell(way=Way.NODE_PORT, at="n0"), ALLOWED),
        ((SHUT,), cell(way=Way.NODE_PORT, at="n0"), DENIED),
        # With Local the source is kept; what a pod may send to another node's port is open all the same.
        ((SHUT,), cell(way=Way.NODE_PORT_LOCAL, at="n1"), DENIED),
        ((FROM_WEB,), cell(way=Way.NODE_PORT_LOCAL, at="n1"), ALLOWED),
        ((TO_DB,), cell(way=Way.NODE_PORT_LOCAL, at="n1"), OPEN),
        ((TO_ALL,), cell(way=Way.NODE_PORT_LOCAL, at="n1"), ALLOWED),
        ((MUTE,), cell(way=Way.NODE_PORT_LOCAL, at="n1"), DENIED),
    ],
)
def test_what_is_demanded_and_where_the_specification_leaves_it_open(policies, of, verdict):
    assert demanded(*policies, of=of) == verdict


OVERLAY = "198.18.1.0"


def test_by_a_node_port_policies_may_see_an_address_that_its_node_has_towards_pods():
    by_n0 = cell(way=Way.NODE_PORT, at="n0")
    everywhere = (pods(labelled(app="web")), *(block(f"{end.addresses[0]}/32") for end in ENDPOINTS if end.node))
    from_nodes = receive(*(rule(each) for each in everywhere), app="db")
    there = world(from_nodes, endpoints=ENDPOINTS)
    assert expectation(there, by_n0).demanded is ALLOWED
    assert expectation(there, by_n0, inner=(OVERLAY, "fd00::1")).demanded is OPEN
    assert expectation(world(SHUT, endpoints=ENDPOINTS), by_n0, inner=(OVERLAY,)).demanded is DENIED
    assert expectation(there, cell(), inner=(OVERLAY,)).demanded is ALLOWED


@pytest.mark.parametrize("note", [Note.CNI_DEPENDENT, Note.UNDEFINED, Note.ADDRESS_UNKNOWN, Note.LABELS_UNKNOWN])
def test_what_is_open_without_the_service_is_open_through_it(note):
    assert demanded(of=cell(), notes=(note,)) is OPEN
    assert demanded(of=cell(), notes=(Note.SELF_ALLOWED,)) is ALLOWED
