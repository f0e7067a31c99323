from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from auditor.model.policy import Direction, NetworkPolicy, PolicyPort, Rule, UnknownPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.verdict import Note, Verdict
from auditor.policy.bits import WORD
from auditor.policy.doubt import Unreadable
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import common_families, governed
from auditor.report import expected_as_json
from auditor.report.expected_as_json import expected_json
from tests.marking import some
from tests.schemas import validator
from tests.strategies import Shape, random_snapshot
from tests.unit.diagnosis.worlds import DB_POLICY, SHOP, labels, with_policies


def document(snapshot, sources=None, destinations=None, **options):
    matrix = evaluate(snapshot, named_ports=options.get("ports", ()))
    names = [endpoint.name for endpoint in snapshot.endpoints]
    return json.loads("".join(expected_json(matrix, sources or names, destinations or names, **options)))


def cells_between(found, source, destination):
    return [cell for cell in found["cells"] if (cell["source"], cell["destination"]) == (source, destination)]


def test_ports_give_exactly_one_cell_per_governed_pair():
    found = document(SHOP, expand=True, ports=(PortRequest(Protocol.TCP, 3306),))
    pods, others = 4, 3
    assert len(found["cells"]) == pods * pods + 2 * pods * others
    assert cells_between(found, "prod/api", "prod/db") == [
        {
            "source": "prod/api",
            "destination": "prod/db",
            "protocol": "TCP",
            "port": 3306,
            "end_port": 3306,
            "verdict": "allowed",
            "notes": [],
        }
    ]
    assert cells_between(found, "prod/web", "prod/db")[0]["verdict"] == "denied"


def test_adjacent_atoms_of_one_verdict_are_joined():
    found = document(SHOP, expand=True)
    ranges = [
        (cell["protocol"], cell["port"], cell["end_port"], cell["verdict"])
        for cell in cells_between(found, "prod/api", "prod/db")
    ]
    assert ranges == [
        ("TCP", 1, 3305, "denied"),
        ("TCP", 3306, 3306, "allowed"),
        ("TCP", 3307, 65535, "denied"),
        ("UDP", 1, 65535, "denied"),
        ("SCTP", 1, 65535, "denied"),
    ]


def test_a_named_port_resolves_per_destination_and_gives_no_cell_without_it():
    found = document(SHOP, expand=True, ports=(PortRequest(Protocol.TCP, name="sql"),))
    assert {cell["destination"] for cell in found["cells"]} == {"prod/db"}
    assert {cell["port"] for cell in found["cells"]} == {3306}


def test_only_asked_for_sources_and_destinations_appear():
    found = document(SHOP, ["prod/web"], ["prod/db"])
    assert [endpoint["name"] for endpoint in found["endpoints"]] == ["prod/web", "prod/db"]
    assert len({(cell["source"], cell["destination"]) for cell in found["cells"]}) == 1


def test_an_endpoint_without_pairs_gives_an_empty_list():
    assert document(SHOP, ["host/backup"], ["host/other"])["cells"] == []


def test_members_of_a_class_still_reach_themselves():
    deny = NetworkPolicy("prod", "deny", labels(app="web"), frozenset({Direction.INGRESS}))
    twins = with_policies(deny)
    twins = type(twins)(
        twins.namespaces,
        (
            *twins.endpoints,
            type(twins.endpoints[0])("prod/web2", twins.endpoints[0].kind, "prod", {"app": "web"}, (), (), "node-1"),
        ),
        twins.policies,
    )
    found = document(twins, ["prod/web"], ["prod/web"], ports=(PortRequest(Protocol.TCP, 80),))
    [cell] = found["cells"]
    assert (cell["verdict"], cell["notes"]) == ("allowed", [])
    bare = type(twins)(twins.namespaces, tuple(_without_addresses(twins)), twins.policies)
    [cell] = document(
        bare, ["prod/web", "prod/web2"], ["prod/web", "prod/web2"], ports=(PortRequest(Protocol.TCP, 80),)
    )["cells"]
    assert (cell["verdict"], cell["notes"]) == ("denied", [Note.SELF_ALLOWED])


def _without_addresses(snapshot):
    for endpoint in snapshot.endpoints:
        yield type(endpoint)(
            endpoint.name, endpoint.kind, endpoint.namespace, endpoint.labels, (), endpoint.ports, endpoint.node
        )


def test_the_own_node_is_noted_where_a_class_runs_on_several():
    deny = NetworkPolicy(
        "prod", "deny", labels(app="db"), frozenset({Direction.INGRESS}), (Rule((), (PolicyPort(number=1),)),)
    )
    found = document(with_policies(deny), expand=True, ports=(PortRequest(Protocol.TCP, 80),))
    assert cells_between(found, "node/node-2", "prod/db")[0]["verdict"] == "allowed"
    assert cells_between(found, "prod/web", "prod/db")[0]["verdict"] == "denied"


def test_what_policies_mean_for_a_pod_in_its_nodes_network_is_undefined_on_the_own_node_too():
    proxy = replace(SHOP.endpoint("prod/db"), name="prod/proxy", labels={"app": "proxy"}, host_network=True)
    snapshot = replace(SHOP, endpoints=(*SHOP.endpoints, proxy))
    found = document(snapshot, expand=True, ports=(PortRequest(Protocol.TCP, 80),))
    for pair in (("prod/proxy", "dev/api"), ("dev/api", "prod/proxy")):
        [cell] = cells_between(found, *pair)
        assert (cell["verdict"], cell["notes"]) == (Verdict.ALLOWED, [Note.UNDEFINED])


@pytest.mark.parametrize("seed", range(60))
def test_every_cell_of_both_documents_says_what_the_matrix_says(seed):
    snapshot = random_snapshot(random.Random(seed), Shape(addressless=0.2))
    matrix = evaluate(snapshot)
    for found in (document(snapshot), document(snapshot, expand=True)):
        members = {}
        for endpoint in found["endpoints"]:
            members.setdefault(endpoint["class"], []).append(endpoint["name"])
            members[endpoint["name"]] = [endpoint["name"]]
        for cell in found["cells"]:
            for source in members[cell["source"]]:
                for destination in members[cell["destination"]]:
                    _check(matrix, cell, source, destination)


@pytest.mark.parametrize("seed", [0, 1])
def test_cells_between_more_classes_than_a_word_has_bits_are_whole_and_in_order(seed):
    shape = Shape(namespaces=9, pods=80, policies=20, nodes=4, hosts=3, addressless=0.2)
    snapshot = random_snapshot(random.Random(seed), shape)
    snapshot = replace(snapshot, unknown=(UnknownPolicy("space-1", "odd", None, "?"),))
    matrix = evaluate(snapshot)
    assert len(matrix.classes) > WORD
    found = document(snapshot)
    pairs = list(dict.fromkeys((cell["source"], cell["destination"]) for cell in found["cells"]))
    numbers = range(len(matrix.classes))
    ends = [matrix.representative(number) for number in numbers]
    assert pairs == sorted(pairs)
    assert set(pairs) == {
        (one, other)
        for one in numbers
        for other in numbers
        if governed(ends[one], ends[other]) and common_families(ends[one], ends[other])
    }
    unreadable = Unreadable(snapshot)
    members = [[matrix.endpoint(name) for name in identity.members] for identity in matrix.classes]
    assert any("doubt" in cell for cell in found["cells"])
    for cell in found["cells"][::9]:
        doubtful = unreadable.among(members[cell["source"]], members[cell["destination"]])
        assert cell.get("doubt", False) == doubtful
        if cell["source"] != cell["destination"]:
            _check(matrix, cell, ends[cell["source"]].name, ends[cell["destination"]].name)


@pytest.mark.parametrize("options", [{}, {"ports": (PortRequest(Protocol.TCP, name="http"),)}])
@pytest.mark.parametrize("seed", some(range(4)))
def test_rows_say_what_cells_say(seed, options, monkeypatch):
    shape = Shape(namespaces=5, pods=40, policies=20, nodes=3, hosts=3, addressless=0.2)
    snapshot = random_snapshot(random.Random(seed), shape)
    snapshot = replace(snapshot, unknown=(UnknownPolicy("space-1", "odd", None, "?"),))
    some = [endpoint.name for endpoint in snapshot.endpoints][::2]
    cells = document(snapshot, some, **options)
    monkeypatch.setattr(expected_as_json, "MOST_PAIRS", 0)
    rows = document(snapshot, some, **options)
    validator("expected.schema.json").validate(rows)
    assert any("doubt" in cell for cell in cells["cells"])
    assert _cells_of(rows.pop("rows")) == cells.pop("cells")
    assert rows == cells


def _cells_of(rows):
    """The cells that ``rows`` stand for, in their order."""
    cells = []
    for row in rows:
        by_destination = {}
        for alike in row["to"]:
            doubt = {"doubt": True} if "doubt" in alike else {}
            for first, last in alike["destinations"]:
                for number in range(first, last + 1):
                    assert number not in by_destination
                    ends = {"source": row["source"], "destination": number, **doubt}
                    by_destination[number] = [ends | ports for ports in alike["ports"]]
        cells += [cell for number in sorted(by_destination) for cell in by_destination[number]]
    return cells


def _check(matrix, cell, source, destination):
    ends = matrix.endpoint(source), matrix.endpoint(destination)
    for family in common_families(*ends):
        for port in (cell["port"], cell["end_port"]):
            wanted = matrix.verdict(source, destination, Protocol(cell["protocol"]), port, family)
            said = cell.get("families", {}).get(str(family), cell["verdict"])
            exempt = (source == destination and Note.SELF_ALLOWED in cell["notes"]) or (
                ends[0].node == ends[1].node and Note.OWN_NODE_ALLOWED in cell["notes"]
            )
            assert said == wanted or (exempt and wanted is Verdict.ALLOWED), (source, destination, cell)


def test_db_policy_is_what_these_tests_think():
    assert DB_POLICY.rules(Direction.EGRESS) == ()
