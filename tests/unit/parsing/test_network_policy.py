"""NetworkPolicies: what the API server refuses or would drop is a problem with its line and path; nulls are what Go
makes of them.
"""

from ipaddress import ip_network

import pytest

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.model.policy import Direction, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from tests.unit.parsing.reading import POLICY, only_problem, policy, problems, read

INGRESS = "spec: {podSelector: {}, ingress: [%s]}"
PEER = INGRESS % "{from: [%s]}"
BLOCK = PEER % "{ipBlock: %s}"
PORT = INGRESS % "{ports: [%s]}"
SELECTOR = "spec: {podSelector: %s}"
EXPRESSION = SELECTOR % "{matchExpressions: [%s]}"
RULE_PATH, PEER_PATH, PORT_PATH = "spec.ingress[0]", "spec.ingress[0].from[0]", "spec.ingress[0].ports[0]"
BLOCK_PATH = f"{PEER_PATH}.ipBlock"
EXPRESSION_PATH = "spec.podSelector.matchExpressions[0]"

WRONG = [
    ("spec:", "", "needs a spec"),
    ("spec: []", "spec", "must be a mapping, not a list"),
    ("spec: {podSelector: []}", "spec.podSelector", "must be a mapping, not a list"),
    ("spec: {ingress: {}}", "spec.ingress", "must be a list, not a mapping"),
    ("spec: {podselector: {}}", "spec.podselector", "did you mean podSelector?"),
    ("spec: {podSelecto: {}}", "spec.podSelecto", "did you mean podSelector?"),
    ("spec: {zzz: 1}", "spec.zzz", "known here: egress, ingress, podSelector, policyTypes"),
    ("spec: {from: []}", "spec.from", "belongs in an item of ingress"),
    ("spec: {matchLabels: {}}", "spec.matchLabels", "belongs inside podSelector"),
    ("spec: {}\npodSelector: {}", "podSelector", "belongs inside spec"),
    ("spec: {}\nnamespace: x", "namespace", "belongs inside metadata"),
    ("spec: {}\nstatus: {conditions: []}", "status", "has no status"),
    ("spec: {policyTypes: [ingress]}", "spec.policyTypes[0]", "write Ingress"),
    ("spec: {policyTypes: Ingress}", "spec.policyTypes", "must be a list, not text"),
    ("spec: {policyTypes: [Ingress, Egress, Ingress]}", "spec.policyTypes", "more than two"),
    (SELECTOR % "{app: web}", "spec.podSelector.app", "labels belong inside matchLabels"),
    (SELECTOR % "{namespaceSelector: {}}", "spec.podSelector.namespaceSelector", "stands beside podSelector"),
    (SELECTOR % "{ingress: []}", "spec.podSelector.ingress", "in spec"),
    (SELECTOR % "{matchLabels: [a]}", "spec.podSelector.matchLabels", "must be a mapping"),
    (SELECTOR % "{matchLabels: {a: 1}}", "spec.podSelector.matchLabels.a", "quote it"),
    (SELECTOR % "{matchLabels: {a: on}}", "spec.podSelector.matchLabels.a", "not a boolean: quote it"),
    (SELECTOR % "{matchLabels: {a: }}", "spec.podSelector.matchLabels.a", "is null"),
    (SELECTOR % "{matchLabels: {a: -b}}", "spec.podSelector.matchLabels.a", "label value '-b'"),
    (SELECTOR % ("{matchLabels: {a: %s}}" % ("x" * 64)), "spec.podSelector.matchLabels.a", "at most 63"),
    (SELECTOR % "{matchLabels: {-a: b}}", "spec.podSelector.matchLabels[-a]", "label key '-a'"),
    (SELECTOR % "{matchLabels: {A.b/c: b}}", "spec.podSelector.matchLabels[A.b/c]", "prefix 'A.b'"),
    (SELECTOR % "{matchLabels: {/c: b}}", "spec.podSelector.matchLabels[/c]", "prefix ''"),
    (SELECTOR % "{matchLabels: {a/b/c: b}}", "spec.podSelector.matchLabels[a/b/c]", "prefix 'a/b'"),
    (EXPRESSION % "{operator: Exists}", EXPRESSION_PATH, "needs a key"),
    (EXPRESSION % "{key: a b, operator: Exists}", f"{EXPRESSION_PATH}.key", "label key"),
    (EXPRESSION % "{key: a}", f"{EXPRESSION_PATH}.operator", "In, NotIn, Exists, DoesNotExist"),
    (EXPRESSION % "{key: a, operator: in, values: [b]}", f"{EXPRESSION_PATH}.operator", "not 'in'"),
    (EXPRESSION % "{key: a, operator: In}", f"{EXPRESSION_PATH}.values", "In needs values"),
    (EXPRESSION % "{key: a, operator: NotIn, values: []}", f"{EXPRESSION_PATH}.values", "NotIn needs values"),
    (EXPRESSION % "{key: a, operator: Exists, values: [b]}", f"{EXPRESSION_PATH}.values", "takes no values"),
    (EXPRESSION % "{key: a, operator: DoesNotExist, values: [b]}", f"{EXPRESSION_PATH}.values", "takes no values"),
    (EXPRESSION % "{key: a, operator: In, values: [1]}", f"{EXPRESSION_PATH}.values[0]", "quote it"),
    (EXPRESSION % "{key: a, operator: In, values: [b c]}", f"{EXPRESSION_PATH}.values[0]", "label value"),
    (EXPRESSION % "{key: a, operator: Exists, value: b}", f"{EXPRESSION_PATH}.value", "did you mean values?"),
    (INGRESS % "{to: []}", f"{RULE_PATH}.to", "an item of ingress has from, not to"),
    ("spec: {egress: [{from: []}]}", "spec.egress[0].from", "an item of egress has to, not from"),
    (INGRESS % "{podSelector: {}}", f"{RULE_PATH}.podSelector", "belongs in an item of from"),
    (INGRESS % "{port: 80}", f"{RULE_PATH}.port", "belongs in an item of ports"),
    (INGRESS % "{cidr: 10.0.0.0/8}", f"{RULE_PATH}.cidr", "belongs inside the ipBlock"),
    (INGRESS % "[]", RULE_PATH, "must be a mapping, not a list"),
    (PEER % "{}", PEER_PATH, "empty peer"),
    (PEER % "null", PEER_PATH, "empty peer"),
    (PEER % "{podSelector: null}", PEER_PATH, "empty peer"),
    (PEER % "{matchLabels: {a: b}}", f"{PEER_PATH}.matchLabels", "belongs inside podSelector or namespaceSelector"),
    (PEER % "{podSelector: {}, ports: []}", f"{PEER_PATH}.ports", "beside from or to"),
    (PEER % "{cidr: 10.0.0.0/8}", f"{PEER_PATH}.cidr", "belongs inside ipBlock"),
    (PEER % "{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", f"{PEER_PATH}.ipBlock", "beside podSelector"),
    (BLOCK % "{}", BLOCK_PATH, "needs a cidr"),
    (BLOCK % "{cidr: }", BLOCK_PATH, "needs a cidr"),
    (BLOCK % "{cidr: 10}", f"{BLOCK_PATH}.cidr", "must be text, not a whole number"),
    (BLOCK % "{cidr: ''}", f"{BLOCK_PATH}.cidr", "a slash and a prefix length"),
    (BLOCK % "{cidr: 10.0.0.1}", f"{BLOCK_PATH}.cidr", "a slash and a prefix length"),
    (BLOCK % "{cidr: 10.0.0.0/33}", f"{BLOCK_PATH}.cidr", "33 is too long"),
    (BLOCK % "{cidr: 10.0.0.0/08}", f"{BLOCK_PATH}.cidr", "'08' is not a valid prefix length"),
    (BLOCK % "{cidr: 10.0.0.0/255.0.0.0}", f"{BLOCK_PATH}.cidr", "is not a valid prefix length"),
    (BLOCK % "{cidr: 010.0.0.0/8}", f"{BLOCK_PATH}.cidr", "without leading zeros"),
    (BLOCK % "{cidr: 10.0.0/8}", f"{BLOCK_PATH}.cidr", "'10.0.0' is not a valid address"),
    (BLOCK % "{cidr: ' 10.0.0.0/8'}", f"{BLOCK_PATH}.cidr", "is not a valid address"),
    (BLOCK % "{cidr: 'fe80::%eth0/64'}", f"{BLOCK_PATH}.cidr", "can't have a zone"),
    (BLOCK % "{cidr: '::ffff:10.0.0.0/104'}", f"{BLOCK_PATH}.cidr", "write an IPv4 address"),
    (BLOCK % "{cidr: 10.0.0.0/8, excepts: []}", f"{BLOCK_PATH}.excepts", "did you mean except?"),
    (BLOCK % "{cidr: 10.0.0.0/8, except: 10.1.0.0/16}", f"{BLOCK_PATH}.except", "must be a list"),
    (BLOCK % "{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}", f"{BLOCK_PATH}.except[0]", "smaller"),
    (BLOCK % "{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}", f"{BLOCK_PATH}.except[1]", "inside the cidr"),
    (BLOCK % "{cidr: 10.0.0.0/8, except: ['2001:db8::/32']}", f"{BLOCK_PATH}.except[0]", "inside the cidr"),
    (PORT % "{port: 0}", f"{PORT_PATH}.port", "outside 1-65535"),
    (PORT % "{port: 65536}", f"{PORT_PATH}.port", "outside 1-65535"),
    (PORT % "{port: 80.5}", f"{PORT_PATH}.port", "not 80.5"),
    (PORT % "{port: true}", f"{PORT_PATH}.port", "not a boolean"),
    (PORT % "{port: '80'}", f"{PORT_PATH}.port", "remove the quotes"),
    (PORT % "{port: HTTP}", f"{PORT_PATH}.port", "is not a valid port name"),
    (PORT % "{port: a--b}", f"{PORT_PATH}.port", "is not a valid port name"),
    (PORT % "{port: a234567890123456}", f"{PORT_PATH}.port", "at most 15"),
    (PORT % "{port: ''}", f"{PORT_PATH}.port", "is not a valid port name"),
    (PORT % "{protocol: tcp}", f"{PORT_PATH}.protocol", "must be TCP, UDP or SCTP, not 'tcp'"),
    (PORT % "{protocol: ''}", f"{PORT_PATH}.protocol", "must be TCP, UDP or SCTP"),
    (PORT % "{endPort: 80}", f"{PORT_PATH}.endPort", "needs a numeric port"),
    (PORT % "{port: http, endPort: 80}", f"{PORT_PATH}.endPort", "not a named one"),
    (PORT % "{port: 80, endPort: 79}", f"{PORT_PATH}.endPort", "below port 80"),
    (PORT % "{port: 80, endPort: 65536}", f"{PORT_PATH}.endPort", "outside"),
    (PORT % "{port: 80, endPort: '90'}", f"{PORT_PATH}.endPort", "remove the quotes"),
    (PORT % "{port: 80, endport: 90}", f"{PORT_PATH}.endport", "did you mean endPort?"),
    (PORT % "80", PORT_PATH, "must be a mapping, not a whole number"),
]


@pytest.mark.parametrize(("spec", "path", "fragment"), WRONG)
def test_what_the_api_server_refuses(spec: str, path: str, fragment: str) -> None:
    problem = only_problem(f"{POLICY}# a comment\n{spec}\n")
    # A problem with the document as a whole stands on its first line, one with a part on the part's.
    assert (problem.line, problem.path) == ((6 if spec.startswith("spec: {}\n") else 5) if path else 1, path)
    assert fragment in problem.message


@pytest.mark.parametrize(
    ("metadata", "path", "fragment"),
    [
        ("null", "metadata", "needs a metadata.name"),
        ("{}", "metadata", "needs a metadata.name"),
        ("{name: }", "metadata", "needs a metadata.name"),
        ("{name: 5}", "metadata.name", "quote it"),
        ("{name: a/b}", "metadata.name", "is not a valid name"),
        ("{name: A}", "metadata.name", "is not a valid name"),
        ("{name: a, namespace: b.c}", "metadata.namespace", "is not a valid namespace name"),
        ("{name: a, labels: {b: 1}}", "metadata.labels.b", "quote it"),
        ("{name: a, annotations: {b: 1}}", "metadata.annotations.b", "quote it"),
        ("{name: a, label: {}}", "metadata.label", "did you mean labels?"),
        ("{name: a, ingress: []}", "metadata.ingress", "belongs inside spec"),
    ],
)
def test_metadata_is_read_as_strictly(metadata: str, path: str, fragment: str) -> None:
    text = f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {metadata}\nspec: {{}}\n"
    found = [problem for problem in problems(text) if problem.path == path]
    assert [problem.line for problem in found] == [3]
    assert fragment in found[0].message


def test_every_field_of_object_metadata_is_known() -> None:
    fields = (
        "namespace: x, labels: {}, annotations: {a: b c}, uid: x, resourceVersion: '1', generation: 1, "
        "creationTimestamp: 2020-01-01T00:00:00Z, "
        "finalizers: [], managedFields: [], ownerReferences: [], selfLink: x, deletionTimestamp: null, "
        "deletionGracePeriodSeconds: 1"
    )
    text = (
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: a, {fields}}}\nspec: "
        f"{{}}\nstatus: {{}}\n"
    )
    (found,) = read(text).policies
    assert found.full_name == "x/a"


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1", "v1", "networking/v1"])
def test_another_version_of_it(version: str) -> None:
    problem = only_problem(f"kind: NetworkPolicy\napiVersion: {version}\nmetadata: {{name: a}}\nspec: {{}}\n")
    assert (problem.line, problem.path) == (2, "apiVersion")
    assert "write networking.k8s.io/v1" in problem.message


def test_the_same_kind_of_a_foreign_group_is_counted() -> None:
    snapshot = read("apiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nspec: {selector: all()}\n")
    assert snapshot.ignored == {"NetworkPolicy (crd.projectcalico.org/v1)": 1}


def test_all_problems_of_a_policy_come_at_once_in_the_order_of_lines() -> None:
    found = problems(
        f"{POLICY}spec:\n  podSelecto: {{}}\n  egress:\n  - to: [{{}}]\n    port: []\n  policyTypes: [x]\n"
    )
    assert [problem.line for problem in found] == [5, 7, 8, 9]


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ("{}", "Ingress"),
        ("{policyTypes: null}", "Ingress"),
        ("{policyTypes: []}", "Ingress"),
        ("{policyTypes: [], egress: null}", "Ingress"),
        ("{egress: []}", "Ingress"),
        ("{egress: [{}]}", "Ingress Egress"),
        ("{egress: [null]}", "Ingress Egress"),
        ("{policyTypes: [Egress]}", "Egress"),
        ("{policyTypes: [Egress], ingress: [{}]}", "Egress"),
        ("{policyTypes: [Ingress], egress: [{}]}", "Ingress"),
        ("{policyTypes: [Ingress, Ingress]}", "Ingress"),
    ],
)
def test_policy_types_and_their_defaults(spec: str, directions: str) -> None:
    assert policy(f"spec: {spec}").directions == {Direction(name) for name in directions.split()}


@pytest.mark.parametrize(
    "spec",
    ["{}", "{podSelector: null}", "{podSelector: {}}", "{podSelector: {matchLabels: null, matchExpressions: null}}"],
)
def test_a_missing_selector_selects_everything(spec: str) -> None:
    assert policy(f"spec: {spec}").pod_selector == LabelSelector()


@pytest.mark.parametrize("rule", ["null", "{}", "{from: null}", "{from: []}", "{ports: null, from: []}", "{ports: []}"])
def test_a_rule_of_nothing_allows_everything(rule: str) -> None:
    assert policy(INGRESS % rule).ingress == (Rule(),)


@pytest.mark.parametrize("section", ["ingress: null", "ingress: []", "egress: []"])
def test_an_empty_section_has_no_rules(section: str) -> None:
    assert policy(f"spec: {{{section}}}").ingress == ()


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("null", PolicyPort()),
        ("{}", PolicyPort()),
        ("{port: null, protocol: null, endPort: null}", PolicyPort()),
        ("{port: 80}", PolicyPort(Protocol.TCP, 80)),
        ("{port: 80, endPort: 80}", PolicyPort(Protocol.TCP, 80, 80)),
        ("{port: 1, endPort: 65535, protocol: UDP}", PolicyPort(Protocol.UDP, 1, 65535)),
        ("{port: 80, endPort: null, protocol: SCTP}", PolicyPort(Protocol.SCTP, 80)),
        ("{port: a-1}", PolicyPort(name="a-1")),
    ],
)
def test_ports(port: str, expected: PolicyPort) -> None:
    assert policy(PORT % port).ingress == (Rule((), (expected,)),)


def test_peers() -> None:
    spec = PEER % "{podSelector: {}, namespaceSelector: null}, {namespaceSelector: {matchLabels: {b: '', a: x}}}"
    assert policy(spec).ingress[0].peers == (Peer(LabelSelector()), Peer(None, LabelSelector((("a", "x"), ("b", "")))))


def test_expressions_keep_sorted_values() -> None:
    found = policy(
        EXPRESSION % "{key: k8s.io/a, operator: NotIn, values: [c, b, '']}, {key: d, operator: Exists, values: null}"
    ).pod_selector
    assert found.match_expressions == (
        Requirement("k8s.io/a", Operator.NOT_IN, ("", "b", "c")),
        Requirement("d", Operator.EXISTS),
    )


def test_host_bits_are_cut_off() -> None:
    block = policy(BLOCK % "{cidr: 10.1.2.3/8, except: [10.1.2.3/16]}").ingress[0].peers[0].ip_block
    assert block is not None
    assert (block.cidr, block.excepts) == (ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),))


def test_lines_are_those_of_the_file() -> None:
    found = policy(
        "spec:\n  ingress:\n  - from:\n    - podSelector: {}\n    - ipBlock:\n        cidr: 10.0.0.0/8\n    "
        "ports:\n    - port: 80\n"
    )
    (rule,) = found.ingress
    assert (found.line, rule.line, [peer.line for peer in rule.peers], rule.ports[0].line) == (1, 6, [7, 8], 11)
