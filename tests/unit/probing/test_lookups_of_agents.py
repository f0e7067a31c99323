"""Lookups by an agent, over loopback: which responses count, and what it says of resolv.conf."""

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from auditor.cluster.lab.name_server import response
from auditor.model.ports import Protocol
from auditor.probing.batches import BadAnswerError, Batch, Target
from auditor.probing.keys import RunKey
from probes import agent
from tests.unit.probing.processes import BATCH, PROBER, running_agent
from tests.unit.probing.test_agent import HERE, tcp_listener

NAME = "kubernetes.default.svc.cluster.local"
NAMES = {NAME: ["10.96.0.1", "fd00::1"]}


@pytest.fixture(scope="module")
def prober():
    with running_agent(identity=PROBER) as process:
        yield process


def look_up(prober, port, protocol="udp", timeout=0.4, datagrams=1, name=NAME):
    target = {"address": HERE, "protocol": protocol, "ports": [port], "identity": None, "lookup": name}
    prober.tell(do="probe", batch=BATCH, timeout=timeout, datagrams=datagrams, window=8, targets=[target])
    (result,), done = prober.results()
    return result, done


@contextmanager
def udp_server(answers):
    """A DNS server: ``answers`` gives what to send for each datagram, the count of those before it beside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HERE, 0))
        server.settimeout(0.1)
        ended, seen = threading.Event(), []

        def serve():
            while not ended.is_set():
                with suppress(TimeoutError):
                    asked, client = server.recvfrom(2000)
                    seen.append((asked, client))
                    for said in answers(asked, len(seen) - 1):
                        server.sendto(said, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            ended.set()
            thread.join(10)


def right(asked, _=0):
    return [response(asked, NAMES)]


def test_both_families_are_asked_for_from_one_socket_at_once_and_both_answers_are_waited_for(prober):
    with udp_server(right) as (port, seen):
        result, done = look_up(prober, port)
    assert result == ("allowed", "answered", "")
    assert (done["allowed"], done["attempts"]) == (1, 1)
    (first, client), (second, same) = seen
    assert client == same
    assert first[:2] != second[:2]
    assert first[2:12] == second[2:12] == struct.pack("!5H", 0x0100, 1, 0, 0, 0)
    assert [int.from_bytes(each[-4:-2], "big") for each in (first, second)] == [1, 28]


def addresses(prober, answers, protocol="udp"):
    """The addresses that the agent tells of an answer."""
    target = {"address": HERE, "protocol": protocol, "identity": None, "lookup": NAME}
    with udp_server(answers) as (port, _):
        prober.tell(do="probe", batch=BATCH, timeout=0.4, datagrams=1, window=8, targets=[{**target, "ports": [port]}])
        others = []
        while (message := prober.hear())["kind"] == "results":
            others += message["others"]
    ((*_, more),) = others
    return more.get("addresses")


def test_the_addresses_in_an_answer_are_told_as_far_as_they_can_be_read(prober):
    alias = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 30, 5) + b"\3far\0" + b"\3far\0"

    def by_an_alias(asked, _):
        said = response(asked, NAMES)
        end = len(asked)
        return [said[:6] + bytes([0, 2]) + said[8:end] + alias + said[end + 2 :]]

    def cut_off(asked, _):
        return [response(asked, NAMES)[:-1]]

    def never_ending(asked, _):
        said = response(asked, {NAME: []})
        return [said[:6] + b"\xff\xff" + said[8:] + b"\xc0\x0c" * 100]

    def many(asked, _):
        return [response(asked, {NAME: [f"10.0.0.{number}" for number in range(1, 30)]})]

    assert addresses(prober, right) == ["10.96.0.1", "fd00::1"]
    assert addresses(prober, by_an_alias) == ["10.96.0.1", "fd00::1"]
    assert addresses(prober, cut_off) is None
    assert addresses(prober, never_ending) is None
    assert addresses(prober, many) == [f"10.0.0.{number}" for number in range(1, 9)]


def test_of_two_questions_one_is_lost(prober):
    with udp_server(lambda asked, number: right(asked) if number == 0 else []) as (port, _):
        assert look_up(prober, port)[0] == ("allowed", "half-answered", "")


def test_what_has_another_id_or_question_or_is_a_question_is_no_answer(prober):
    def wrong(asked, _):
        said = response(asked, NAMES)
        return [
            bytes([said[0] ^ 1]) + said[1:],
            said[:12] + said[12:].replace(b"default", b"defaulu"),
            asked,
            said[:4] + b"\0\0" + said[6:],
            said[:4] + bytes(8),
            said[:20],
            b"",
            b"\0" * 12,
        ]

    with udp_server(wrong) as (port, _):
        assert look_up(prober, port)[0] == ("dropped", "timeout", "")
    with udp_server(lambda asked, number: [*wrong(asked, number), *right(asked)]) as (port, _):
        assert look_up(prober, port)[0] == ("allowed", "answered", "")


def test_what_comes_from_another_socket_is_no_answer(prober):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, udp_server(lambda *_: []) as (port, seen):
        prober.tell(
            do="probe", batch=BATCH, timeout=0.5, datagrams=1, window=8,
            targets=[{"address": HERE, "protocol": "udp", "ports": [port], "identity": None, "lookup": NAME}],
        )  # fmt: skip
        until = time.monotonic() + 5
        while len(seen) < 2 and time.monotonic() < until:
            time.sleep(0.001)
        for asked, client in seen:
            other.sendto(response(asked, NAMES), client)
        assert prober.results()[0] == [("dropped", "timeout", "")]


@pytest.mark.parametrize(("code", "word"), [(3, "NXDOMAIN"), (2, "SERVFAIL"), (5, "REFUSED"), (9, "RCODE 9")])
def test_a_server_that_has_no_answer_was_reached_all_the_same(prober, code, word):
    def failing(asked, _):
        said = response(asked, NAMES)
        return [said[:3] + bytes([said[3] & 0xF0 | code]) + said[4:]]

    with udp_server(failing) as (port, _):
        assert look_up(prober, port)[0] == ("allowed", "answered", word)


def without_the_question(asked, _=0):
    return [asked[:2] + b"\x80\x01" + bytes(8)]


def test_an_error_may_leave_the_question_out_over_udp(prober):
    with udp_server(without_the_question) as (port, _):
        assert look_up(prober, port)[0] == ("allowed", "answered", "FORMERR")


def test_an_error_may_leave_the_question_out_over_tcp(prober):
    def behave(connection):
        (said,) = without_the_question(connection.recv(2000)[2:])
        connection.send(struct.pack("!H", len(said)) + said)

    with tcp_listener(behave) as port:
        assert look_up(prober, port, "tcp")[0] == ("allowed", "answered", "FORMERR")


def test_letters_may_come_back_in_another_case(prober):
    with udp_server(lambda asked, _: [response(asked, NAMES).replace(b"default", b"DEFAULT")]) as (port, _):
        assert look_up(prober, port)[0] == ("allowed", "answered", "")


def test_nobody_listens(prober):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    assert look_up(prober, port)[0] == ("refused", "icmp-port-unreachable", "")


def test_over_tcp_an_answer_may_come_in_pieces_and_the_connection_is_not_reset(prober):
    ends = []

    def behave(connection):
        asked = connection.recv(2000)
        assert int.from_bytes(asked[:2], "big") == len(asked) - 2
        said = response(asked[2:], NAMES)
        for byte in struct.pack("!H", len(said)) + said:
            connection.send(bytes([byte]))
        ends.append(connection.recv(100))

    with tcp_listener(behave) as port:
        assert look_up(prober, port, "tcp", timeout=5.0)[0] == ("allowed", "answered", "")
    assert ends == [b""]


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (b"\0\x02hi", ("misdelivered", "foreign-answer", "'\\x00\\x02hi'")),
        (b"HTTP/1.1 400 Bad Request" + b"\r\n" * 20, None),
        (b"", ("error", "connected-no-token", "closed by the other end")),
        (b"\0", ("error", "connected-no-token", "closed by the other end")),
    ],
)
def test_over_tcp_something_else_answers(prober, said, result):
    def behave(connection):
        connection.recv(2000)
        connection.send(said)

    with tcp_listener(behave) as port:
        found, _ = look_up(prober, port, "tcp")
    assert found == result if result else found[0] != "allowed"


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a." * 127 + "b", "a b", "ä", 5, "-a"])
def test_what_is_no_name_is_refused(prober, name):
    target = {"address": HERE, "protocol": "udp", "ports": [53], "identity": None, "lookup": name}
    prober.tell(do="probe", batch=BATCH, timeout=1, datagrams=1, window=8, targets=[target])
    assert prober.hear() == {"kind": "error", "message": "'lookup' must be a domain name", "batch": BATCH}


def test_who_looks_a_name_up_has_no_mark(prober):
    target = {"address": HERE, "protocol": "udp", "ports": [53], "identity": "0" * 16, "lookup": NAME}
    prober.tell(do="probe", batch=BATCH, timeout=1, datagrams=1, window=8, targets=[target])
    assert "identity" in prober.hear()["message"]


def test_resolv_conf_is_read_as_a_c_library_does(monkeypatch, tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# nameserver 192.0.2.9\nsearch old\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver 1.1.1.1\n"
        "nameserver 8.8.8.8\nnameserver\noptions ndots:5\nsearch prod.svc.cluster.local svc.cluster.local\n"
    )
    real = open
    monkeypatch.setattr("builtins.open", lambda name, *args, **more: real(file, *args, **more))
    assert agent.resolvers() == {
        "kind": "resolvers",
        "servers": ["10.96.0.10", "fd00::a", "1.1.1.1"],
        "search": ["prod.svc.cluster.local", "svc.cluster.local"],
    }
    file.unlink()
    assert agent.resolvers() == {"kind": "resolvers", "servers": [], "search": []}


def batch(*targets):
    return Batch(targets, 1.0, 1, 8)


def test_lookups_stand_apart_from_other_targets_in_a_batch():
    plain = Target(HERE, Protocol.UDP, 53, None)
    command = batch(plain, plain._replace(lookup=NAME), plain._replace(lookup=NAME, port=54)).command(RunKey.draw([]))
    assert [(each.get("lookup"), each["ports"]) for each in command["targets"]] == [(None, [53]), (NAME, [53, 54])]


@pytest.mark.parametrize(
    "message",
    [
        {"allowed": [0, 5], "others": []},
        {"allowed": [], "others": [[0, "allowed", "token", "", {"microseconds": 5}]]},
        {"allowed": [], "others": [[0, "allowed", "answered", "", {}]]},
    ],
)
def test_a_lookup_is_answered_by_a_response_or_not_at_all(message):
    with pytest.raises(BadAnswerError):
        batch(Target(HERE, Protocol.UDP, 53, None, NAME)).take(message, RunKey.draw([]))
