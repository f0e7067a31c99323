"""explain for pods that are not in the input, under the names that expect gives them."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: metrics, containerPort: 9090}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: open, namespace: lab}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: prod}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: obs}}, podSelector: {matchLabels: {app: prometheus}}}]
    ports: [{port: metrics}]
  - from: [{namespaceSelector: {matchLabels: {team: obs}}, podSelector: {matchLabels: {tier: x}}}]
    ports: [{port: 7000}]
  egress:
  - to: [{podSelector: {matchLabels: {app: db}}}]
    ports: [{port: 5432}]
"""
NAMESPACES = """
---
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: v1
kind: Namespace
metadata: {name: obs, labels: {team: obs}}
"""
PROMETHEUS = "[pods app=prometheus in namespaces team=obs]"
DB = "[pods app=db in namespace prod]"


@pytest.fixture
def explained(tmp_path, capsys):
    def explained(*ends, more=""):
        path = tmp_path / "shop.yaml"
        path.write_text(SHOP + NAMESPACES + more)
        code = run(["explain", "-f", str(path), *ends, "-o", "json"])
        output = capsys.readouterr()
        return code, json.loads(output.out)["connections"] if output.out else output.err

    return explained


@pytest.mark.parametrize(
    ("ends", "verdict", "words"),
    [
        ((PROMETHEUS, "prod/web", "9090"), "allowed", "prod/web ingress[0]"),
        ((PROMETHEUS, "prod/web", "metrics"), "allowed", "prod/web ingress[0]"),
        ((PROMETHEUS, "prod/web", "80"), "denied", "is isolated by prod/web"),
        ((PROMETHEUS, "lab/open", "80"), "allowed", "no policy isolates lab/open"),
        (("prod/web", DB, "5432"), "allowed", "prod/web egress[0]"),
        (("prod/web", DB, "UDP/5432"), "denied", "no rule allows it"),
    ],
)
def test_what_the_rules_open_to_pods_that_are_not_there(explained, ends, verdict, words):
    code, (connection,) = explained(*ends)
    assert (code, connection["verdict"], connection["in_doubt"]) == (0, verdict, False)
    side = "egress" if ends[0] == "prod/web" else "ingress"
    assert words in " ".join(connection[side]["because"])


def test_what_may_fit_such_a_pod_is_in_doubt(explained):
    code, (connection,) = explained(PROMETHEUS, "prod/web", "7000")
    assert (code, connection["in_doubt"]) == (3, True)


DENY = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: %s}
spec: {podSelector: {%s}, policyTypes: [%s]}
"""


@pytest.mark.parametrize(
    ("more", "ends", "doubt"),
    [
        (("prod", "", "Ingress"), ("prod/web", DB, "5432"), True),
        (("prod", "", "Egress"), ("prod/web", DB, "5432"), False),
        (("prod", "matchLabels: {app: other}", "Ingress"), ("prod/web", DB, "5432"), False),
        (("prod", "matchLabels: {tier: x}", "Ingress"), ("prod/web", DB, "5432"), True),
        (("obs", "", "Egress"), (PROMETHEUS, "prod/web", "9090"), True),
        (("lab", "", "Egress"), (PROMETHEUS, "prod/web", "9090"), True),
        (("prod", "", "Egress"), (PROMETHEUS, "prod/web", "9090"), False),
    ],
)
def test_a_known_policy_that_may_isolate_such_a_pod_makes_it_doubtful(explained, more, ends, doubt):
    code, (connection,) = explained(*ends, more=DENY % more)
    assert connection["verdict"] == "allowed"
    assert (code, connection["in_doubt"]) == ((3, True) if doubt else (0, False))
    assert ("prod/deny" in connection["doubt"] or "/deny" in connection["doubt"]) is doubt


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (("[pods app=x in any namespace]", "prod/web", "80"), "no rule opens anything to [pods app=x in any"),
        ((PROMETHEUS, DB, "80"), "one of the two has to be in the input"),
        (("prod/web", DB, "http"), "give its number"),
        ((PROMETHEUS, "prod/web", "http"), "give its number"),
    ],
)
def test_what_can_not_be_asked(explained, ends, words):
    code, said = explained(*ends)
    assert code == 2
    assert words in said


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: prod}
spec: {selector: {app: web}, type: NodePort, ports: [{port: 80, targetPort: %s, nodePort: 30080}]}
"""


@pytest.mark.parametrize(
    ("target", "port", "verdict", "code"),
    [("metrics", "80", "allowed", 0), ("7001", "80", "denied", 0), ("7000", "80", "denied", 3)],
)
def test_pods_that_are_not_there_reach_a_service_by_its_backends(explained, target, port, verdict, code):
    got, (one,) = explained(PROMETHEUS, "service/prod/web", port, more=SERVICE % target)
    assert (got, one["verdict"]) == (code, verdict)
    assert one["destination"] == "prod/web"
    assert explained(PROMETHEUS, "prod/web", {"metrics": "9090"}.get(target, target))[1][0]["verdict"] == verdict


def test_by_a_node_port_policies_may_see_the_node(explained):
    code, (one,) = explained(PROMETHEUS, "service/prod/web", "30080", more=SERVICE % "metrics")
    assert code == 3
    assert "the way leads through a node, whose address policies may see as the source" in json.dumps(one)


def test_a_service_that_leads_nowhere_says_why(explained):
    code, err = explained(PROMETHEUS, "service/prod/web", "81", more=SERVICE % "metrics")
    assert code == 2
    assert "sends TCP/81 nowhere: it has TCP/80" in err
    assert "there is no Service 'prod/none'" in explained(PROMETHEUS, "service/prod/none", "80")[1]


def expected(tmp_path, capsys, *options):
    """The cells of pods that are not there, by the other end's name, the port and the way it goes."""
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP + NAMESPACES)
    assert run(["expect", "-f", str(path), "-o", "json", *options]) == 0
    made = json.loads(capsys.readouterr().out)
    validator("expected.schema.json").validate(made)
    return made


def test_expect_has_a_row_and_a_column_for_pods_that_are_not_there(tmp_path, capsys, explained):
    made = expected(tmp_path, capsys)
    (number,) = {each["class"] for each in made["endpoints"] if each["name"] == "prod/web"}
    (opened,) = [
        each
        for each in made["exposure_cells"]
        if (each["source"], each["destination"], each["verdict"]) == (PROMETHEUS, number, "allowed")
    ]
    assert (opened["protocol"], opened["port"], opened["end_port"], opened["in_doubt"]) == ("TCP", 9090, 9090, False)
    for each in made["exposure_cells"]:
        pod = {number: "prod/web"}.get(each["source"], {number: "prod/web"}.get(each["destination"], "lab/open"))
        ends = [end if isinstance(end, str) else pod for end in (each["source"], each["destination"])]
        code, (one,) = explained(*ends, f"{each['protocol']}/{each['port']}")
        assert (one["verdict"], code == 3) == (each["verdict"], each["in_doubt"]), each


def test_the_ports_that_are_asked_for_are_those_of_pods_that_are_not_there_too(tmp_path, capsys):
    cells = expected(tmp_path, capsys, "--ports", "9090,UDP/53", "--to", "prod/web")["exposure_cells"]
    assert {(each["protocol"], each["port"], each["end_port"]) for each in cells if each["source"] == PROMETHEUS} == {
        ("TCP", 9090, 9090),
        ("UDP", 53, 53),
    }
