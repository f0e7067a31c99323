"""What ``hold()`` says of the pitfalls that policies are known for, and which change it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.intent import check_intent
from auditor.model.errors import InputError
from auditor.model.intent import IntentKind
from auditor.model.policy import UnknownPolicy
from auditor.parsing.intent import read_intent
from auditor.parsing.scenario import read_scenario
from auditor.parsing.source import Source
from auditor.policy.evaluator import evaluate
from tests.oracle.clusters import (
    ALL,
    EVERYTHING,
    block,
    cluster,
    having,
    host,
    namespaces,
    node,
    pod,
    pods,
    policy,
    rule,
)
from tests.unit.intent.meaning import after_change_of

SCENARIOS = Path(__file__).parents[3] / "scenarios"
API, WEB, DB = (
    pod("prod/api", {"app": "api"}),
    pod("prod/web", {"app": "web"}),
    pod("prod/db", {"app": "db"}, ports=("sql=TCP/3306",)),
)
ONLY_API = """\
schema: audit.intent/v1
rules:
- {name: API, from: prod/app=api, to: prod/app=db, ports: [TCP/3306], verdict: allowed}
otherwise:
- {name: nobody else, to: prod/app=db}
"""


def held(snapshot, text):
    intent = read_intent(Source("intent.yaml", text.encode()))
    return check_intent(evaluate(intent.with_hosts(snapshot)), intent)


def test_the_extra_dash_is_told_with_its_peers_and_merged():
    path = SCENARIOS / "seed-extra-dash.yaml"
    snapshot = read_scenario(Source("seed-extra-dash.yaml", path.read_bytes()), ()).snapshot
    text = ONLY_API.replace("prod/app=api", "[prod/name=api-pod, host/backup]").replace("prod/app=db", "prod/role=db")
    (finding,) = held(snapshot, text)
    assert (finding.kind, finding.rule.place, finding.pairs) == (IntentKind.OPEN, "intent.yaml:5", 1)
    assert [(group.sources, group.destinations, [str(port) for port in group.ports]) for group in finding.groups] == [
        (("prod/web",), ("prod/db",), ["TCP/3306"])
    ]
    assert "namespaceSelector name=prod, TCP/3306" in finding.because[-1]
    lines = path.read_text(encoding="utf-8").splitlines()
    dash = next(number for number, line in enumerate(lines, 1) if "- namespaceSelector" in line)
    assert f"namespaceSelector name=prod (line {dash}) into one (one dash)" in finding.change.title
    assert finding.change.yaml.splitlines() == [
        "- from:",
        "  - namespaceSelector: {matchLabels: {name: prod}}",
        "    podSelector: {matchLabels: {name: api-pod}}",
        "  - ipBlock: {cidr: 192.168.5.10/32}",
        "  ports:",
        "  - {protocol: TCP, port: 3306}",
    ]


def test_no_policy_at_all_asks_for_one_that_allows_what_is_meant():
    (finding,) = held(cluster(API, WEB, DB), ONLY_API)
    (edit,) = finding.change.edits
    assert edit.before is None
    assert edit.after.ingress == (rule(pods({"app": "api"}), "TCP/3306"),)
    assert "ingress: no policy isolates prod/db" in finding.because[1]
    assert finding.pairs == 2
    assert held(after_change_of(finding.change, cluster(API, WEB, DB)), ONLY_API) == ()


def test_what_is_closed_gets_a_rule_in_the_policy_that_isolates():
    snapshot = cluster(API, WEB, DB, policies=[policy("prod/deny", ingress=[])])
    (finding,) = held(snapshot, ONLY_API)
    assert (finding.kind, finding.groups[0].sources) == (IntentKind.CLOSED, ("prod/api",))
    assert "prod/db is isolated by prod/deny" in finding.because[0]
    (edit,) = finding.change.edits
    assert edit.before is None, "a rule in prod/deny would let the API reach web as well, which the new policy doesn't"
    assert finding.change.unspecified == 0
    own = cluster(API, WEB, DB, policies=[policy("prod/db", {"app": "db"}, ingress=[])])
    (finding,) = held(own, ONLY_API)
    assert finding.change.edits[0].before == own.policies[0]
    assert finding.change.title == "add to ingress of prod/db"


def test_where_both_sides_deny_both_are_opened():
    snapshot = cluster(API, WEB, DB, policies=[policy("prod/deny", ingress=[], egress=[])])
    (finding,) = held(snapshot, ONLY_API)
    assert held(after_change_of(finding.change, snapshot), ONLY_API) == ()
    assert [line.split(":")[0] for line in finding.because if "isolated" in line] == ["egress", "ingress"]
    ingress, egress = (edit.after for edit in finding.change.edits)
    assert (ingress.pod_selector, ingress.ingress) == (having({"app": "db"}), (rule(pods({"app": "api"}), "TCP/3306"),))
    assert (egress.pod_selector, egress.egress) == (having({"app": "api"}), (rule(pods({"app": "db"}), "TCP/3306"),))
    assert [part.splitlines()[0] for part in finding.change.yaml.split("\n---\n")] == [
        "# add a policy for pods app=db of prod",
        "# add a policy for pods app=api of prod",
    ]


def test_a_rule_for_some_pods_is_put_into_the_policy_of_these_pods_and_not_into_a_default_deny():
    """A default deny is for pods that are yet to come, and they are not meant."""
    deny = policy("prod/deny", ingress=[])
    (finding,) = held(cluster(API, DB, policies=[deny]), ONLY_API)
    assert finding.change.edits[0].before is None
    (finding,) = held(cluster(API, DB, policies=[deny, policy("prod/own", {"app": "db"}, ingress=[])]), ONLY_API)
    assert finding.change.edits[0].before.name == "own"
    (finding,) = held(cluster(API, DB, policies=[deny]), ONLY_API.replace("to: prod/app=db, ports", "to: prod, ports"))
    assert finding.change.edits[0].before == deny


def test_a_rule_that_opens_more_ports_than_meant_is_narrowed_to_them():
    snapshot = cluster(API, WEB, DB, policies=[policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "api"}))])])
    (finding,) = held(snapshot, ONLY_API)
    assert [str(port) for port in finding.groups[0].ports] == [
        "TCP/1-3305",
        "TCP/3307-65535",
        "UDP/1-65535",
        "SCTP/1-65535",
    ]
    assert finding.change.edits[0].after.ingress == (rule(pods({"app": "api"}), "TCP/3306"),)


def test_an_allow_all_beside_others_goes():
    two = [
        policy("prod/db", {"app": "db"}, ingress=[rule(pods({"app": "api"}), "TCP/3306")]),
        policy("prod/all", ingress=[EVERYTHING]),
    ]
    snapshot = cluster(API, WEB, DB, policies=two)
    finding = held(snapshot, ONLY_API)[0]
    assert finding.change.edits[0].before == two[1]
    assert held(after_change_of(finding.change, snapshot), ONLY_API) == ()


def test_where_the_last_egress_rule_goes_policy_types_are_written_with_it():
    """In a file without policyTypes, egress would be open to everyone after it."""
    text = (
        "schema: audit.intent/v1\nrules:\n- {name: stay in, from: prod/app=web, to: dev, verdict: "
        "denied}\notherwise: unspecified\n"
    )
    web = policy("prod/web", {"app": "web"}, egress=[rule(namespaces({"team": "dev"}), "TCP/80")])
    snapshot = cluster(WEB, DB, pod("dev/api"), policies=[web], labels={"dev": {"team": "dev"}})
    (finding,) = held(snapshot, text)
    assert finding.change.title == "remove prod/web egress[0], so that no rule is left there"
    assert finding.change.yaml == "policyTypes: [Egress]\negress: []"


def test_policies_that_come_together_have_different_names():
    words = "what the frontend of the shop and all of its friends"
    text = f"""schema: audit.intent/v1
rules:
- {{name: {words} read, from: prod/app=api, to: prod/app=db, ports: [TCP/3306], verdict: allowed}}
- {{name: {words} write, from: prod/app=web, to: prod/app=cache, ports: [TCP/6379], verdict: allowed}}
otherwise:
- {{name: {words} keep out of, to: "prod/app in (db,cache)"}}
"""
    snapshot = cluster(API, WEB, DB, pod("prod/cache", {"app": "cache"}))
    (finding,) = held(snapshot, text)
    names = [edit.after.name for edit in finding.change.edits]
    assert len(set(names)) == len(names) == 3
    assert all(len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    ("policies", "unknown", "pairs"),
    [
        ([], "db", 0),
        ([], "api", 1),
        ([policy("prod/db", {"app": "db"}, ingress=[rule("TCP/3306")])], "db", 1),
        ([policy("prod/db", {"app": "db"}, ingress=[])], "db", 0),
    ],
)
def test_what_depends_on_a_policy_that_can_not_be_read_is_no_finding(policies, unknown, pairs):
    """It may isolate, and it may allow; what a known rule allows to an isolated pod, it can't take back."""
    odd = UnknownPolicy("prod", "odd", having({"app": unknown}), "can't be read")
    snapshot = replace(cluster(API, WEB, DB, policies=policies), unknown=(odd,))
    found = held(snapshot, ONLY_API)
    assert sum(finding.pairs for finding in found) == pairs
    assert {finding.groups[0].sources for finding in found} <= {("prod/web",)}


@pytest.mark.parametrize(
    ("labels", "selector"),
    [
        (
            {"app": "db", "pod-template-hash": "5cf", "helm.sh/chart": "db-1.2.3"},
            "{matchLabels: {app: db}}",
        ),
        ({"app": "db", "job-name": "x", "controller-uid": "1"}, "{matchLabels: {app: db}}"),
        ({"job-name": "backup", "controller-uid": "1"}, "{matchLabels: {job-name: backup}}"),
    ],
)
def test_no_label_that_the_next_release_changes_is_in_what_to_write(labels, selector):
    text = "schema: audit.intent/v1\nrules:\n- {name: closed, to: prod/db-0, verdict: denied}\notherwise: unspecified\n"
    (finding,) = held(cluster(API, pod("prod/db-0", labels)), text)
    assert f"podSelector: {selector}" in finding.change.yaml


def test_what_two_policies_open_is_closed_in_both():
    both = [
        policy(
            f"prod/{name}", {"app": "db"}, ingress=[rule(pods({"app": "web"})), rule(pods({"app": "api"}), "TCP/3306")]
        )
        for name in "ab"
    ]
    snapshot = cluster(API, WEB, DB, policies=both)
    (finding,) = held(snapshot, ONLY_API)
    assert [edit.before for edit in finding.change.edits] == both
    assert held(after_change_of(finding.change, snapshot), ONLY_API) == ()
    assert finding.change.yaml.splitlines()[:2] == ["# ingress of prod/a", "ingress:"]


def test_the_example_of_the_documentation_is_an_intent():
    text = (SCENARIOS.parent / "docs" / "intent.md").read_text(encoding="utf-8")
    intent = read_intent(Source("intent.md", text.split("```yaml\n")[1].split("```")[0].encode()))
    assert [rule.closing for rule in intent.rules] == [False, False, False, True, True]


def test_one_port_meant_closed_leaves_the_others_open():
    text = (
        "schema: audit.intent/v1\nrules:\n- {name: no SSH, to: prod/app=db, ports: [TCP/22], verdict: "
        "denied}\notherwise: unspecified\n"
    )
    (finding,) = held(cluster(API, WEB, DB), text)
    assert finding.change.edits[0].after.ingress == (rule("TCP/1-21", "TCP/23-65535", "UDP/*", "SCTP/*"),)
    assert finding.change.unspecified == 0


def test_named_ports_and_hosts_and_nodes():
    text = """\
schema: audit.intent/v1
hosts: {backup: 192.168.5.10}
rules:
- {name: backup, from: host/backup, to: prod/db, ports: [TCP/sql], verdict: allowed}
otherwise: denied
"""
    world = (DB, node("one", "10.0.0.1"))
    rules = [rule(block("192.168.5.10/32"), "TCP/sql")]
    assert held(cluster(*world, policies=[policy("prod/db", ingress=rules, egress=[])]), text) == ()
    wider = [rule(block("192.168.5.0/24"), "TCP/sql"), rule(block("10.0.0.0/8"), "TCP/sql")]
    (finding,) = held(cluster(*world, policies=[policy("prod/db", ingress=wider, egress=[])]), text)
    assert [(group.sources, group.destinations) for group in finding.groups] == [(("node/one",), ("prod/db",))]
    assert finding.change.title == "remove prod/db ingress[1]"


def test_the_host_of_an_intent_that_the_cluster_knows_is_not_doubled():
    text = ONLY_API.replace("rules:", "hosts: {backup: 192.168.5.10}\nrules:", 1)
    intent = read_intent(Source("intent.yaml", text.encode()))
    snapshot = cluster(API, DB, host("backup", "192.168.5.10"))
    assert intent.with_hosts(snapshot).endpoints == snapshot.endpoints


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("prod/app=api", "prod/app=apii", "from 'prod/app=apii' matches no endpoint"),
        (
            "prod/app=api",
            "prod/agent",
            "from 'prod/agent' matches only hostNetwork pods, for which no policy is defined",
        ),
        ("TCP/3306", "TCP/http", "no destination declares a TCP port named http"),
        ("prod/app=api", "prod/db", "no policy can decide about any pair of its endpoints"),
    ],
)
def test_a_rule_that_speaks_of_nothing_is_told(old, new, said):
    agent = pod("prod/agent", {"app": "agent"}, host_network=True)
    snapshot = cluster(API, DB, agent, policies=[policy("prod/db", {"app": "db"}, ingress=[])])
    found = held(snapshot, ONLY_API.replace(old, new, 1))
    assert [(each.kind, each.title) for each in found] == [(IntentKind.EMPTY, f"API (intent.yaml:3): {said}")]


def test_rules_that_contradict_each_other_are_refused_with_a_cell():
    text = ONLY_API.replace(
        "otherwise:", "- {name: never, to: prod/db, ports: [TCP/3000-4000], verdict: denied}\notherwise:"
    )
    with pytest.raises(InputError) as caught:
        held(cluster(API, WEB, DB), text)
    said = (
        "intent.yaml:4: 'never' contradicts 'API' on line 3: prod/api -> prod/db TCP/3306 is allowed there and "
        "denied here"
    )
    assert str(caught.value) == f"{said}; narrow one of them"


def test_where_no_change_helps_none_is_shown():
    """Pods without any label can't be told apart by a policy."""
    snapshot = cluster(pod("prod/one"), pod("prod/two"), pod("dev/one"))
    text = """\
schema: audit.intent/v1
rules:
- {name: one is shut, from: dev, to: prod/one, verdict: denied}
- {name: two is open, from: dev, to: prod/two, verdict: allowed}
otherwise: unspecified
"""
    (finding,) = held(snapshot, text)
    assert finding.change is None
    assert finding.tried > 0


def test_namespaces_by_their_names_become_selectors():
    snapshot = cluster(API, pod("dev/web", {"app": "web"}), policies=[policy("prod/shut", ingress=[])])
    text = (
        "schema: audit.intent/v1\nrules:\n- {name: dev, from: dev, to: prod, verdict: allowed}\notherwise: "
        "unspecified\n"
    )
    (finding,) = held(snapshot, text)
    (made,) = finding.change.edits[0].after.ingress
    assert made == rule(namespaces({"kubernetes.io/metadata.name": "dev"}))
    assert finding.change.edits[0].after.pod_selector == ALL


STAGING = """\
schema: audit.intent/v1
rules:
- {name: staging stays out of dev, from: staging, to: dev, verdict: denied}
otherwise: unspecified
"""


def staging(*, addresses=True):
    """Two namespaces without a policy, whose pods share a label that nobody names."""
    names = ("staging/web", "staging/job", "dev/api", "prod/web")
    return cluster(
        *(
            pod(name, {"team": "shop", "app": name[-3:]}, *([f"10.244.0.{number}"] if addresses else []))
            for number, name in enumerate(names, 2)
        )
    )


def test_a_change_selects_by_what_the_intent_names_and_keeps_everybody_else_and_the_outside():
    (finding,) = held(staging(), STAGING)
    (edit,) = finding.change.edits
    assert (edit.after.namespace, edit.after.pod_selector) == ("dev", ALL)
    assert finding.change.unspecified == 0
    assert finding.change.yaml.splitlines()[-4:] == [
        "  ingress:",
        "  - from:",
        (
            "    - namespaceSelector: {matchExpressions: "
            "[{key: kubernetes.io/metadata.name, operator: NotIn, values: [staging]}]}"
        ),
        "    - ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16]}",
    ]
    assert "with 10.244.0.0/16 taken for the addresses of pods" in finding.change.title
    outsider = host("anybody", "9.9.9.9")
    after = after_change_of(finding.change, cluster(*staging().endpoints, outsider))
    matrix = evaluate(after)
    assert all(matrix.verdict(name, "dev/api", "TCP", 80, 4) == "allowed" for name in ("prod/web", "host/anybody"))
    assert matrix.verdict("staging/web", "dev/api", "TCP", 80, 4) == "denied"


def test_where_the_outside_can_not_be_told_from_pods_no_outage_is_proposed_but_said_what_else_would_close():
    (finding,) = held(staging(addresses=False), STAGING)
    assert finding.change is None
    assert finding.closes.title.startswith("add a policy for every pod of dev")
    assert any(each.startswith("addresses outside the cluster") for each in finding.closes.examples)


def test_an_allow_all_for_more_pods_than_meant_keeps_the_others_open():
    snapshot = cluster(API, WEB, DB, policies=[policy("prod/all", ingress=[EVERYTHING], egress=[EVERYTHING])])
    (finding,) = held(snapshot, ONLY_API)
    after = after_change_of(finding.change, snapshot)
    assert held(after, ONLY_API) == ()
    matrix = evaluate(after)
    assert matrix.verdict("prod/db", "prod/web", "TCP", 80, 4) == "allowed"
    assert matrix.verdict("prod/api", "prod/web", "TCP", 80, 4) == "allowed"
