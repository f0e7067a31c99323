"""``audit intent`` from its arguments to its output."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator
from tests.unit.cli.test_lint import DASH, OF_ADMINISTRATORS

INTENT = """\
schema: audit.intent/v1
rules:
- {name: the API may, from: prod/app=api, verdict: allowed}
otherwise:
- {name: nothing else, to: prod}
"""


@pytest.fixture
def files(tmp_path):
    policies, intent = tmp_path / "policies.yaml", tmp_path / "intent.yaml"
    policies.write_text(DASH)
    intent.write_text(INTENT)
    return ["-f", str(policies), "--intent", str(intent)]


def test_the_table_names_rule_cells_cause_and_change(files, capsys):
    assert run(["intent", *files]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"open nothing else ({files[3]}:5): meant denied, but allowed, for 1 pair of endpoints" in shown
    assert "prod/web -> prod/api on every port" in shown
    assert f"ingress: prod/db ingress[0] ({files[1]}:20): namespaceSelector name=prod, every port" in shown
    assert "change, evaluated:" in shown
    assert "- namespaceSelector: {matchLabels: {name: prod}} podSelector: {matchLabels: {app: api}}" in shown
    assert shown.startswith("FAIL 1 finding: 2 rules of")


def test_json_follows_its_schema(files, capsys):
    assert run(["intent", *files, "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    validator("intent-report.schema.json").validate(document)
    (finding,) = document["findings"]
    assert (document["conclusion"], finding["kind"], finding["rule"]["line"], finding["pairs"]) == (
        "fail",
        "open",
        5,
        1,
    )
    assert finding["change"]["policies"] == ["prod/db"]
    assert finding["cells"][0]["sources"] == ["prod/web"]


def test_policies_that_are_what_was_meant_pass(files, tmp_path, capsys):
    merged = DASH.replace(
        "    - podSelector: {matchLabels: {app: api}}\n    - namespaceSelector",
        "    - podSelector: {matchLabels: {app: api}}\n      namespaceSelector",
    )
    (tmp_path / "policies.yaml").write_text(merged)
    assert run(["intent", *files]) == 0
    assert "PASS the policies are what was meant: 2 rules of" in " ".join(capsys.readouterr().out.split())


def test_a_host_that_an_intent_names_needs_no_host_option(files, tmp_path, capsys):
    (tmp_path / "intent.yaml").write_text(
        INTENT.replace(
            "rules:",
            "hosts: {backup: 192.0.2.1}\nrules:\n- {name: b, from: host/backup, to: prod/api, verdict: denied}",
        )
    )
    assert run(["intent", *files]) == 1
    assert "host/backup" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arguments: arguments[:2], "Missing option '--intent'"),
        (lambda arguments: arguments[2:], "give -f PATH to read files, or -n NAMESPACE or -A"),
        (lambda arguments: [*arguments[:3], "nowhere.yaml"], "nowhere.yaml"),
        (lambda arguments: [*arguments[:3], arguments[1]], "policies.yaml"),
    ],
)
def test_wrong_usage_says_what_to_do(files, change, said, capsys):
    assert run(["intent", *change(files)]) == 2
    assert said in capsys.readouterr().err


def test_rules_that_contradict_are_wrong_input(files, tmp_path, capsys):
    (tmp_path / "intent.yaml").write_text(
        INTENT.replace("otherwise:", "- {name: never, to: prod/web, verdict: denied}\notherwise:")
    )
    assert run(["intent", *files]) == 2
    assert (
        "intent.yaml:4: 'never' contradicts 'the API may' on line 3: prod/api -> prod/web TCP/1-65535"
        in capsys.readouterr().err
    )


WORLD = """\
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  egress: [{to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: 22}]}]
"""
LEAVING = """\
schema: audit.intent/v1
hosts: {vault: 192.0.2.10}
rules:
- {name: dumps, from: prod, to: host/vault, ports: [TCP/22], verdict: allowed}
otherwise:
- {name: nothing else leaves, from: prod}
"""


@pytest.mark.parametrize(
    ("world", "intent", "told"),
    [
        (WORLD, LEAVING, []),
        (WORLD.replace("/32", "/31"), LEAVING, [("nothing else leaves", ["outside 192.0.2.10/31"])]),
        (
            WORLD.replace("/32", "/24"),
            LEAVING,
            [("nothing else leaves", ["outside 192.0.2.0/24"])],
        ),
        (WORLD.replace(", Egress", ""), LEAVING, [("nothing else leaves", ["outside (any address)"])]),
        (WORLD.replace(", Egress", ""), LEAVING.replace("from: prod}", "from: prod, to: host/vault}"), []),
        (
            WORLD.replace(", Egress", ""),
            LEAVING.replace("- {name: nothing else leaves, from: prod}", "unspecified"),
            [],
        ),
        # A host of the intent, of which no rule speaks, that policies don't tell from the rest outside.
        (
            WORLD.replace(", Egress", ""),
            LEAVING.replace("hosts: {", "hosts: {other: 198.51.100.7, "),
            [("nothing else leaves", ["outside (any address)"])],
        ),
    ],
)
def test_addresses_outside_that_no_rule_is_held_against_are_told(tmp_path, capsys, world, intent, told):
    """'Nothing else leaves' is about the endpoints of the input and the hosts: the Internet, open beside, is said."""
    (tmp_path / "world.yaml").write_text(world)
    (tmp_path / "intent.yaml").write_text(intent.replace("otherwise:\nunspecified", "otherwise: unspecified"))
    command = ["intent", "-f", str(tmp_path / "world.yaml"), "--intent", str(tmp_path / "intent.yaml")]
    assert run([*command, "-o", "json", "-o", f"table={tmp_path}/table", "-o", f"markdown={tmp_path}/markdown"]) in (
        0,
        1,
    )
    document = json.loads(capsys.readouterr().out)
    validator("intent-report.schema.json").validate(document)
    found = document.get("not_checked", [])
    assert [(each["rule"]["name"], [end["destination"] for end in each["examples"]]) for each in found] == told
    for name in ("table", "markdown"):
        assert ("not checked: addresses outside" in (tmp_path / name).read_text()) is bool(told)


def test_a_port_that_only_an_administrator_s_rule_names_is_told_apart(tmp_path, capsys):
    denied = (
        "  ingress:\n  - {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 7}}}]}\n"
    )
    policies, intent = tmp_path / "policies.yaml", tmp_path / "intent.yaml"
    policies.write_text(f"{DASH}---\n{OF_ADMINISTRATORS.split('  ingress:')[0]}{denied}")
    intent.write_text("""\
schema: audit.intent/v1
otherwise: unspecified
rules:
- {name: in, from: prod/app=web, to: prod/app=api, verdict: allowed}
""")
    assert run(["intent", "-f", str(policies), "--intent", str(intent)]) == 1
    assert "on TCP/7 " in capsys.readouterr().out.replace("\n", " ")


def test_where_no_change_of_administrators_does_that_is_said(tmp_path, capsys):
    """The pods that reach each other have the same labels as those that must not."""
    twin = DASH.split("---\n")[2].replace("name: web", "name: twin")
    guard = OF_ADMINISTRATORS.replace("matchLabels: {team: spies}", "")
    policies, intent = tmp_path / "policies.yaml", tmp_path / "intent.yaml"
    policies.write_text(f"{DASH}---\n{twin}---\n{guard}")
    intent.write_text("""\
schema: audit.intent/v1
otherwise: unspecified
rules:
- {name: in, from: prod/web, to: prod/app=api, verdict: allowed}
- {name: out, from: prod/twin, to: prod/app=api, verdict: denied}
""")
    assert run(["intent", "-f", str(policies), "--intent", str(intent)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "change: none in a NetworkPolicy: ClusterNetworkPolicy guard spec.ingress[0] denies it before these" in shown
    assert "changes of its tier mends it without harm" in shown


def test_what_only_administrators_can_open_is_said_to_be_so(tmp_path, capsys):
    guard = (
        OF_ADMINISTRATORS.split("  ingress:")[0]
        + """\
  ingress:
  - {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
  - {action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 443}}}]}
"""
    )
    policies, intent = tmp_path / "policies.yaml", tmp_path / "intent.yaml"
    policies.write_text(f"{DASH}---\n{guard}")
    intent.write_text("""\
schema: audit.intent/v1
otherwise: unspecified
rules:
- {name: in, from: prod/app=web, to: prod/app=api, ports: [TCP/80], verdict: allowed}
- {name: out, from: prod/app=web, to: prod/app=api, ports: [TCP/443], verdict: denied}
""")
    assert run(["intent", "-f", str(policies), "--intent", str(intent)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "change, evaluated: before ClusterNetworkPolicy guard ingress[0]" in shown
    assert "a rule that leaves it to NetworkPolicies - name: in action: Pass from:" in shown
    assert "add a ClusterNetworkPolicy that denies it before ClusterNetworkPolicy guard" in shown
    assert "2 rules of" in shown
    assert "against 2 policies" in shown
    assert run(["intent", "-f", str(policies), "--intent", str(intent), "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    validator("intent-report.schema.json").validate(document)
    assert {finding["kind"]: finding["decided_before"] for finding in document["findings"]} == {
        "closed": ["ClusterNetworkPolicy guard spec.ingress[0]"],
        "open": ["ClusterNetworkPolicy guard spec.ingress[1]"],
    }
