"""``audit expect -A`` and ``audit explain -A`` where a policy in force can't be read: what it may decide is
no verdict.
"""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator
from tests.unit.kubernetes.objects import policy

POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
ODD = policy("prod", "odd", {"podSelector": {"matchLabels": {"app": "db"}}, "ingres": []})


@pytest.fixture
def cluster(api, tmp_path):
    """Arguments that reach a cluster with a policy for prod/db that has a field nobody knows."""
    api.objects[POLICIES].append(ODD)
    return ["-A", "--kubeconfig", api.kubeconfig(tmp_path)]


def rows(text):
    return {
        line.split()[1]: line.split()[2:] for line in text.splitlines() if line[:1].isdigit() and "/" in line.split()[1]
    }


@pytest.mark.parametrize("expand", [[], ["--expand"]])
def test_the_table_marks_what_is_in_doubt(cluster, expand, capsys):
    assert (
        run(
            [
                "expect",
                *cluster,
                *expand,
                "--from",
                "prod/api",
                "--from",
                "prod/db",
                "--to",
                "prod/api",
                "--to",
                "prod/db",
            ]
        )
        == 3
    )
    text = capsys.readouterr().out
    assert rows(text) == {"prod/api": ["●", "?"], "prod/db": ["?", "●"]}
    assert "prod/api, prod/db → itself  every port\n" in text
    said = " ".join(text.split())
    assert "In doubt: policy prod/odd" in said
    assert "Whatever is neither allowed here nor in doubt is denied" in said


@pytest.mark.parametrize("expand", [[], ["--expand"]])
def test_the_json_marks_what_is_in_doubt(cluster, expand, capsys):
    assert run(["expect", *cluster, *expand, "-o", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    validator("expected.schema.json").validate(found)
    assert found["unknown_policies"] == ["prod/odd"]
    number = {endpoint["name"]: endpoint["name"] if expand else endpoint["class"] for endpoint in found["endpoints"]}
    doubted = {(cell["source"], cell["destination"]) for cell in found["cells"] if cell.get("doubt")}
    sure = {(cell["source"], cell["destination"]) for cell in found["cells"] if not cell.get("doubt")}
    db, api, dev, node = (number[name] for name in ("prod/db", "prod/api", "dev/api", "node/node-1"))
    assert {(db, api), (api, db), (dev, db)} <= doubted
    assert {(db, db), (api, api), (dev, api), (node, db), (db, node)} <= sure
    assert not doubted & sure


def test_explain_says_that_it_is_in_doubt(cluster, capsys):
    assert run(["explain", *cluster, "prod/api", "prod/db", "9999"]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("IN DOUBT prod/api -> prod/db TCP/9999 IPv4 policy prod/odd")
    assert "denied by what can be read" in said


def test_explain_is_sure_where_it_makes_no_difference(cluster, capsys):
    assert run(["explain", *cluster, "prod/api", "prod/db", "3306"]) == 0
    assert capsys.readouterr().out.startswith("ALLOWED  prod/api -> prod/db")
