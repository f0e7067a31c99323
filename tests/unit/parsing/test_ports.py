"""How people write ports: as we do, as kubectl and Docker do, and in lists."""

from __future__ import annotations

import pytest

from auditor.model.policy import PolicyPort
from auditor.model.ports import PortRequest, Protocol
from auditor.parsing.intent import parse_port

TCP, UDP = Protocol.TCP, Protocol.UDP


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("80", PortRequest(TCP, 80)),
        ("TCP/80", PortRequest(TCP, 80)),
        ("tcp/80", PortRequest(TCP, 80)),
        ("80/TCP", PortRequest(TCP, 80)),
        ("53/udp", PortRequest(UDP, 53)),
        ("udp:53", PortRequest(UDP, 53)),
        ("53:udp", PortRequest(UDP, 53)),
        ("http", PortRequest(TCP, name="http")),
        ("http/UDP", PortRequest(UDP, name="http")),
        ("UDP/tcp", PortRequest(UDP, name="tcp")),
        ("TCP/TCP", PortRequest(TCP, name="TCP")),
        ("tcp", PortRequest(TCP, name="tcp")),
    ],
)
def test_a_port_is_read_in_each_way_of_writing_it(text, port):
    assert PortRequest.parse(text) == port
    assert PortRequest.parse_list(text) == [port]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "80/",
        "/80",
        "80/90",
        "tcp:80:90",
        "tcp/udp/53",
        "icmp/8",
        "0",
        "65536/tcp",
        "80/icmp",
        "80-90/tcp",
        "9-3",
    ],
)
def test_what_is_no_port_is_refused(text):
    with pytest.raises(ValueError, match=r"port|protocol"):
        PortRequest.parse(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("UDP/53,9999", "UDP/53 UDP/9999"),
        ("80,UDP/53,9999,tcp:443,8443", "TCP/80 UDP/53 UDP/9999 TCP/443 TCP/8443"),
        ("53/udp,54", "UDP/53 UDP/54"),
        ("TCP/http, metrics", "TCP/http TCP/metrics"),
    ],
)
def test_a_protocol_holds_until_the_next_one(text, written):
    assert " ".join(map(str, PortRequest.parse_list(text))) == written


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("8000-8100/tcp", PolicyPort(TCP, 8000, 8100)),
        ("udp:*", PolicyPort(UDP)),
        ("*/UDP", PolicyPort(UDP)),
        ("443/TCP", PolicyPort(TCP, 443)),
    ],
)
def test_an_intent_reads_ports_in_the_same_ways(text, port):
    assert parse_port(text) == port
