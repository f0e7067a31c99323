"""expect, explain and lint say the same of peers that the input doesn't have, pods elsewhere and the outside, and what
the oracle says of any pod or address that such a peer may be.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from auditor.lint import lint
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer
from auditor.model.ports import PortRequest
from auditor.model.reasons import place
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.absent_cells import absent_cells
from auditor.policy.absent_peers import AbsentPeer, Admission
from auditor.policy.evaluator import evaluate
from auditor.policy.exposure import exposures
from auditor.policy.matrix import MatrixView
from auditor.policy.outside import outside_peers, with_outside
from auditor.run.absent_peers import absent_peer_called, explain_absent
from auditor.run.addresses import endpoint_at
from auditor.run.explanation import explain
from tests.oracle.evaluator import verdict
from tests.strategies import Shape, random_snapshot

SHAPE = Shape(pods=6, policies=5, hosts=0, node_endpoints=False, host_network=0.0, families=((Family.IPV4,),))
SEEDS = range(16)


def halved(seed: int) -> tuple[Snapshot, Snapshot]:
    """A cluster, and the same without half of its pods."""
    whole = random_snapshot(Random(seed), SHAPE)
    return whole, replace(whole, endpoints=whole.endpoints[: len(whole.endpoints) // 2])


def view_of(snapshot: Snapshot) -> MatrixView:
    return MatrixView(evaluate(snapshot), snapshot.endpoints, snapshot.endpoints)


def one_sided(snapshot: Snapshot, direction: Direction) -> Snapshot:
    """``snapshot`` with what its policies say in ``direction`` alone: of the other side nothing is known."""
    kept = {"ingress": ()} if direction is Direction.EGRESS else {"egress": ()}
    policies = (
        replace(each, directions=frozenset({direction}), **kept)
        for each in snapshot.policies
        if direction in each.directions
    )
    return replace(snapshot, policies=tuple(policies))


def may_be(pod: Endpoint, peer: AbsentPeer, snapshot: Snapshot) -> bool:
    """Whether ``pod`` is one of ``peer``."""
    asked = peer.peer.namespace_selector
    here = (
        pod.namespace == peer.namespace if asked is None else asked.matches(snapshot.namespaces[pod.namespace].labels)
    )
    return here and (peer.peer.pod_selector is None or peer.peer.pod_selector.matches(pod.labels))


@pytest.mark.parametrize("seed", SEEDS)
def test_pods_elsewhere_are_the_same_to_expect_explain_and_the_oracle(seed):
    whole, part = halved(seed)
    for each in absent_cells(view_of(part)):
        pod = part.endpoints[evaluate(part).classes[each.number].first]
        port = PortRequest(each.ports.protocol, each.ports.last)
        inward = each.direction is Direction.INGRESS
        (said,) = explain_absent(part, *((each.peer, pod) if inward else (pod, each.peer)), port).connections
        assert (said.decision.verdict, bool(said.doubt)) == (each.verdict, each.in_doubt)
        if each.in_doubt and each.verdict is Verdict.DENIED:
            continue  # an allowed one is in doubt for what the peer's side may forbid, which the oracle isn't asked
        known = one_sided(whole, each.direction)
        for other in whole.endpoints[len(part.endpoints) :]:
            if may_be(other, each.peer, whole):
                ends = (other, pod) if inward else (pod, other)
                assert verdict(known, *ends, port.protocol, port.number, Family.IPV4) is each.verdict, str(each.peer)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_rule_is_said_to_open_is_open_in_the_matrix(seed):
    _, part = halved(seed)
    matrix = evaluate(part)
    cells = list(absent_cells(view_of(part)))
    for each in exposures(part):
        for name in each.pods:
            mine = [
                cell
                for cell in cells
                if (str(cell.peer), cell.direction, cell.number) == (each.peer, each.direction, matrix.class_of(name))
            ]
            for port in each.ports:
                if port.number is not None:
                    shown = [
                        cell for cell in mine if cell.ports.protocol is port.protocol and port.number in cell.ports
                    ]
                    assert [cell.verdict for cell in shown if not cell.in_doubt] in ([], [Verdict.ALLOWED])


@pytest.mark.parametrize("seed", SEEDS)
def test_lint_finds_no_pods_for_none_but_the_peers_that_expect_has_rows_for(seed):
    _, part = halved(seed)
    rules = {rule for each in exposures(part) for rule in each.rules}
    unused = {each.full_name for each in part.policies if not any(pod.is_selected_by(each) for pod in part.endpoints)}
    for finding in lint(part, complete=True):
        if finding.check in ("peer-matches-nothing", "peer-not-there-yet", "namespace-label-missing"):
            for where in (finding.place, *finding.others):
                policy = next(each for each in part.policies if each.full_name in str(where))
                named = {place(policy, way, number) for way in Direction for number in range(len(policy.rules(way)))}
                assert policy.full_name in unused or named & rules, str(where)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_outside_is_the_same_to_expect_explain_and_the_oracle(seed):
    whole, _ = halved(seed)
    matrix, snapshot = evaluate(with_outside(whole)), with_outside(whole)
    for peer in outside_peers([whole]):
        address = next((each for each in peer.addresses if each.version == Family.IPV4), None)
        if address is None:
            continue
        there = endpoint_at(snapshot, str(address))
        assert there is not None
        outsider = Endpoint("host/x", EndpointKind.HOST, addresses=(address,))
        for pod in whole.endpoints:
            for port in matrix.atoms[::3]:
                for source, destination in ((peer, pod), (pod, peer)):
                    asked = Cell(source.name, destination.name, port.protocol, port.first, Family.IPV4)
                    expected = matrix.verdict(*asked)
                    ends = [outsider if end is peer else end for end in (source, destination)]
                    known = replace(whole, endpoints=(*whole.endpoints, outsider))
                    assert verdict(known, *ends, port.protocol, port.first, Family.IPV4) is expected
        asked_at = replace(snapshot, endpoints=tuple(dict.fromkeys((*snapshot.endpoints, there))))
        request = PortRequest(matrix.atoms[0].protocol, matrix.atoms[0].first)
        (said,) = explain(asked_at, there, whole.endpoints[0], request).connections
        assert said.decision.verdict is matrix.verdict(*said.decision.cell._replace(source=peer.name))


def test_the_clusters_have_what_is_compared():
    """No claim above is about nothing."""
    kinds: set[tuple[Verdict, bool]] = set()
    for seed in SEEDS:
        whole, part = halved(seed)
        for each in absent_cells(view_of(part)):
            witnesses = [pod for pod in whole.endpoints[len(part.endpoints) :] if may_be(pod, each.peer, whole)]
            kinds |= {(each.verdict, each.in_doubt)} if witnesses else set()
            assert absent_peer_called(part, str(each.peer)) is not None
    assert kinds >= {(Verdict.ALLOWED, True), (Verdict.DENIED, False), (Verdict.DENIED, True)}


def test_policies_that_ask_a_pod_for_a_label_that_nobody_knows_leave_in_doubt_what_comes_from_elsewhere():
    pods = tuple(
        Endpoint(f"a/{name}", EndpointKind.POD, "a", {"app": name}, unknown_labels=frozenset({"hash"}))
        for name in ("web", "db")
    )
    asking = NetworkPolicy("a", "one", LabelSelector((("hash", "x"),)), frozenset({Direction.INGRESS}))
    other = NetworkPolicy("a", "two", LabelSelector((("app", "db"),)), frozenset({Direction.INGRESS}))
    peer = AbsentPeer(Peer(LabelSelector((("app", "elsewhere"),))), "a")
    for policies, doubtful, closed in (
        ((asking, other), (True, True), (True, True)),
        ((other,), (False, False), (False, True)),
    ):
        snapshot = Snapshot({"a": Namespace.of("a")}, pods, policies)
        atoms = evaluate(snapshot).port_atoms
        found = [Admission(snapshot, atoms).between(pod, peer, Direction.INGRESS) for pod in pods]
        assert tuple(each.certain != each.possible for each in found) == doubtful
        assert tuple(each.certain == 0 for each in found) == closed
