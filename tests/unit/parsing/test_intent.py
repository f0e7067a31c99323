"""Reading of intents: what they say, and what is said of those that can't be read."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.errors import InputError
from auditor.model.policy import PolicyPort
from auditor.model.ports import Protocol
from auditor.model.verdict import Verdict
from auditor.parsing.intent import read_intent
from auditor.parsing.source import Source

WHOLE = """\
schema: audit.intent/v1
hosts: {backup: 192.168.5.10, both: [192.0.2.1, "2001:db8::1"]}
rules:
- name: the API uses the database
  from: prod/app=api
  to: [prod/app=db, prod/app=replica]
  ports: [TCP/3306, TCP/8000-8100, TCP/http, UDP/*, "53"]
  verdict: allowed
- {name: nothing for old things, from: "!app", verdict: denied}
otherwise:
- {name: nobody else reaches the database, to: prod/app=db}
"""


def read(text):
    return read_intent(Source("intent.yaml", text.encode()))


def problems(text):
    with pytest.raises(InputError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_intent():
    intent = read(WHOLE)
    first, second, closing = intent.rules
    assert (first.name, first.line, first.place) == ("the API uses the database", 4, "intent.yaml:4")
    assert (first.sources, first.destinations) == (("prod/app=api",), ("prod/app=db", "prod/app=replica"))
    assert first.ports == (
        PolicyPort(Protocol.TCP, 3306),
        PolicyPort(Protocol.TCP, 8000, 8100),
        PolicyPort(Protocol.TCP, name="http"),
        PolicyPort(Protocol.UDP),
        PolicyPort(Protocol.TCP, 53),
    )
    assert (second.verdict, second.destinations, second.closing) == (Verdict.DENIED, (), False)
    assert (closing.verdict, closing.closing, closing.line) == (Verdict.DENIED, True, 11)
    assert intent.hosts == {
        "backup": (ip_address("192.168.5.10"),),
        "both": (ip_address("192.0.2.1"), ip_address("2001:db8::1")),
    }


def test_otherwise_denied_closes_everything_and_unspecified_nothing():
    text = WHOLE[: WHOLE.index("otherwise:")]
    closing = read(text + "otherwise: denied\n").rules[-1]
    assert (closing.closing, closing.sources, closing.destinations, closing.ports, closing.line) == (
        True,
        (),
        (),
        (),
        10,
    )
    assert not any(rule.closing for rule in read(text + "otherwise: unspecified\n").rules)


def test_a_star_among_selections_is_everything():
    assert read(WHOLE.replace("from: prod/app=api", 'from: [prod, "*"]')).rules[0].sources == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("audit.intent/v1", "audit.intent/v2", "intent.yaml:1: schema: must be audit.intent/v1"),
        ("otherwise:", "otherwize:", "intent.yaml:10: otherwize: unknown field 'otherwize': did you mean otherwise?"),
        ("  verdict: allowed", "  verdict: allow", "intent.yaml:8: rules[0].verdict: must be allowed or denied"),
        (
            "  verdict: allowed",
            "  verdict: allowed\n  to: prod",
            "intent.yaml:9: rules[0].to: the key 'to' is given twice",
        ),
        (
            "to: prod/app=db}",
            "to: prod/app=db, verdict: denied}",
            "intent.yaml:11: otherwise[0].verdict: unknown field 'verdict': it has no",
        ),
        ("name: the API uses the database", "name: ''", "intent.yaml:4: rules[0].name: a rule needs a name"),
        (
            "name: nothing for old things",
            "name: the API uses the database",
            "intent.yaml:9: the rule on line 4 is called",
        ),
        ("from: prod/app=api", "from: app=a b", "intent.yaml:5: rules[0].from: 'app=a b' in the selection"),
        ("from: prod/app=api", "from: 3", "intent.yaml:5: rules[0].from: must be a list, not a whole number"),
        ("from: prod/app=api", "from: []", "intent.yaml:5: rules[0].from: an empty list selects nothing"),
        (
            "TCP/8000-8100",
            "TCP/8100-8000",
            "intent.yaml:7: rules[0].ports[1]: the range 'TCP/8100-8000' must go upwards",
        ),
        ("TCP/3306", "TCP/0", "intent.yaml:7: rules[0].ports[0]: port 0 in 'TCP/0' is outside 1-65535"),
        ("TCP/3306", "TCP/-5", "intent.yaml:7: rules[0].ports[0]: '-5' in 'TCP/-5' is not a valid port name"),
        ("TCP/3306", "TCP/HTTP", "intent.yaml:7: rules[0].ports[0]: 'HTTP' in 'TCP/HTTP' is not a valid port name"),
        ("TCP/3306", "TCP/1-²", "intent.yaml:7: rules[0].ports[0]: 'TCP/1-²' is not a valid port"),
        (
            "TCP/3306, TCP/8000-8100",
            "80, TCP/90-80",
            "intent.yaml:7: rules[0].ports[1]: the range 'TCP/90-80' must go upwards",
        ),
        ("TCP/3306", "HTTP/80", "intent.yaml:7: rules[0].ports[0]: unknown protocol 'HTTP'"),
        ("192.168.5.10", "192.168.5", "intent.yaml:2: hosts.backup: '192.168.5' is not a valid IPv4 or IPv6 address"),
        ('"2001:db8::1"', "192.0.2.2", "intent.yaml:2: hosts.both: a host has one address of each family"),
        ("hosts: {backup: 192.168.5.10", "hosts: {a/b: 192.168.5.10", "intent.yaml:2: hosts[a/b]: write NAME: ADDRESS"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old, new, said):
    assert old in WHOLE
    assert any(text.startswith(said) for text in problems(WHOLE.replace(old, new, 1))), problems(
        WHOLE.replace(old, new, 1)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "intent.yaml: empty: an intent is a mapping"),
        ("- a\n", "intent.yaml:1: must be a mapping"),
        (
            "schema: audit.intent/v1\nrules: []\notherwise: unspecified\n",
            "intent.yaml:2: rules: an intent without a rule says nothing",
        ),
        ("schema: audit.intent/v1\nrules: []\n", "intent.yaml:1: otherwise: must be denied, unspecified, or a list"),
        (WHOLE + "---\n" + WHOLE, "intent.yaml:13: an intent is one document"),
    ],
)
def test_what_is_no_intent(text, said):
    assert any(each.startswith(said) for each in problems(text)), problems(text)
