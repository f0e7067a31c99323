"""Scenario files, their truth tables, and the nodes and addresses that reading gives."""

import json
from importlib.resources import files
from ipaddress import ip_address

import jsonschema
import pytest
import yaml

from auditor.model.errors import InputError, Problem, UsageError
from auditor.model.policy import Direction
from auditor.model.scenario import ExpectedProblem, Scenario
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.parsing.placement import place
from auditor.parsing.scenario import is_scenario, read_scenario, unmet_problems
from auditor.parsing.source import Source

SCHEMA = json.loads(files("auditor").joinpath("schemas/scenario.schema.json").read_text(encoding="utf-8"))
HEAD = "schema: audit.scenario/v1\nname: x\ntitle: T\n"
WEB = "{containers: [{ports: [{containerPort: 80, name: web}]}]}"
OBJECTS = f"""\
objects:
  - {{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: 'n'}}, spec: {WEB}}}
  - {{apiVersion: v1, kind: Pod, metadata: {{name: b, namespace: 'n'}}}}
"""
TRUTH = "truth: {ports: [TCP/80], otherwise: denied}\n"
POLICY = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: 'n'}, spec: %s}"


def read(text: str, **manifests: str) -> Scenario:
    return read_scenario(
        Source("dir/x.yaml", text.encode()), lambda name: Source(f"dir/{name}", manifests[name].encode())
    )


def problems(text: str, **manifests: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        read(text, **manifests)
    return caught.value.problems


def truth(rows: str = "", ports: str = "TCP/80", more: str = "") -> dict[Cell, Verdict]:
    return dict(read(f"{HEAD}{more}{OBJECTS}truth:\n  ports: [{ports}]\n  rows:\n{rows}  otherwise: denied\n").truth)


def allowed(cells: dict[Cell, Verdict]) -> set[str]:
    return {
        f"{cell.source} {cell.destination} {cell.port}" for cell, verdict in cells.items() if verdict is Verdict.ALLOWED
    }


def test_a_whole_scenario() -> None:
    scenario = read(
        f"{HEAD}documents: ['000']\nclaim: C\nclaim_is: wrong\ncovers: [2, 8]\nnodes: [m]\nnode_endpoints: "
        "true\nfamilies: [IPv6, IPv4]\n"
        f"hosts: {{h: 192.0.2.1, i: [192.0.2.2, '2001:db8::2']}}\n{OBJECTS}manifests: ['y']\n"
        f"previous_policies:\n  - {POLICY % '{policyTypes: [Egress]}'}\n{TRUTH}",
        y=f"---\n{POLICY % '{}'}\n",
    )
    assert (scenario.name, scenario.title, scenario.file, scenario.documents) == ("x", "T", "dir/x.yaml", ("000",))
    assert (scenario.claim, scenario.claim_is_right, scenario.covers, scenario.nodes) == ("C", False, (2, 8), ("m",))
    assert scenario.families == (Family.IPV6, Family.IPV4)
    assert [str(address) for address in scenario.snapshot.endpoint("host/i").addresses] == ["192.0.2.2", "2001:db8::2"]
    assert [endpoint.name for endpoint in scenario.snapshot.endpoints] == ["n/a", "n/b", "host/h", "host/i", "node/m"]
    assert [policy.file for policy in scenario.snapshot.policies] == ["dir/y"]
    assert scenario.previous_policies is not None
    assert [policy.directions for policy in scenario.previous_policies] == [{Direction.EGRESS}]


def test_defaults() -> None:
    scenario = read(HEAD + OBJECTS + TRUTH)
    assert (scenario.nodes, scenario.families, scenario.claim_is_right) == (("node-1", "node-2"), (Family.IPV4,), None)
    assert scenario.previous_policies is None
    assert [endpoint.name for endpoint in scenario.snapshot.endpoints] == ["n/a", "n/b"]


WRONG = [
    ("expects: 1\n" + TRUTH, 4, "expects", "unknown field"),
    ("covers: [a]\n" + TRUTH, 4, "covers[0]", "whole number"),
    ("documents: [000]\n" + TRUTH, 4, "documents[0]", "quote it"),
    ("node_endpoints: 1\n" + TRUTH, 4, "node_endpoints", "must be a boolean"),
    ("claim: 1\nclaim_is: right\n" + TRUTH, 4, "claim", "quote it"),
    ("claim: C\n" + TRUTH, 1, "", "go together"),
    ("claim: C\nclaim_is: maybe\n" + TRUTH, 5, "claim_is", "right or wrong"),
    ("families: [IPv5]\n" + TRUTH, 4, "families[0]", "IPv4 or IPv6"),
    ("nodes: [m, m]\n" + TRUTH, 4, "nodes", "twice"),
    ("hosts: {h: x}\n" + TRUTH, 4, "hosts.h", "is not a valid IP address"),
    ("hosts: {h: []}\n" + TRUTH, 4, "hosts.h", "needs an address"),
    ("hosts: {h: 5}\n" + TRUTH, 4, "hosts.h", "must be a list"),
    ("hosts: {h/i: 192.0.2.1}\n" + TRUTH, 4, "hosts[h/i]", "is not a valid host name"),
    ("hosts: {h: [192.0.2.1, 192.0.2.2]}\n" + TRUTH, 4, "hosts.h", "one address of each family"),
    ("hosts: {h: 10.244.0.2}\nnodes: [m]\n" + TRUTH.replace("denied", "no"), 6, "truth.otherwise", "allowed or denied"),
    (
        "previous_policies: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]\n" + TRUTH,
        4,
        "previous_policies",
        "NetworkPolicies",
    ),
    ("", 1, "", "either truth or problems"),
    (TRUTH + "problems: [{line: 1, path: '', contains: x}]\n", 1, "", "either truth or problems"),
    ("truth: {otherwise: denied}\n", 4, "truth.ports", "its columns"),
    ("truth: {ports: [TCP/80]}\n", 4, "truth.otherwise", "allowed or denied"),
    ("truth: {ports: [ABC/80], otherwise: denied}\n", 4, "truth.ports[0]", "unknown protocol"),
    ("truth: {ports: [TCP/80], otherwise: denied, rest: 1}\n", 4, "truth.rest", "unknown field"),
]
WRONG_ROWS = [
    ("{verdict: allowed, too: x}", "too", "did you mean to?"),
    ("{verdict: maybe}", "verdict", "allowed or denied"),
    ("{from: n/a}", "verdict", "allowed or denied"),
    ("{ports: [TCP/81], verdict: allowed}", "ports[0]", "not one of the table's columns: TCP/80"),
    ("{from: n/z, verdict: allowed}", "from", "matches no endpoint"),
    ("{to: [n/a, '=x'], verdict: allowed}", "to", "selection"),
    ("{family: IPv6, verdict: allowed}", "family", "scenario's families: IPv4"),
]


@pytest.mark.parametrize(("text", "line", "path", "fragment"), WRONG)
def test_what_is_wrong_with_a_scenario(text: str, line: int, path: str, fragment: str) -> None:
    found = [problem for problem in problems(HEAD + text + OBJECTS) if fragment in problem.message]
    assert [(problem.line, problem.path) for problem in found] == [(line, path)]


@pytest.mark.parametrize(("row", "path", "fragment"), WRONG_ROWS)
def test_what_is_wrong_with_a_row(row: str, path: str, fragment: str) -> None:
    text = f"{HEAD}{OBJECTS}truth:\n  ports: [TCP/80]\n  otherwise: denied\n  rows:\n    - {row}\n"
    found = [problem for problem in problems(text) if fragment in problem.message]
    assert [(problem.line, problem.path) for problem in found] == [(11, f"truth.rows[0].{path}")]


@pytest.mark.parametrize(
    ("head", "path", "fragment"),
    [
        ("schema: audit.scenario/v2\nname: x\ntitle: T\n", "schema", "audit.scenario/v1"),
        ("schema: audit.scenario/v1\nname: 'y'\ntitle: T\n", "name", "the file's name, x"),
        ("schema: audit.scenario/v1\ntitle: T\n", "", "needs a name"),
        ("schema: audit.scenario/v1\nname: x\n", "", "needs a title"),
    ],
)
def test_what_is_wrong_with_the_head(head: str, path: str, fragment: str) -> None:
    (problem,) = problems(head + OBJECTS + TRUTH)
    assert problem.path == path
    assert fragment in problem.message


@pytest.mark.parametrize("text", ["", "- a", "schema: audit.scenario/v1\n---\nschema: x\n"])
def test_a_scenario_is_one_mapping(text: str) -> None:
    assert "one document" in problems(text)[0].message


def test_the_first_row_that_matches_decides_and_self_is_always_allowed() -> None:
    rows = "    - {from: n/a, to: n/b, verdict: allowed}\n    - {to: n/b, verdict: denied}\n"
    with pytest.raises(InputError, match=r"rows\[1\]: this row decides nothing"):
        truth(rows)
    assert allowed(truth("    - {from: n/a, to: [n/b], verdict: allowed}\n")) == {
        "n/a n/a 80",
        "n/b n/b 80",
        "n/a n/b 80",
    }


def test_a_named_port_is_a_cell_only_where_it_is_declared() -> None:
    cells = truth("    - {to: n/a, ports: [TCP/web], verdict: allowed}\n", ports="TCP/web")
    assert {(cell.destination, cell.port) for cell in cells} == {("n/a", 80)}


def test_columns_that_contradict_each_other() -> None:
    with pytest.raises(InputError, match="two columns are one port there and differ: n/b -> n/a TCP/80"):
        truth("    - {to: n/a, ports: [TCP/web], verdict: allowed}\n", ports="TCP/80, TCP/web")


def test_a_row_for_one_family() -> None:
    cells = truth("    - {from: n/a, family: IPv6, verdict: allowed}\n", more="families: [IPv4, IPv6]\n")
    assert {
        cell.family for cell, verdict in cells.items() if verdict is Verdict.ALLOWED and cell.source != cell.destination
    } == {Family.IPV6}
    assert len(cells) == 8


def test_a_node_and_its_own_pods_reach_each_other() -> None:
    cells = truth("    - {from: n/a, to: n/b, verdict: allowed}\n", more="node_endpoints: true\n")
    assert {"n/a node/node-1 80", "node/node-1 n/a 80"} <= allowed(cells)
    assert "n/a node/node-2 80" not in allowed(cells)
    assert not any(cell.source.startswith("node/") and cell.destination.startswith("node/") for cell in cells)


PROBLEMS = f"{HEAD}manifests: ['y']\nproblems:\n  - {{line: %s, path: 'spec.x', contains: unknown}}\n"


def test_a_scenario_of_problems() -> None:
    scenario = read(PROBLEMS % 1, y=POLICY % "{x: 1}")
    (problem,) = scenario.problems
    assert (problem.file, problem.line, problem.path) == ("dir/y", 1, "spec.x")
    assert (scenario.truth, scenario.snapshot.endpoints, scenario.snapshot.policies) == ({}, (), ())


def test_a_scenario_of_other_problems_than_found() -> None:
    said = [problem.message for problem in problems(PROBLEMS % 2, y=POLICY % "{x: 1}")]
    assert ["no problem on line 2" in said[0], "unexpected problem" in said[1]] == [True, True]


@pytest.mark.parametrize("listed", ["[]", "null", "[{line: 1}]"])
def test_an_expected_problem_is_whole(listed: str) -> None:
    assert {problem.path.rstrip("[0]") for problem in problems(f"{HEAD}problems: {listed}\n")} >= {"problems"}


def test_unmet_problems() -> None:
    found = [Problem("a b", "f", 1, "p"), Problem("c", "f", 2, "q")]
    assert unmet_problems(found, [ExpectedProblem(2, "q", "c"), ExpectedProblem(1, "p", "b")]) == []
    assert len(unmet_problems(found, [ExpectedProblem(1, "p", "x")])) == 3
    assert len(unmet_problems([], [ExpectedProblem(1, "p", "x")])) == 1


def test_a_manifest_that_cannot_be_loaded() -> None:
    def load(name: str) -> Source:
        raise FileNotFoundError(2, "No such file", name)

    with pytest.raises(InputError, match=r"dir/x.yaml:4: manifests\[0\]: can't read y: No such file"):
        read_scenario(Source("dir/x.yaml", f"{HEAD}manifests: ['y']\n{TRUTH}".encode()), load)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (HEAD, True),
        ("# c\n" + HEAD, True),
        ('{"schema": "audit.scenario/v1"}', True),
        ("kind: Pod\n", False),
        ("schema: other/v1\n", False),
    ],
)
def test_whether_it_is_a_scenario(text: str, answer: bool) -> None:
    assert is_scenario(Source("f", text.encode())) is answer


def pods(*given: Endpoint) -> Snapshot:
    return Snapshot({}, given)


def pod(name: str, node: str = "", address: str = "", host_network: bool = False) -> Endpoint:
    addresses = (ip_address(address),) if address else ()
    return Endpoint(f"n/{name}", EndpointKind.POD, "n", addresses=addresses, node=node, host_network=host_network)


BOTH = (Family.IPV4, Family.IPV6)


def placed(
    snapshot: Snapshot, nodes: tuple[str, ...] = ("m", "o"), families: tuple[Family, ...] = BOTH
) -> list[tuple[str, str, str]]:
    endpoints = place(snapshot, nodes, families, node_endpoints=True).endpoints
    return [(endpoint.name, endpoint.node, " ".join(map(str, endpoint.addresses))) for endpoint in endpoints]


def test_nodes_go_round_and_addresses_follow() -> None:
    old_node = Endpoint("node/old", EndpointKind.NODE, node="old")
    assert placed(pods(pod("a"), pod("b"), pod("c", "m"), pod("d"), pod("e", "o", host_network=True), old_node)) == [
        ("n/a", "m", "10.244.0.2 fd00:10:244::2"),
        ("n/b", "o", "10.244.1.2 fd00:10:244:1::2"),
        ("n/c", "m", "10.244.0.3 fd00:10:244::3"),
        ("n/d", "m", "10.244.0.4 fd00:10:244::4"),
        ("n/e", "o", "172.18.0.3 fd00:172:18::3"),
        ("node/m", "m", "172.18.0.2 fd00:172:18::2"),
        ("node/o", "o", "172.18.0.3 fd00:172:18::3"),
    ]


def test_an_address_that_a_pod_says_is_its_own_is_given_to_no_other() -> None:
    names = [
        (name, addresses)
        for name, _, addresses in placed(pods(pod("a"), pod("b", "m", "10.244.0.2")), families=(Family.IPV4,))
    ]
    assert names[:2] == [("n/a", "10.244.0.3"), ("n/b", "10.244.0.2")]


@pytest.mark.parametrize(
    ("snapshot", "nodes", "fragment"),
    [
        (pods(pod("a", "z")), ("m",), "node 'z', which is not one of m"),
        (pods(*(pod(str(number)) for number in range(251))), ("m",), "more than 250 pods"),
        (pods(), tuple(map(str, range(251))), "251 nodes"),
        (pods(pod("a", address="10.1.1.1"), pod("b", address="10.1.1.1")), ("m",), "n/b and n/a both have"),
    ],
)
def test_what_cannot_be_placed(snapshot: Snapshot, nodes: tuple[str, ...], fragment: str) -> None:
    with pytest.raises(UsageError, match=fragment):
        place(snapshot, nodes, (Family.IPV4,), node_endpoints=False)


def test_250_pods_fit_on_a_node() -> None:
    assert placed(pods(*(pod(str(number)) for number in range(250))), ("m",))[249][2].startswith("10.244.0.251 ")


def test_the_schema_takes_what_reads() -> None:
    jsonschema.validate(yaml.safe_load(HEAD + OBJECTS + TRUTH), SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        *(
            case[0]
            for case in WRONG
            if not case[0].startswith(("previous", "hosts: {h: [192", "hosts: {h: x}", "documents"))
        ),
        *(f"truth: {{ports: [TCP/80], otherwise: denied, rows: [{row}]}}\n" for row, *_ in WRONG_ROWS[:3]),
    ],
)
def test_the_schema_refuses_what_does_not_read(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(HEAD + OBJECTS + text), SCHEMA)
