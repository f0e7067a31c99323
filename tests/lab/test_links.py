"""A denial between ends of which one was never heard over its own network link is none, whatever else is silent."""

import os
from ipaddress import ip_address
from itertools import product

import pytest

from auditor.cli.exit_codes import of_report
from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, EndpointKind, Family
from auditor.model.verdict import Result, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.sites import NO_WITNESSES
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab.lab_rig import (
    EGRESS,
    ENDPOINTS,
    INGRESS,
    NODES,
    TCP,
    UDP,
    deny,
    labelled,
    node_endpoint,
    pods,
    policy,
    receive,
    rule,
    world,
)
from tests.lab.troubled_lab import TroubledLab
from tests.marking import slow

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: entering the lab's namespaces needs root"),
]

VICTIM = "a/web"
PATIENT = ProbingOptions(timeout=1.0, settle=0.0)
PORTS = (PortRequest(TCP, 80), PortRequest(UDP, 53))
REACHABLE = tuple(endpoint for endpoint in ENDPOINTS if not endpoint.host_network)
BOTH_WAYS = policy(labelled(), INGRESS, EGRESS, name="default-deny")


def down(troubled):
    """The node's end of the victim's link is taken down, as when a CNI forgets a pod."""
    troubled.inside(troubled.node_of(VICTIM), "ip", "link", "set", troubled.interface_of(VICTIM), "down")


def gone(troubled):
    troubled.inside(troubled.node_of(VICTIM), "ip", "link", "delete", troubled.interface_of(VICTIM))


def no_way_in(troubled):
    """Nothing that others send reaches the victim, though its own connections work: a firewall of its own, say."""
    troubled.rules(
        troubled.index(VICTIM), "chain in { type filter hook input priority 0; iifname eth0 ct state new drop; }"
    )


def no_way_out(troubled):
    troubled.rules(
        troubled.index(VICTIM),
        "chain out { type filter hook output priority 0; oifname eth0 tcp flags syn / syn,ack drop; }",
    )


PLACES = {
    "in": "filter hook prerouting priority -310; iifname eth0",
    "out": "filter hook postrouting priority 310; oifname eth0",
    "new in": "filter hook input priority 0; iifname eth0 ct state new",
    "new out": "filter hook output priority 0; oifname eth0 ct state new",
}


def losing_all(protocol, place):
    """The victim's link carries the other protocol alone; "new": but for what belongs to an answered one."""

    def harm(troubled):
        rule = f"type {PLACES[place]} meta l4proto {str(protocol).lower()} drop;"
        troubled.rules(troubled.index(VICTIM), f"chain lost {{ {rule} }}")

    return harm


def no_ipv6(troubled):
    address = next(
        str(address)
        for link in troubled.topology.links
        if link.pod.name == VICTIM
        for address in link.pod.addresses
        if address.version == 6
    )
    troubled.inside(troubled.node_of(VICTIM), "ip", "-6", "route", "delete", address)


class Harming(NoProgress):
    """Does ``harm`` when the phase called ``at`` begins."""

    def __init__(self, at, harm):
        self.at, self.harm = at, harm

    def phase(self, name, attempts):
        if name == self.at:
            self.at = None
            self.harm()


async def audited(harm, enforcer, *, at="", policies=(BOTH_WAYS,), endpoints=REACHABLE, **options):
    async with Lab(
        world(*policies, endpoints=endpoints), nodes=NODES, enforcement=Enforcement.parse((enforcer,))
    ) as lab:
        troubled = TroubledLab(lab)
        if not at:
            harm(troubled)
        progress = Harming(at, lambda: harm(troubled))
        options = {"ports": PORTS, "probing": PATIENT, **options}
        return await audit(lab, "links", AuditOptions(**options), progress)


def concerned(report):
    """The cells whose packets cross the victim's link."""
    return [
        result for result in report.cells if VICTIM in result.cell[:2] and result.cell.source != result.cell.destination
    ]


def reasons(results):
    return {result.observation.outcome for result in results if result.result is Result.INCONCLUSIVE}


@pytest.mark.parametrize("harm", [down, slow(gone)])
@pytest.mark.parametrize("enforcer", [slow("spec"), "enforces-nothing"])
async def test_a_pod_without_a_network_is_never_denied(enforcer, harm):
    report = await audited(harm, enforcer)
    assert {result.result for result in concerned(report)} == {Result.INCONCLUSIVE}
    if harm is down:  # an agent without any address says so itself
        for result in report.cells:
            if result.cell[:2] == ("b/web", VICTIM):
                said = f"nothing was heard from {VICTIM} over {result.cell.family} over its network link, so "
                # Silence, or that its own node says that it can't be reached: either proves nothing.
                assert result.observation.outcome.startswith(said)
    others = [result for result in report.cells if VICTIM not in result.cell[:2]]
    expected = {Result.MATCH, Result.UNDEFINED} if enforcer == "spec" else {Result.MATCH, Result.UNDEFINED, Result.LEAK}
    assert {result.result for result in others} <= expected
    assert of_report(report) == (3 if enforcer == "spec" else 1)


@pytest.mark.parametrize(
    "selection", [{"sources": (VICTIM,)}, slow({"destinations": (VICTIM,)})], ids=["source", "destination"]
)
async def test_nor_as_the_source_or_the_destination_alone(selection):
    report = await audited(down, "enforces-nothing", **selection)
    assert {result.result for result in concerned(report)} == {Result.INCONCLUSIVE}
    assert of_report(report) == 3


@pytest.mark.parametrize("at", ["probing", slow("trying silence again"), slow("counting datagrams")])
async def test_a_link_that_dies_in_the_middle_leaves_nothing_proven(at):
    report = await audited(down, "spec", at=at)
    denied = [result for result in concerned(report) if result.expected is Verdict.DENIED]
    assert {result.result for result in denied} == {Result.INCONCLUSIVE}
    assert of_report(report) == 3


async def test_a_link_that_dies_before_the_first_pass_hides_no_leak():
    report = await audited(down, "enforces-nothing", at="probing", destinations=(VICTIM,))
    assert Result.MATCH not in {result.result for result in concerned(report)}


@pytest.mark.parametrize(("harm", "end"), [(no_way_in, 1), slow(no_way_out, 0)])
async def test_each_direction_is_proven_by_itself(harm, end):
    report = await audited(harm, "enforces-nothing", ports=PORTS[:1])
    wrong = [result for result in concerned(report) if result.cell[end] == VICTIM]
    assert wrong
    assert {result.result for result in wrong} == {Result.INCONCLUSIVE}, reasons(wrong)


@pytest.mark.parametrize(
    ("protocol", "end", "place"),
    [
        (TCP, "source", "in"),
        slow(UDP, "destination", "out"),
        *(
            slow(*each)
            for each in product([TCP, UDP], ["source", "destination"], ["in", "out", "new in", "new out"])
            if each not in ((TCP, "source", "in"), (UDP, "destination", "out"))
        ),
    ],
)
async def test_a_link_that_carries_one_protocol_alone_proves_nothing_of_the_other(protocol, end, place):
    chosen = {"sources": (VICTIM,)} if end == "source" else {"destinations": (VICTIM,)}
    report = await audited(losing_all(protocol, place), "enforces-nothing", **chosen)
    denied = [result for result in concerned(report) if result.expected is Verdict.DENIED]
    lost = {result.result for result in denied if result.cell.protocol is protocol}
    others = {result.result for result in denied if result.cell.protocol is not protocol}
    assert (lost <= {Result.INCONCLUSIVE, Result.LEAK}, others) == (True, {Result.LEAK}), (lost, reasons(denied))
    told = f"the network link of {VICTIM} over IPv4 carries no {protocol}, so "
    assert lost == {Result.LEAK} or any(reason.startswith(told) for reason in reasons(denied))


def no_large_datagrams(troubled):
    rule = "type filter hook prerouting priority -310; iifname eth0 meta l4proto udp meta length > 100 drop;"
    troubled.rules(troubled.index(VICTIM), f"chain large {{ {rule} }}")


@pytest.mark.slow
async def test_a_link_that_carries_small_datagrams_alone_proves_nothing_of_ours():
    report = await audited(no_large_datagrams, "enforces-nothing", destinations=(VICTIM,))
    denied = [result for result in concerned(report) if result.expected is Verdict.DENIED]
    assert Result.MATCH not in {result.result for result in denied}, reasons(denied)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [TCP, UDP])
async def test_a_protocol_that_dies_in_the_middle_leaves_nothing_proven(protocol):
    report = await audited(losing_all(protocol, "in"), "spec", at="counting datagrams", destinations=(VICTIM,))
    denied = [result for result in concerned(report) if result.expected is Verdict.DENIED]
    lost = {result.result for result in denied if result.cell.protocol is protocol}
    assert lost == {Result.INCONCLUSIVE}, reasons(denied)


@pytest.mark.parametrize("enforcer", ["spec", slow("enforces-nothing")])
async def test_where_links_carry_both_protocols_nothing_is_in_doubt(enforcer):
    report = await audited(lambda _: None, enforcer)
    assert not reasons(report.cells)
    assert of_report(report) == (0 if enforcer == "spec" else 1)


@pytest.mark.slow
async def test_one_family_says_nothing_of_the_other():
    report = await audited(no_ipv6, "enforces-nothing")
    by_family = {
        family: {r.result for r in concerned(report) if r.cell.family is family and r.expected is Verdict.DENIED}
        for family in Family
    }
    # A datagram that leaves against the policy is a leak, though no answer finds the way back.
    assert Result.INCONCLUSIVE in by_family[Family.IPV6] <= {Result.INCONCLUSIVE, Result.LEAK}
    into = {
        result.result
        for result in concerned(report)
        if (result.cell.destination, result.cell.family) == (VICTIM, Family.IPV6)
    }
    assert into == {Result.INCONCLUSIVE}
    assert by_family[Family.IPV4] == {Result.LEAK}


def nodes_apart(troubled):
    """Every node and its pods are well, and nothing passes from one node to another."""
    for index in troubled.topology.nodes.values():
        troubled.rules(index, "chain in { type filter hook prerouting priority -310; iifname uplink drop; }")


@pytest.mark.parametrize("at", ["", slow("probing"), slow("trying silence again"), slow("controls")])
@pytest.mark.parametrize("enforcer", [slow("spec"), "enforces-nothing"])
async def test_nodes_that_are_kept_apart_leave_no_denial_proven(enforcer, at):
    """Nothing that is allowed goes from node to node."""
    report = await audited(
        nodes_apart, enforcer, at=at, sources=("a/db", "b/client"), destinations=("a/web", "b/web"), ports=PORTS[:1]
    )
    there = {endpoint.name: endpoint.node for endpoint in REACHABLE}
    far = [
        result
        for result in report.cells
        if there[result.cell.source] != there[result.cell.destination] and result.expected is Verdict.DENIED
    ]
    assert far
    assert Result.MATCH not in {result.result for result in far}
    assert at or all("nothing was answered between nodes" in reason for reason in reasons(far))


def pods_apart(troubled):
    """Nodes reach each other and their own pods, and forward nothing from one to another: a tunnel that is blocked."""
    for index in troubled.topology.nodes.values():
        troubled.rules(index, "chain in { type filter hook forward priority -310; iifname uplink drop; }")


def forwarding_nothing(troubled):
    """Nodes reach their own pods and each other, and forward nothing: ip_forward is off, or a firewall drops it."""
    for index in troubled.topology.nodes.values():
        troubled.rules(index, "chain fw { type filter hook forward priority -310; policy drop; }")


@pytest.mark.parametrize(
    ("harm", "where"),
    [(pods_apart, ["between pods of nodes n0 and n1"]), slow(forwarding_nothing, ["between pods on node n0"])],
)
async def test_that_nodes_forward_nothing_is_told(harm, where):
    chosen = {"sources": ("a/db", "b/client"), "destinations": ("a/web", "b/web"), "ports": PORTS[:1]}
    report = await audited(harm, "enforces-nothing", **chosen)
    for between in where:
        told = [fact for fact in report.facts if fact.startswith(f"nothing was answered {between}")]
        assert len(told) == len(Family), report.facts
    report = await audited(lambda _: None, "enforces-nothing", **chosen)
    assert not any("was not shown" in fact for fact in report.facts), report.facts


BETWEEN = {"sources": ("a/db",), "destinations": ("a/web",)}
"""From node n1 to n0; all of it denied, so that nothing audited shows that pods of these nodes reach each other."""


@pytest.mark.parametrize("ports", [PORTS[:1], slow(PORTS[1:])])
@pytest.mark.parametrize("enforcer", [slow("spec"), "enforces-nothing"])
async def test_a_tunnel_that_is_blocked_proves_no_denial_where_others_may_use_it(enforcer, ports):
    """b/client and b/web, which no policy selects, try it, though nobody audits them."""
    report = await audited(pods_apart, enforcer, ports=ports, **BETWEEN)
    assert {result.result for result in report.cells} == {Result.INCONCLUSIVE}, report.cells
    assert all("nothing was answered from pods on node n" in reason for reason in reasons(report.cells))
    assert of_report(report) == 3


@pytest.mark.parametrize("ports", [PORTS[:1], slow(PORTS[1:])])
@pytest.mark.parametrize(("enforcer", "code"), [("spec", 0), ("enforces-nothing", 1)])
async def test_a_tunnel_that_others_get_through_proves_denials(enforcer, code, ports):
    report = await audited(lambda _: None, enforcer, ports=ports, **BETWEEN)
    assert not reasons(report.cells)
    assert of_report(report) == code
    assert not any("was not shown" in fact for fact in report.facts), report.facts


async def test_a_pod_that_is_cut_off_itself_shows_nothing_about_a_tunnel():
    """Into b nobody may, and of a only a pod without a network is on n0: nobody well could try the way from n1."""
    chosen = {"sources": ("a/db", "b/web"), "destinations": ("b/client",), "ports": PORTS[:1]}
    report = await audited(down, "spec", policies=(deny(INGRESS, namespace="b"),), **chosen)
    assert not reasons(report.cells)
    assert of_report(report) == 0


@pytest.mark.slow
async def test_where_outages_say_it_all_volunteers_that_suffer_from_them_leave_no_denial_without_a_verdict():
    """All pods are shut: a/db doesn't reach b/web on its own node, and nobody the other node."""
    chosen = {"sources": ("a/db",), "destinations": ("a/web", "b/web"), "ports": PORTS[:1]}
    report = await audited(lambda _: None, "shuts-pods", policies=(deny(INGRESS),), **chosen)
    results = {result.cell.destination: result.result for result in report.cells}
    assert results == {"a/web": Result.MATCH, "b/web": Result.OUTAGE}, reasons(report.cells)


def one_way(troubled):
    """New connections of pods on n1 get to none on n0; what answers those of n0 does."""
    chain = "chain in { type filter hook forward priority -310; iifname uplink ct state new drop; }"
    troubled.rules(troubled.topology.nodes["n0"], chain)


async def test_a_tunnel_is_proven_in_the_direction_that_is_denied():
    report = await audited(one_way, "enforces-nothing", ports=PORTS[:1], **BETWEEN)
    assert {result.result for result in report.cells} == {Result.INCONCLUSIVE}, report.cells


def no_datagrams(troubled):
    for index in troubled.topology.nodes.values():
        rule = "type filter hook forward priority -310; iifname uplink meta l4proto udp drop;"
        troubled.rules(index, f"chain in {{ {rule} }}")


@pytest.mark.parametrize(("ports", "result"), [(PORTS[:1], Result.LEAK), (PORTS[1:], Result.INCONCLUSIVE)])
async def test_a_tunnel_that_carries_one_protocol_alone_proves_nothing_of_the_other(ports, result):
    report = await audited(no_datagrams, "enforces-nothing", ports=ports, **BETWEEN)
    assert {each.result for each in report.cells} == {result}, report.cells


async def test_where_policies_let_nobody_through_denials_stand_and_the_report_tells():
    everywhere = [policy(labelled(), INGRESS, EGRESS, name="none", namespace=namespace) for namespace in "ab"]
    report = await audited(pods_apart, "spec", ports=PORTS[:1], policies=everywhere, **BETWEEN)
    assert of_report(report) == 0
    assert any(fact.startswith("nothing was answered between pods of nodes n0 and n1") for fact in report.facts)


THREE = (*NODES, "n2")
THIRD = Endpoint("b/third", EndpointKind.POD, "b", {}, (ip_address("10.244.2.10"),), node="n2")
KUBELET = """
import socket
sock = socket.create_server(("0.0.0.0", 10250))
while True:
    sock.accept()[0].close()
"""


class WithoutAgentsAtNodes(Lab):
    """A lab that looks like a live cluster: nobody of ours sits at its nodes."""

    @property
    def witnesses(self):
        return NO_WITNESSES


def all_apart(troubled):
    """Nothing gets from n1 to n0, neither what nodes send nor what they forward; both reach n2."""
    rule = "iifname uplink ip saddr { 172.18.0.3, 10.244.1.0/24 } drop"
    chain = f"chain in {{ type filter hook prerouting priority -310; {rule}; }}"
    troubled.rules(troubled.topology.nodes["n0"], chain)


async def audited_without_agents_at_nodes(harm, *policies):
    """What comes of a denial from n1 to n0, where policies let nobody between pods through."""
    pods = tuple(endpoint for endpoint in REACHABLE if endpoint.name in ("a/db", "a/web"))
    lab = WithoutAgentsAtNodes(
        world(*policies, endpoints=(*pods, THIRD)), nodes=THREE, enforcement=Enforcement.parse(("enforces-nothing@n2",))
    )
    async with lab:
        troubled = TroubledLab(lab)
        harm(troubled)
        try:
            for index in troubled.topology.nodes.values():
                troubled.python(KUBELET, index=index)
            options = AuditOptions(ports=PORTS[:1], sources=("a/db",), destinations=("a/web",), probing=PATIENT)
            return await audit(lab, "apart", options, NoProgress())
        finally:
            troubled.end()


NOBODY_IN = (deny(INGRESS), deny(INGRESS, namespace="b"))
NOBODY_IN_OR_OUT = (BOTH_WAYS, policy(labelled(), INGRESS, EGRESS, name="none", namespace="b"))


@pytest.mark.parametrize(
    ("harm", "policies", "code"),
    [(all_apart, NOBODY_IN, 3), slow(lambda _: None, NOBODY_IN, 0), slow(all_apart, NOBODY_IN_OR_OUT, 0)],
    ids=["apart", "healthy", "nobody may try"],
)
async def test_nodes_that_reach_every_node_but_each_other_prove_no_denial(harm, policies, code):
    report = await audited_without_agents_at_nodes(harm, *policies)
    over_ipv4 = [result for result in report.cells if result.cell.family is Family.IPV4]
    assert {result.result for result in over_ipv4} == {Result.INCONCLUSIVE if code else Result.MATCH}, over_ipv4
    told = "nothing was answered between nodes n0 and n1 over IPv4, though a/web reaches node n2, so silence"
    assert not code or all(reason.startswith(told) for reason in reasons(over_ipv4)), over_ipv4
    assert of_report(report) == code


WITH_NODES = (*REACHABLE, node_endpoint("n1"))


def masquerading(troubled):
    """What pods on n1 send to pods on n0 leaves with the address of their node."""
    rule = "oifname uplink ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/24 snat ip to 172.18.0.3"
    chain = f"chain translated {{ type nat hook postrouting priority 100; {rule}; }}"
    troubled.rules(troubled.topology.nodes["n1"], chain)


@pytest.mark.parametrize("harm", [masquerading, slow(lambda _: None)])
async def test_addresses_that_are_translated_between_pods_are_told(harm):
    """a/web lets a/db in by its labels, which stand for an address that a/web never sees."""
    policies = (receive(rule(pods(labelled(app="db"))), app="web"),)
    report = await audited(harm, "spec", ports=PORTS[:1], policies=policies, endpoints=WITH_NODES)
    seen = {result.cell[:2]: result for result in report.cells if result.cell.family is Family.IPV4}
    told = [fact for fact in report.facts if "came from 172.18.0.3, an address of node n1" in fact]
    if harm is not masquerading:
        assert not told
        assert of_report(report) == 0
        return
    assert told[0].startswith("2 connections from pods on node n1 to pods on node n0 came from"), report.facts
    outage = seen["a/db", VICTIM]
    assert outage.result is Result.OUTAGE
    assert outage.observation.outcome == "timeout: what others send there comes from 172.18.0.3, an address of node n1"
    assert seen["b/web", "b/client"].result is seen["b/web", VICTIM].result is Result.MATCH


async def test_a_leak_by_a_translated_address_says_so():
    policies = (deny(INGRESS, app="web"),)
    chosen = {"ports": PORTS[:1], "policies": policies, "endpoints": WITH_NODES}
    report = await audited(masquerading, "enforces-nothing", **chosen)
    leak = next(result for result in report.cells if result.cell[:2] == ("b/web", VICTIM))
    assert leak.result is Result.LEAK
    assert leak.observation.outcome == "token: it came from 172.18.0.3, an address of node n1"


def losing(share):
    """So much of what arrives at each pod is lost, though not of what it says to itself."""

    def harm(troubled):
        rule = f"iifname eth0 numgen random mod 100 < {share} drop"
        for pod in (VICTIM, "a/db", "b/client", "b/web"):
            troubled.rules(troubled.index(pod), f"chain in {{ type filter hook input priority 0; {rule}; }}")

    return harm


DEFAULT_PATIENCE = ProbingOptions(settle=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [TCP, UDP])
async def test_loss_of_packets_hides_no_leak_and_is_told(protocol):
    pods = ("a/db", "b/client", "b/web")
    report = await audited(
        losing(20),
        "enforces-nothing@n0",
        ports=(PortRequest(protocol, 80),),
        sources=pods,
        probing=DEFAULT_PATIENCE,
        policies=(deny(INGRESS),),
    )
    leaks = [result for result in concerned(report) if result.expected is Verdict.DENIED]
    assert leaks
    assert Result.MATCH not in {result.result for result in leaks}
    assert of_report(report) in (1, 3)
    assert any("of packets were lost" in fact for fact in report.facts), report.facts


def losing_in_the_fabric(share, protocol):
    """So much of what nodes forward is lost."""

    def harm(troubled):
        rule = f"meta l4proto {protocol} numgen random mod 100 < {share} drop"
        for index in troubled.topology.nodes.values():
            chain = f"chain lossy {{ type filter hook forward priority -310; iifname uplink {rule}; }}"
            troubled.rules(index, chain)

    return harm


@pytest.mark.parametrize(("share", "code"), [(30, 1), (0, 0)])
async def test_datagrams_that_get_lost_make_a_connection_unstable(share, code):
    pods = ("b/client", "b/web")
    report = await audited(
        losing_in_the_fabric(share, "udp"),
        "spec",
        ports=(PortRequest(UDP, 53), PortRequest(UDP, 80), PortRequest(TCP, 80)),
        sources=pods,
        destinations=pods,
        probing=DEFAULT_PATIENCE,
    )
    unstable = [result for result in report.cells if result.result is Result.UNSTABLE]
    assert bool(unstable) is bool(code)
    assert all(result.cell.protocol is UDP and result.cell.source != result.cell.destination for result in unstable)
    # Where all datagrams of an attempt were lost, its verdict has changed, which is another reason.
    lost = [
        result for result in unstable if "single datagrams or their answers were lost" in result.observation.outcome
    ]
    assert bool(lost) is bool(code)
    assert any("single datagrams" in fact for fact in report.facts) is bool(code), report.facts
    assert of_report(report) == code


@pytest.mark.slow
async def test_connections_that_take_a_second_packet_are_told():
    pods = ("b/client", "b/web")
    report = await audited(
        losing_in_the_fabric(30, "tcp"), "spec", ports=PORTS[:1], sources=pods, destinations=pods, probing=PATIENT
    )
    told = "got an answer only after a packet had been sent again: b/"
    assert any(told in fact for fact in report.facts), report.facts


FLOOD = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until = time.monotonic() + 60
while time.monotonic() < until:
    for _ in range(500):
        try:
            sock.sendto(b"x" * 1000, (sys.argv[1], int(sys.argv[2])))
        except OSError:
            pass
"""


async def test_a_flood_of_datagrams_hides_no_leak():
    async with Lab(
        world(deny(INGRESS), endpoints=REACHABLE), nodes=NODES, enforcement=Enforcement.parse(("enforces-nothing",))
    ) as lab:
        troubled = TroubledLab(lab)
        try:
            for _ in range(3):
                troubled.python(FLOOD, "10.244.0.10", 53, index=troubled.index("a/db"))
            options = AuditOptions(
                ports=PORTS[1:], sources=("b/client", "b/web"), destinations=(VICTIM,), probing=PATIENT
            )
            report = await audit(lab, "flood", options, NoProgress())
        finally:
            troubled.end()
    over_ipv4 = [result for result in report.cells if result.cell.family is Family.IPV4]
    assert over_ipv4
    assert Result.MATCH not in {result.result for result in over_ipv4}, [result.observation for result in over_ipv4]
