"""Reading of what people meant (``audit.intent/v1``), as strictly as policies: what isn't understood is an error with
its line.

    schema: audit.intent/v1
    hosts: {backup: 192.168.5.10}
    rules:
    - {name: the API uses the database, from: prod/app=api, to: prod/app=db, ports: [TCP/3306], verdict: allowed}
    otherwise:
    - {name: nobody else reaches the database, to: prod/app=db}
    expect:
    - {from: prod/web, to: prod/db, ports: [TCP/3306], verdict: denied}

``expect`` are single connections for tests ('audit test'), and no part of what policies are held against.

Selections are read here too, so that a slip of the pen is reported with its line; what they match is a matter of the
cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import product

from auditor.model.addresses import IPAddress
from auditor.model.checks import Check, ExpectedCheck
from auditor.model.errors import InputError, Problem, UsageError
from auditor.model.intent import Intent, IntentRule
from auditor.model.policy import PolicyPort
from auditor.model.ports import FIRST_PORT, LAST_PORT, PortRequest, Protocol, split_protocol
from auditor.model.verdict import Verdict
from auditor.parsing.documents import Document, read_documents, refuse_other_kinds
from auditor.parsing.fields import Fields
from auditor.parsing.network_policy import is_port_name
from auditor.parsing.source import Source
from auditor.policy.selection import select

SCHEMA = "audit.intent/v1"
KNOWN = ("schema", "hosts", "rules", "otherwise", "expect")
RULE_FIELDS = ("name", "from", "to", "ports", "verdict")
CLOSING_FIELDS = ("name", "from", "to", "ports")
OTHERWISE = (
    "must be denied, unspecified, or a list of rules without verdict that say between whom nothing else is allowed"
)
PROTOCOLS = tuple(Protocol)


def read_intent(source: Source) -> Intent:
    """The intent in ``source``. Raises InputError with every problem."""
    documents, problems = read_documents(source)
    refuse_other_kinds(documents, SCHEMA, "intent")
    if len(documents) > 1:
        problems.append(documents[1].problem((), "an intent is one document: put all rules into the first"))
    elif not documents and not problems:
        problems.append(
            Problem(f"empty: an intent is a mapping with schema: {SCHEMA}, rules and otherwise", source.name)
        )
    intent = _read_document(documents[0], problems) if documents else None
    if problems or intent is None:
        raise InputError(sorted(problems, key=lambda problem: problem.line))
    return intent


def _read_document(document: Document, problems: list[Problem]) -> Intent | None:
    if not isinstance(document.value, dict):
        problems.append(document.problem((), f"must be a mapping with schema: {SCHEMA}, rules and otherwise"))
        return None
    fields = Fields(document, problems, (), document.value)
    fields.refuse_unknown(KNOWN)
    if fields.text("schema") != SCHEMA:
        fields.note(f"must be {SCHEMA}", "schema")
    hosts = _read_hosts(fields.section("hosts"))
    expects_alone = "expect" in document.value and not {"rules", "otherwise"} & document.value.keys()
    rules = [] if expects_alone else [*map(_read_rule, fields.maps("rules")), *_read_otherwise(fields)]
    first: dict[str, IntentRule] = {}
    twice = [rule for rule in rules if rule.name and first.setdefault(rule.name, rule) is not rule]
    problems += [
        Problem(f"the rule on line {first[rule.name].line} is called {rule.name!r}, too", document.source, rule.line)
        for rule in twice
    ]
    expect = tuple(check for item in fields.maps("expect") for check in _read_expected(item, hosts))
    if not (rules or expect):
        fields.note("an intent without a rule says nothing", "rules")
    return Intent(tuple(rules), hosts, document.source, expect)


def _read_otherwise(fields: Fields) -> list[IntentRule]:
    value = fields.value.get("otherwise")
    if isinstance(value, list):
        return [_read_closing(item) for item in fields.maps("otherwise")]
    if value == "denied":
        line = fields.document.lines(("otherwise",))
        return [IntentRule("otherwise denied", Verdict.DENIED, closing=True, file=fields.document.source, line=line)]
    if value != "unspecified":
        fields.note(OTHERWISE, "otherwise")
    return []


def _read_closing(fields: Fields) -> IntentRule:
    hint = "it has no verdict: nothing else is allowed between these ends"
    fields.refuse_unknown(CLOSING_FIELDS, {"verdict": hint})
    return _rule(fields, Verdict.DENIED, closing=True)


def _read_rule(fields: Fields) -> IntentRule:
    fields.refuse_unknown(RULE_FIELDS)
    text = fields.text("verdict")
    if text not in tuple(Verdict):
        fields.note("must be allowed or denied", "verdict")
    return _rule(fields, Verdict(text) if text in tuple(Verdict) else Verdict.DENIED, closing=False)


def _read_expected(fields: Fields, hosts: Mapping[str, tuple[IPAddress, ...]]) -> list[ExpectedCheck]:
    """A check for each of its sources, destinations and ports."""
    fields.refuse_unknown(RULE_FIELDS)
    verdict, ports = fields.text("verdict"), _read_single_ports(fields)
    if verdict not in tuple(Verdict):
        fields.note("must be allowed or denied", "verdict")
        return []
    sources, destinations = (_read_named(fields, key) for key in ("from", "to"))
    name, file = (fields.text("name") or "").strip(), fields.document.source
    return [
        ExpectedCheck(Check(source, destination, port, hosts), Verdict(verdict), name, file, fields.line)
        for source, destination, port in product(sources, destinations, ports)
    ]


def _read_named(fields: Fields, key: str) -> list[str]:
    value = fields.value.get(key)
    names = [value] if isinstance(value, str) else fields.texts(key)
    names = list(dict.fromkeys(name.strip() for name in names))
    if not names or "" in names:
        fields.note("name a pod, workload, Service, host or labels, or a list of them: NAMESPACE/NAME", key)
    return names


def _read_single_ports(fields: Fields) -> list[PortRequest]:
    ports: list[PortRequest] = []
    for number, item in enumerate(fields.items("ports")):
        try:
            port = parse_port(str(item))
            if port.name:
                ports.append(PortRequest(port.protocol, name=port.name))
            elif port.number is None or port.bounds[1] != port.number:
                fields.note(f"{item!r} is not a single port: a test tries each, such as TCP/5432", "ports", number)
            else:
                ports.append(PortRequest(port.protocol, port.number))
        except ValueError as error:
            fields.note(str(error), "ports", number)
    if not fields.items("ports"):
        fields.note("name at least one port, such as TCP/5432: a test tries each", "ports")
    return list(dict.fromkeys(ports))


def _rule(fields: Fields, verdict: Verdict, *, closing: bool) -> IntentRule:
    name = (fields.text("name") or "").strip()
    if not name:
        fields.note("a rule needs a name: one that people recognise in a finding", "name")
    ends = (_read_ends(fields, "from"), _read_ends(fields, "to"))
    return IntentRule(name, verdict, *ends, _read_ports(fields), closing, fields.document.source, fields.line)


def _read_ends(fields: Fields, key: str) -> tuple[str, ...]:
    """The selections at ``key``: one text or a list of them; none where the key is absent or ``*`` stands there."""
    value = fields.value.get(key)
    texts = [value] if isinstance(value, str) else fields.texts(key)
    if isinstance(value, list) and not value:
        fields.note("an empty list selects nothing: leave the field out for every endpoint", key)
    for text in texts:
        try:
            select((), text)
        except UsageError as error:
            fields.note(str(error), key)
    return () if "*" in texts else tuple(dict.fromkeys(text.strip() for text in texts))


def _read_ports(fields: Fields) -> tuple[PolicyPort, ...]:
    if fields.value.get("ports") == []:
        fields.note("an empty list gives no port: leave the field out for every port", "ports")
    ports = []
    for number, item in enumerate(fields.items("ports")):
        if not isinstance(item, str):
            fields.wrong_type(item, str, "ports", number)
            continue
        try:
            ports.append(parse_port(item))
        except ValueError as error:
            fields.note(str(error), "ports", number)
    return tuple(dict.fromkeys(ports))


def parse_port(text: str) -> PolicyPort:
    """Read ``TCP/80``, ``TCP/8000-8100``, ``TCP/http`` or, for every port of a protocol, ``UDP/*``.

    Raises ValueError, with a text for the user, when it is none of these.
    """
    protocol, port = split_protocol(text)
    if port == "*" and protocol is not None and protocol.upper() in PROTOCOLS:
        return PolicyPort(Protocol(protocol.upper()))
    first, dash, last = port.partition("-")
    if dash and port.isascii() and first.isdigit() and last.isdigit():
        start, end = PortRequest.parse(f"{protocol or 'TCP'}/{first}"), int(last)
        if not FIRST_PORT <= start.number <= end <= LAST_PORT:
            raise ValueError(f"the range {text!r} must go upwards and end at {LAST_PORT} at most")
        return PolicyPort(start.protocol, start.number, end)
    request = PortRequest.parse(text)
    if request.name and not is_port_name(request.name):
        raise ValueError(
            f"{request.name!r} in {text!r} is not a valid port name (at most 15 of a-z, 0-9 and '-', a letter "
            "among them)"
        )
    return (
        PolicyPort(request.protocol, name=request.name)
        if request.name
        else PolicyPort(request.protocol, request.number)
    )


def _read_hosts(fields: Fields) -> Mapping[str, tuple[IPAddress, ...]]:
    hosts: dict[str, tuple[IPAddress, ...]] = {}
    for name in fields.value:
        value = fields.value[name]
        addresses: list[IPAddress] = []
        for text in [value] if isinstance(value, str) else fields.texts(name):
            try:
                addresses.append(ip_address(text))
            except ValueError:
                fields.note(f"{text!r} is not a valid IPv4 or IPv6 address", name)
        if len({address.version for address in addresses}) < len(addresses):
            fields.note("a host has one address of each family", name)
        if "/" in name or value in (None, []):
            fields.note("write NAME: ADDRESS, with no / in the name; rules call it host/NAME", name)
        hosts[name] = tuple(addresses)
    return hosts
