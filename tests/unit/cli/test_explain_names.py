"""What ``audit explain`` takes for an endpoint: a pod, a workload or labels, of pods that no policy tells apart."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: x}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: prod}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a, image: x}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: first, namespace: prod}
spec: {podSelector: {matchLabels: {apps.kubernetes.io/pod-index: "0"}}, policyTypes: [Ingress]}
"""


@pytest.fixture
def explain(tmp_path, capfd):
    path = tmp_path / "shop.yaml"
    path.write_text(MANIFESTS)

    def explain_from(source, destination):
        code = run(["explain", "-f", str(path), source, destination, "80"])
        return code, *capfd.readouterr()

    return explain_from


@pytest.mark.parametrize("source", ["prod/web", "deploy/web", "deploy/prod/web", "app=web", "prod/app=web"])
def test_one_of_several_pods_stands_for_all_that_no_policy_tells_apart(explain, source):
    code, told, aside = explain(source, "prod/db-0")
    assert code == 0
    assert told.startswith("DENIED  prod/web-0 -> prod/db-0 TCP/80")
    assert aside == f"{source}: prod/web-0 is one of 2 that no policy tells apart\n"


def test_pods_that_policies_tell_apart_are_named(explain):
    code, told, aside = explain("prod/web", "sts/db")
    assert (code, told) == (2, "")
    assert aside.endswith(
        "error: sts/db are 2 endpoints that policies tell apart: name one, such as prod/db-0 or prod/db-1\n"
    )


def test_a_workload_and_itself_are_two_of_its_pods(explain):
    code, told, _ = explain("deploy/web", "deploy/web")
    assert code == 0
    assert told.startswith("ALLOWED  prod/web-0 -> prod/web-1 TCP/80")


@pytest.mark.parametrize("name", ["prod", "deploy/none", "app=none", "*"])
def test_what_names_nobody_or_too_many_is_an_error(explain, name):
    code, told, aside = explain(name, "prod/db-0")
    assert (code, told) == (2, "")
    assert f"no endpoint is called {name!r}" in aside


def test_json_says_all_of_it_by_its_schema(explain, tmp_path, capfd):
    path = str(tmp_path / "shop.yaml")
    codes = []
    for name in ("prod/db-0", "prod/db-1", "prod/web-0"):
        codes.append(run(["explain", "-f", path, "prod/web-0", name, "80", "-o", "json", "--exit-code"]))
        document = json.loads(capfd.readouterr().out)
        validator("explanation.schema.json").validate(document)
        (one,) = document["connections"]
        assert (one["source"], one["destination"], one["port"]) == ("prod/web-0", name, 80)
        if name == "prod/db-0":
            assert one["verdict"] == "denied"
            assert (one["egress"]["allowed"], one["ingress"]["allowed"]) == (True, False)
            assert any("prod/first" in line for line in one["ingress"]["because"])
        else:
            assert one["verdict"] == "allowed"
        assert bool(one["exemption"]) == (name == "prod/web-0")
    assert codes == [1, 0, 0]


def test_without_the_option_a_denial_is_an_answer_like_any_other(explain):
    assert explain("prod/web-0", "prod/db-0")[0] == 0


def test_a_plain_name_is_of_the_namespace_default_and_else_it_is_said_where_that_name_is(explain, tmp_path, capfd):
    code, _, err = explain("web", "prod/db-0")
    assert code == 2
    assert "no endpoint is called 'web': did you mean prod/web-0" in err
    path = tmp_path / "plain.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n"
    )
    assert run(["explain", "-f", str(path), "a", "pod/b", "80"]) == 0
    assert capfd.readouterr().out.startswith("ALLOWED  default/a -> default/b")


OUTSIDE = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod, labels: {app: web}}
status: {phase: Running, podIP: 10.244.0.5}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: prod}
spec: {clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: prod}
spec:
  podSelector: {}
  ingress:
  - from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]
    ports: [{port: 80}]
"""


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside.yaml"
    path.write_text(OUTSIDE)
    return str(path)


@pytest.mark.parametrize(
    ("source", "verdict", "named"),
    [
        ("203.0.113.0", "ALLOWED", "203.0.113.0 ->"),
        ("203.0.113.127", "ALLOWED", "203.0.113.127 ->"),
        ("203.0.113.128", "DENIED", "203.0.113.128 ->"),
        ("203.0.112.255", "DENIED", "203.0.112.255 is outside"),
        ("203.0.113.64/26", "ALLOWED", "outside 203.0.113.0/24 except 203.0.113.128/25 ->"),
        ("outside 203.0.113.0/24 except 203.0.113.128/25", "ALLOWED", "outside 203.0.113.0/24 except"),
        ("outside (any other IPv4 address)", "DENIED", "outside (any other IPv4 address) is not in it"),
        ("10.244.0.5", "ALLOWED", "prod/web -> prod/web"),
    ],
)
def test_addresses_and_ranges_outside_are_explained(outside, capsys, source, verdict, named):
    assert run(["explain", "-f", outside, "-n", "prod", source, "prod/web", "80"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(verdict)
    assert named in said


def test_a_range_outside_as_the_destination(outside, capsys):
    assert run(["explain", "-f", outside, "prod/web", "0.0.0.0/8", "80"]) == 0
    assert "prod/web -> outside (any other IPv4 address) TCP/80" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("outside", "rules of the input split 'outside': name one address, or 'outside 203.0.113.0/24 except"),
        ("203.0.113.0/24", "rules of the input split '203.0.113.0/24'"),
        ("10.96.0.9", "10.96.0.9 is the ClusterIP of service/prod/web: write service/prod/web"),
        ("2001:db8::1", "2001:db8::1: no pod of the input has an address of this family"),
    ],
)
def test_what_is_several_peers_outside_or_none_says_so(outside, capsys, source, words):
    assert run(["explain", "-f", outside, source, "prod/web", "80"]) == 2
    assert words in capsys.readouterr().err
