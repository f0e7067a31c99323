"""The agent's wire format and verdicts, one process against sockets of the test or against another agent, over
loopback.
"""

import ast
import errno
import fcntl
import hashlib
import hmac
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from probes import agent
from tests.unit.probing.processes import AGENT, BATCH, KEY, PROBER, SERVER, AgentProcess, free_ports, running_agent

HERE = "127.0.0.1"
OTHER = "0ddba11500000000"


@pytest.fixture(scope="module")
def ports():
    return free_ports(2)


@pytest.fixture(scope="module")
def server(ports):
    with running_agent(identity=SERVER, tcp=ports, udp=ports) as agent:
        yield agent


@pytest.fixture
def prober():
    with running_agent(identity=PROBER) as agent:
        yield agent


@pytest.fixture(scope="module")
def long_lived():
    """One for many commands in turn, none of which may keep it from the next."""
    with running_agent(identity=PROBER) as agent:
        yield agent


@contextmanager
def tcp_listener(behave):
    """A TCP server of the test's own: ``behave`` gets each connection."""
    with socket.create_server((HERE, 0)) as listener:
        listener.settimeout(30)

        def serve():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                connection.settimeout(30)
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(30)


@contextmanager
def silent_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sink.bind((HERE, 0))
        sink.setblocking(False)
        yield sink, sink.getsockname()[1]


def datagrams_in(sink):
    found = []
    while select.select([sink], [], [], 0)[0]:
        found.append(sink.recvfrom(200))
    return found


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", [HERE, "::1"])
def test_token_comes_back(server, prober, ports, protocol, address):
    if address == "::1" and not has_ipv6():
        pytest.skip("no IPv6 on loopback here")
    results, done = prober.probe((address, protocol, ports, SERVER))
    assert results == [("allowed", "token", "")] * 2
    assert (done["attempts"], done["allowed"]) == (2, 2)
    assert done["slowest"] > 0


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_nobody_listens(prober):
    port = free_ports(1)
    results, _ = prober.probe((HERE, "tcp", port, SERVER), (HERE, "udp", port, SERVER), timeout=0.5)
    assert results == [("refused", "tcp-reset", ""), ("refused", "icmp-port-unreachable", "")]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_someone_else_answers(server, prober, ports, protocol):
    results, done = prober.probe((HERE, protocol, ports[:1], OTHER))
    assert results == [("misdelivered", "wrong-identity", SERVER)]
    assert done["allowed"] == 0


@pytest.mark.parametrize(
    ("protocol", "outcome"), [("tcp", ("error", "connected-no-token")), ("udp", ("dropped", "timeout"))]
)
def test_another_run_gets_no_answer(ports, server, protocol, outcome):
    with running_agent(identity=PROBER, key="1" * 64) as prober:
        (result,), _ = prober.probe((HERE, protocol, ports[:1], SERVER), timeout=0.5)
    assert result[:2] == outcome


def halves(nonce, key=KEY):
    both = hmac.digest(bytes.fromhex(key), nonce, "sha256")
    return both[:16].hex().encode(), both[16:]


def question_for(nonce, key=KEY):
    return (b"audit? " + nonce + b" " + halves(nonce, key)[0] + b" ").ljust(119, b".") + b"\n"


def answer_to(question, address, mark=SERVER, key=KEY):
    """The answer to a question that came from ``address``."""
    head = b"audit! " + question[7:23] + f" {mark} {address[0]} {address[1]} ".encode()
    return head + hashlib.sha256(halves(question[7:23], key)[1] + head).hexdigest()[:32].encode() + b"\n"


def test_token_in_pieces(prober):
    def behave(connection):
        answer = answer_to(connection.recv(200), connection.getpeername())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in answer:
            connection.send(bytes([byte]))

    with tcp_listener(behave) as port:
        results, _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert results == [("allowed", "token", "")]


def test_answer_to_another_nonce_is_no_token(prober):
    def behave(connection):
        connection.recv(200)
        connection.send(answer_to(question_for(b"0" * 16), connection.getpeername()))

    with tcp_listener(behave) as port:
        (result,), _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert result[:2] == ("misdelivered", "wrong-nonce")


@pytest.mark.parametrize("banner", [b"SSH-2.0-x\r\n", b"\0\xff" * 40, b"HTTP/1.1 400 Bad Request\r\n"])
def test_foreign_protocol(prober, banner):
    with tcp_listener(lambda connection: connection.send(banner)) as port:
        (result,), _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert result[:2] == ("misdelivered", "foreign-answer")
    assert ascii(banner.decode("latin-1"))[1:9] in result[2]


@pytest.mark.parametrize(
    ("behave", "outcome"),
    [
        (lambda connection: connection.recv(200), ("error", "connected-no-token", "closed by the other end")),
        (
            lambda connection: connection.recv(200) and connection.recv(200),
            ("error", "connected-no-token", "connected, then silence"),
        ),
        (lambda connection: connection.recv(200) and reset(connection), ("refused", "reset-after-connect", "")),
    ],
)
def test_connected_and_no_token(prober, behave, outcome):
    with tcp_listener(behave) as port:
        results, _ = prober.probe((HERE, "tcp", [port], SERVER), timeout=0.5)
    assert results == [outcome]


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_silence_is_dropped_after_all_datagrams(prober):
    with silent_udp() as (sink, port):
        results, _ = prober.probe((HERE, "udp", [port], SERVER), timeout=0.3, datagrams=4)
        found = datagrams_in(sink)
    assert [question for question, _ in found] == [question_for(f"{BATCH}00000000".encode())] * 4
    assert results == [("dropped", "timeout", "")]
    assert prober.more[0]["socket"] == list(found[0][1])


def test_stale_datagram_is_passed_over(prober):
    with silent_udp() as (sink, port):
        prober.start_probe((HERE, "udp", [port], SERVER))
        assert select.select([sink], [], [], 30)[0]
        question, address = sink.recvfrom(200)
        sink.sendto(answer_to(question_for(b"0" * 16), address), address)
        sink.sendto(answer_to(question, address), address)
        results, _ = prober.results()
    assert results == [("allowed", "token", "")]


def test_no_route_is_no_denial(prober):
    """A link-local address that names no interface."""
    results, _ = prober.probe(("fe80::1", "tcp", [80], SERVER), ("fe80::1", "udp", [80], SERVER))
    assert [result[0] for result in results] == ["error", "error"]


def test_arrivals(prober, ports):
    first, second = free_ports(2)
    with silent_udp() as (_, elsewhere), running_agent(identity=SERVER, udp=[first, second]) as server:
        prober.probe((HERE, "udp", [first, elsewhere, second], SERVER), timeout=0.2)
        nonces = [f"{BATCH}{attempt:08x}" for attempt in range(4)]
        told = arrivals_at(server, *nonces)
    assert [(nonce, address) for nonce, address, _port in told["arrived"]] == [(nonces[0], HERE), (nonces[2], HERE)]
    assert told["complete"] is True


def arrivals_at(server, *nonces):
    server.tell(do="arrivals", nonces=nonces)
    return server.hear()


def test_port_in_use_is_reported(prober):
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        failed = prober.listen(tcp=[port])
    assert ["tcp", 4, port, "EADDRINUSE: Address already in use"] in failed


def test_the_age_is_that_of_the_first_process_here():
    """A container has a pid namespace of its own."""
    script = "import time; from probes import agent; time.sleep(0.3); print(agent.age_of_first_process())"
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    done = subprocess.run(alone, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert 0.25 <= float(done.stdout) < agent.age_of_first_process()


def test_listening_anew_leaves_the_old_ports(prober):
    first, second = free_ports(2)
    prober.listen(identity=OTHER, tcp=[first])
    prober.listen(identity=OTHER, tcp=[second])
    results, _ = prober.probe((HERE, "tcp", [first, second], OTHER))
    assert [result[0] for result in results] == ["refused", "allowed"]


GOOD_PROBE = {"do": "probe", "batch": BATCH, "timeout": 1, "datagrams": 1, "window": 1, "targets": []}
GOOD_TARGET = {"address": HERE, "protocol": "tcp", "ports": [1], "identity": SERVER}
GOOD_LISTEN = {"do": "listen", "key": KEY, "identity": SERVER, "addresses": [], "tcp": [], "udp": []}


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"do": []}',
        b'{"do": "dance"}',
        b"[" * 100000,
        b'{"do": "arrivals"}',
        b'{"do": "arrivals", "nonces": [1]}',
        b'{"do": "arrivals", "nonces": ["c0ffee00"]}',
        b'{"do": "arrivals", "nonces": [%b]}' % b", ".join([b'"%016x"' % n for n in range(1025)]),
        *(
            json.dumps({**GOOD_LISTEN, **change}).encode()
            for change in (
                {"key": KEY[:-1]},
                {"key": None},
                {"key": KEY.upper()},
                {"identity": "two\nlines"},
                {"identity": ""},
                {"tcp": [0]},
                {"tcp": [1.5]},
            )
        ),
        *(
            json.dumps({**GOOD_PROBE, **change}).encode()
            for change in (
                {"batch": "COFFEE00"},
                {"timeout": 0},
                {"timeout": True},
                {"datagrams": "3"},
                {"window": None},
                {"targets": {}},
                {"targets": [1]},
                {"targets": [{**GOOD_TARGET, "address": "localhost"}]},
                {"targets": [{**GOOD_TARGET, "protocol": "sctp"}]},
                {"targets": [{**GOOD_TARGET, "ports": [65536]}]},
                {"targets": [{**GOOD_TARGET, "identity": ""}]},
                {"targets": [{**GOOD_TARGET, "identity": "prod/web"}]},
            )
        ),
    ],
)
def test_malformed_command(long_lived, line):
    long_lived.raw(line + b"\n")
    assert long_lived.hear()["kind"] == "error"
    long_lived.tell(**GOOD_PROBE)
    assert long_lived.hear()["kind"] == "done"


def test_commands_in_pieces_and_at_once(prober):
    commands = json.dumps(GOOD_PROBE).encode() + b"\n"
    prober.raw(commands[:10])
    time.sleep(0.05)
    prober.raw(commands[10:] + commands)
    assert [prober.hear()["kind"] for _ in range(2)] == ["done", "done"]


@pytest.mark.parametrize("ending", [b"", b'{"do": "quit"}\n'])
def test_end(prober, ending):
    with silent_udp() as (_, port):
        prober.start_probe((HERE, "udp", [port], SERVER), timeout=60)
        prober.raw(ending)
        if not ending:
            prober.process.stdin.close()
        assert prober.process.wait(30) == 0


@pytest.mark.slow
def test_controller_that_reads_nothing_blocks_nobody(server, prober, ports):
    """Results pile up until attempts pause; listeners go on; and in the end no result is missing."""
    tens = 5_000
    own = free_ports(1)
    prober.listen(identity=PROBER, tcp=own)
    closed = free_ports(1)[0]
    prober.start_probe((HERE, "tcp", [ports[0], *[closed] * 9] * tens, SERVER), window=256)
    wait_until(lambda: is_full(prober.process.stdout))
    results, _ = server.probe((HERE, "tcp", own, PROBER))
    assert results == [("allowed", "token", "")]
    results, done = prober.results()
    assert done["allowed"] == tens
    assert [result[0] for result in results] == ["allowed", *["refused"] * 9] * tens


def is_full(stream):
    before = unread(stream)
    time.sleep(0.2)
    return unread(stream) == before > 30_000


def unread(stream):
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))[0]


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))


def test_few_descriptors_make_it_slow_not_wrong(ports, server):
    with silent_udp() as (_, silent), running_agent(identity=PROBER, preexec_fn=few_descriptors) as prober:
        results, _ = prober.probe(
            (HERE, "udp", [silent] * 150, SERVER), (HERE, "tcp", [ports[0]] * 150, SERVER), timeout=0.3, window=1000
        )
    assert results == [("dropped", "timeout", "")] * 150 + [("allowed", "token", "")] * 150


@pytest.mark.parametrize(
    ("before", "connections"), [(None, 600), (few_descriptors, 100)], ids=["many", "few descriptors"]
)
def test_connections_that_never_ask_make_room(prober, before, connections):
    ports = free_ports(1)
    with running_agent(identity=SERVER, tcp=ports, preexec_fn=before), ExitStack() as idle:
        opened = [
            idle.enter_context(socket.create_connection((HERE, ports[0]), timeout=30)) for _ in range(connections)
        ]
        for one in opened:
            one.send(b"a")
        results, _ = prober.probe((HERE, "tcp", ports * 50, SERVER))
        assert results == [("allowed", "token", "")] * 50
        with suppress(ConnectionResetError):
            assert opened[0].recv(1) == b""
        assert not select.select([opened[-1]], [], [], 0)[0]


def test_question_in_pieces(server, ports):
    question = question_for(b"0" * 16)
    with socket.create_connection((HERE, ports[0]), timeout=30) as connection:
        for piece in (question[:5], question[5:20], question[20:]):
            connection.send(piece)
            time.sleep(0.02)
        assert connection.recv(200) == answer_to(question, connection.getsockname())


ASKED = question_for(b"0" * 16)
STRANGE = [
    b"GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n".ljust(150),
    b"audit? deadbeef 0000000000000000\n".ljust(120, b"."),
    question_for(b"0" * 16, key="1" * 64),
    ASKED[:24] + b"0" * 32 + ASKED[56:],
    ASKED.replace(b"0" * 16, b"0" * 15 + b"1"),
    ASKED[:-1] + b".",
    b"\xff" * 120,
]


@pytest.mark.parametrize("said", STRANGE)
def test_stranger_gets_no_answer(server, ports, said):
    with socket.create_connection((HERE, ports[0]), timeout=30) as connection:
        connection.send(said)
        with suppress(ConnectionResetError):
            assert connection.recv(200) == b""


@pytest.mark.parametrize("said", [*STRANGE, ASKED[:-1], ASKED + b"x", b"", b"audit? "])
def test_stranger_gets_no_datagram(server, ports, said):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect((HERE, ports[0]))
        stranger.settimeout(30)
        stranger.send(said)
        stranger.send(ASKED)
        assert stranger.recv(200) == answer_to(ASKED, stranger.getsockname())
        assert not select.select([stranger], [], [], 0.05)[0]


@pytest.mark.parametrize("address", ["1.2.3.4", "255.255.255.255", "::1", "fd00:1111:2222:3333:4444:5555:6666:7777"])
def test_no_answer_is_longer_than_its_question(address):
    asked, secret = agent.asking_with(bytes.fromhex(KEY))(b"0" * 16)
    answer = agent.answer(secret, b"0" * 16, SERVER.encode(), (address, 65535))
    assert (asked, answer) == (ASKED, answer_to(ASKED, (address, 65535)))
    assert agent.ANSWER_FORM.match(answer)
    assert len(answer) <= len(asked) == agent.ASK_LENGTH


@pytest.mark.parametrize("length", [1, 32, 64])
def test_a_question_has_half_of_an_hmac_and_nothing_of_the_other_half(length):
    key, nonce = os.urandom(length), os.urandom(8).hex().encode()
    question, secret = agent.asking_with(key)(nonce)
    both = hmac.digest(key, nonce, "sha256")
    assert (question[24:56], secret) == (both[:16].hex().encode(), both[16:])
    assert secret not in question
    assert secret.hex().encode() not in question


def test_neither_what_is_said_nor_what_is_told_has_the_key(server, ports):
    said = server.hear_all(
        {"do": "lag"}, {"do": "arrivals", "nonces": ["0" * 16]}, {"do": "listen", "key": KEY}, {"do": KEY * 10}
    )
    assert KEY not in said


@contextmanager
def datagram_from(address=HERE):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((address, 0))
        one.settimeout(30)
        yield one


def test_what_a_bystander_repeats_arrived_from_the_bystander(server, ports):
    """And an honest datagram that comes later is still found, however often the bystander was first."""
    nonce = os.urandom(8).hex()
    question = question_for(nonce.encode())
    with datagram_from() as honest, datagram_from("127.0.0.9") as bystander:
        for _ in range(3):
            bystander.sendto(question, (HERE, ports[0]))
            assert bystander.recv(200) == answer_to(question, bystander.getsockname())
        assert arrivals_at(server, nonce)["arrived"] == [[nonce, *bystander.getsockname()]]
        honest.sendto(question, (HERE, ports[0]))
        honest.recv(200)
        assert arrivals_at(server, nonce)["arrived"] == [[nonce, *bystander.getsockname(), *honest.getsockname()]]


def test_arrivals_take_a_bounded_place():
    arrivals = agent.Arrivals()
    for number in range(agent.MOST_ARRIVALS * 2):
        arrivals.add(b"%016x" % number, (HERE, 1))
    assert len(arrivals.young) + len(arrivals._old) <= agent.MOST_ARRIVALS
    last = b"%016x" % number
    for port in range(agent.MOST_ARRIVALS):
        arrivals.add(last, (HERE, 1 + port))
        arrivals.add(b"%016x" % (number - port % 20_000), (HERE, 2))
    assert sum(map(len, arrivals._repeated.values())) <= agent.MOST_REPETITIONS
    ((_, *sockets),) = arrivals.answer([last.decode()])["arrived"]
    assert sockets[:2] == [HERE, 1]
    assert len(sockets) == 2 * agent.MOST_SOCKETS
    assert arrivals.answer(["0" * 16]) == {"kind": "arrivals", "arrived": [], "complete": False}


def test_a_destination_that_is_not_ours_can_not_make_the_answer(prober):
    """It has seen the question, knows every mark, and may send back whatever it likes."""

    def behave(connection):
        question = connection.recv(200)
        connection.send(answer_to(question, connection.getpeername(), key="1" * 64))

    with tcp_listener(behave) as port:
        (result,), done = prober.probe((HERE, "tcp", [port], SERVER))
    assert result[:2] == ("misdelivered", "foreign-answer")
    assert len(result[2]) < 250
    assert done["allowed"] == 0


@pytest.mark.parametrize("mark", [SERVER, OTHER])
def test_an_answer_that_was_fetched_elsewhere_says_whose_question_it_answers(prober, mark):
    """Whoever relays a question, from an address of his own, gets no token for its source."""

    def behave(connection):
        connection.send(answer_to(connection.recv(200), ("127.0.0.9", 1234), mark))

    with tcp_listener(behave) as port:
        (result,), _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert result == (("allowed", "token", "") if mark == SERVER else ("misdelivered", "wrong-identity", OTHER))
    assert prober.more[0]["seen"] == "127.0.0.9"


def test_an_answer_to_another_port_of_ours_is_one_to_us(prober):
    with tcp_listener(lambda connection: connection.send(answer_to(connection.recv(200), (HERE, 1)))) as port:
        results, _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert results == [("allowed", "token", "")]
    assert not prober.more


FORGED = {
    "garbage": lambda question, address: b"nonsense",
    "empty": lambda question, address: b"",
    "without the key": lambda question, address: answer_to(question, address, key="1" * 64),
    "fetched elsewhere": lambda question, address: answer_to(question, ("127.0.0.9", 1234)),
    "fetched from another agent": lambda question, address: answer_to(question, ("127.0.0.9", 1234), OTHER),
    "to another question": lambda question, address: answer_to(question_for(b"0" * 16), address),
    "its own question": lambda question, address: question,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("times", [1, 200])
def test_what_comes_before_the_right_answer_changes_nothing(prober, forged, times):
    with silent_udp() as (sink, port):
        prober.start_probe((HERE, "udp", [port], SERVER), datagrams=1)
        question, address = sink_question(sink)
        for _ in range(times):
            sink.sendto(forged(question, address), address)
        time.sleep(0.1)
        sink.sendto(answer_to(question, address), address)
        results, _ = prober.results()
    assert results == [("allowed", "token", "")]
    assert not prober.more


@pytest.mark.parametrize(
    ("forged", "result", "seen"),
    [
        ("garbage", ("misdelivered", "foreign-answer", "'nonsense'"), None),
        ("fetched elsewhere", ("allowed", "token", ""), "127.0.0.9"),
        ("fetched from another agent", ("misdelivered", "wrong-identity", OTHER), "127.0.0.9"),
        ("to another question", ("dropped", "timeout", ""), None),
    ],
)
def test_what_comes_instead_of_the_right_answer(prober, forged, result, seen):
    with silent_udp() as (sink, port):
        prober.start_probe((HERE, "udp", [port], SERVER), datagrams=1, timeout=1)
        question, address = sink_question(sink)
        sink.sendto(FORGED[forged](question, address), address)
        results, _ = prober.results()
    assert results == [result]
    assert prober.more.get(0, {}).get("seen") == seen


def test_an_answer_counts_more_than_a_refusal_that_anybody_can_make_up(batch_of):
    with silent_udp() as (sink, port):
        batch = batch_of("udp", [port] * 2, timeout=1)
        turn(batch)
        question, address = sink.recvfrom(200)
        for attempt in range(2):
            batch._failed(attempt, True, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
        sink.sendto(answer_to(question, address), address)
        batch.on_event(0, select.EPOLLIN)
        turn(batch, 5.0)
    assert (batch._allowed[::2], batch._others) == ([0], [[1, "refused", "icmp-port-unreachable", "", {}]])


def test_no_line_is_longer_than_a_mebibyte(prober):
    (closed,) = free_ports(1)
    prober.listen(tcp=range(1, 2), udp=[])
    with ExitStack() as stack, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        del stack
        sink.bind((HERE, closed))
        prober.start_probe((HERE, "udp", [closed] * 20_000, SERVER), timeout=2, datagrams=1, window=20_000)
        longest, count = 0, 0
        while True:
            line = prober.process.stdout.readline()
            longest = max(longest, len(line))
            message = json.loads(line)
            if message["kind"] == "done":
                break
            count += len(message["others"])
    assert count == 20_000
    assert longest < 1 << 20


def test_many_listeners_that_fail_are_told_in_several_lines():
    with running_agent(identity=PROBER, preexec_fn=few_descriptors) as prober:
        failed = prober.listen(tcp=range(20_000, 22_000))
    assert len({(family, port) for _, family, port, _ in failed}) >= 2 * 2000 - 48


@pytest.fixture
def batch_of(monkeypatch):
    """Makes a Batch in this process, without a loop around it; ``.clock[0]`` is its time."""
    clock = [100.0]
    with Path("/dev/null").open("wb") as nowhere, select.epoll() as epoll, monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock[0])
        made = []

        def make(protocol, ports, window=8, timeout=60, mark=SERVER):
            target = {"address": HERE, "protocol": protocol, "ports": ports, "identity": mark}
            command = {"batch": BATCH, "timeout": timeout, "datagrams": 1, "window": window, "targets": [target]}
            batch = agent.Batch(
                command,
                agent.asking_with(bytes.fromhex(KEY)),
                epoll,
                agent.Output(nowhere.fileno(), epoll),
                agent.Partings(),
            )
            batch.clock, batch.epoll, batch.patch = clock, epoll, patch
            patch.setattr(batch, "pass_on", lambda: None)
            made.append(batch)
            return batch

        yield make
        for batch in made:
            batch.abandon()


def turn(batch, later=0.0):
    """One turn of the loop without events; how many attempts are under way after it."""
    batch.clock[0] += later
    batch.tick(batch.clock[0])
    batch.launch(batch.clock[0])
    return len(batch.by_fd)


def test_window_counts_young_attempts_alone(batch_of):
    """Eight may be young at once; only growing old lets further ones start, however many are still silent."""
    with silent_udp() as (_, port):
        batch = batch_of("udp", [port] * 20)
        assert [turn(batch, later) for later in (0.0, 0.1, agent.YOUNG, 0.1, agent.YOUNG)] == [8, 8, 16, 16, 20]


def test_end_of_an_old_attempt_makes_no_room_in_the_window(batch_of):
    with silent_udp() as (sink, port):
        batch = batch_of("udp", [port] * 20)
        assert [turn(batch), turn(batch, agent.YOUNG)] == [8, 16]
        question, address = sink.recvfrom(200)
        sink.sendto(answer_to(question, address), address)
        batch.on_event(0, select.EPOLLIN)
        assert turn(batch) == 15


def test_answer_that_waits_at_the_deadline_counts(batch_of):
    """This process had no turn until its time was up; the network had answered."""
    with silent_udp() as (sink, port):
        batch = batch_of("udp", [port] * 2, timeout=1)
        turn(batch)
        question, address = sink.recvfrom(200)
        sink.sendto(answer_to(question, address), address)
        turn(batch, 5.0)
    assert (batch._allowed[::2], batch._others) == ([0], [[1, "dropped", "timeout", "", batch._others[0][4]]])


def test_greeting_and_connection_in_one_event(batch_of):
    with tcp_listener(lambda connection: connection.send(b"220 ready\r\n")) as port:
        batch = batch_of("tcp", [port])
        batch._eager = 0
        turn(batch)
        (fd,) = batch.by_fd
        assert select.select([fd], [], [], 30)[0]
        ((_, event),) = batch.epoll.poll(30)
        assert event & select.EPOLLIN
        assert event & select.EPOLLOUT
        batch.on_event(0, event)
    assert batch._others == [[0, "misdelivered", "foreign-answer", "'220 ready\\r\\n'", {}]]


def test_full_output_pauses_new_attempts(batch_of):
    with silent_udp() as (_, port):
        batch = batch_of("udp", [port] * 20)
        batch._output.buffer += bytes(agent.OUTPUT_FULL + 1)
        assert turn(batch) == 0
        assert batch.wait(batch.clock[0]) > 0
        batch._output.buffer.clear()
        assert turn(batch) == 8


def test_shortage_is_waited_out_while_others_are_under_way(batch_of):
    real, calls = socket.SocketType, []

    def scarce(*arguments):
        calls.append(arguments)
        if len(calls) in (1, 3):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*arguments)

    with silent_udp() as (_, port):
        batch = batch_of("udp", [port] * 4)
        batch.patch.setattr(socket, "SocketType", scarce)
        assert turn(batch) == 1
        assert batch._others == [[0, "error", "EMFILE: Too many open files", "", {}]]
        assert turn(batch) == 1
        assert turn(batch, 0.02) == 3
        assert len(batch._others) == 1


def other_pythons() -> list[str]:
    """The interpreters of other versions that this machine has; the one that runs the tests when there is none."""
    candidates = [shutil.which(f"python3.{minor}") for minor in range(8, 20)]
    found = [
        python
        for python in candidates
        if python and not subprocess.run([python, "-V"], check=False, capture_output=True).returncode
    ]
    return found or [sys.executable]


def test_its_syntax_is_that_of_python_3_8():
    ast.parse(AGENT.read_text(), feature_version=(3, 8))


def test_other_pythons_can_run_it():
    ports = free_ports(2)
    for python in other_pythons():
        with running_agent(identity=SERVER, tcp=ports, udp=ports, python=python) as it:
            results, _ = it.probe((HERE, "tcp", ports, SERVER), (HERE, "udp", ports, SERVER))
            assert results == [("allowed", "token", "")] * 4, python
            it.raw(b"nonsense\n")
            assert it.hear()["kind"] == "error", python


def test_an_address_that_is_someone_elses_is_named(prober):
    prober.tell(do="listen", identity=SERVER, key=KEY, tcp=[], udp=[], addresses=[HERE, "203.0.113.7", "2001:db8::7"])
    answer = prober.hear()
    assert answer["failed"] == []
    assert [address for address, _ in answer["foreign"]] == ["203.0.113.7", "2001:db8::7"]
    assert answer["foreign"][0][1] == "EADDRNOTAVAIL: Cannot assign requested address"


def hears_only_the_end(heard):
    def behave(connection):
        connection.settimeout(30)
        try:
            heard.append(connection.recv(100))
        except OSError as error:
            heard.append(error)

    return behave


def test_connecting_only_sends_nothing_and_ends_gracefully(prober):
    heard = []
    with tcp_listener(hears_only_the_end(heard)) as port:
        results, done = prober.probe((HERE, "tcp", [port], None))
    assert results == [("allowed", "token", "")]  # the wire has no outcomes of what is allowed
    assert done["allowed"] == 1
    assert heard == [b""]


def test_connecting_only_to_a_server_that_greets_is_no_reset_for_it(prober):
    heard = []

    def behave(connection):
        connection.send(b"220 ready\r\n")
        hears_only_the_end(heard)(connection)
        connection.close()

    with tcp_listener(behave) as port:
        results, _ = prober.probe((HERE, "tcp", [port], None))
    assert results[0][0] == "allowed"
    assert heard == [b""]


def test_connecting_only_to_a_server_that_resets_at_once_counts_as_connected(prober):
    def behave(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with tcp_listener(behave) as port:
        results, _ = prober.probe((HERE, "tcp", [port], None))
    assert results[0][0] == "allowed"


def test_connecting_only_where_nobody_listens_or_nobody_answers(prober):
    closed = free_ports(1)
    with full_listener() as (_, port):  # its handshakes go unanswered
        results, _ = prober.probe((HERE, "tcp", closed, None), (HERE, "tcp", [port], None), timeout=0.5)
    assert results == [("refused", "tcp-reset", ""), ("dropped", "timeout", "")]


def test_many_connections_to_someone_elses_listener(server, ports, prober):
    results, done = prober.probe((HERE, "tcp", ports * 500, None), (HERE, "tcp", ports, SERVER), window=32)
    assert done["allowed"] == len(results) == 1002


def test_without_an_identity_the_first_thing_that_comes_back_ends_an_attempt_over_udp(prober):
    (closed,) = free_ports(1)
    with silent_udp() as (sink, port):
        sink.settimeout(10)
        prober.start_probe((HERE, "udp", [closed, port], None), timeout=30)
        asked, address = sink.recvfrom(200)
        sink.sendto(b"anything", address)
        results, done = prober.results()
    assert len(asked) == agent.ASK_LENGTH, "or a link that loses large datagrams would carry it"
    assert results == [("refused", "icmp-port-unreachable", ""), ("allowed", "token", "")]
    assert done["allowed"] == 1


def test_a_refusal_of_a_datagram_without_an_identity_is_not_waited_upon(batch_of):
    with silent_udp() as (_, port):
        batch = batch_of("udp", [port], mark=None)
        turn(batch)
        assert not batch.finished
        batch._failed(0, True, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert batch.finished
    assert batch._others == [[0, "refused", "icmp-port-unreachable", "", {}]]


def test_a_pause_is_told_as_lag_once(prober):
    prober.tell(do="lag")
    assert prober.hear()["kind"] == "lag"
    prober.process.send_signal(signal.SIGSTOP)
    time.sleep(0.7)
    prober.tell(do="lag")
    prober.process.send_signal(signal.SIGCONT)
    told = prober.hear()["seconds"]
    assert told > 0.5  # all of it but the turn that it waited for anyway
    prober.tell(do="lag")
    assert prober.hear()["seconds"] < told


def test_datagrams_without_room_are_counted_once(prober):
    (port,) = free_ports(1)
    prober.listen(udp=[port])
    prober.process.send_signal(signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for _ in range(20_000):
            flood.sendto(b"x" * 100, (HERE, port))
    prober.process.send_signal(signal.SIGCONT)
    prober.tell(do="lag")
    told = prober.hear()["udp_overruns"]
    assert told > 1000
    prober.tell(do="lag")
    assert prober.hear()["udp_overruns"] < told


@contextmanager
def full_listener():
    """A listener that takes no further connection, and its port."""
    with socket.create_server((HERE, 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full, full.getsockname()[1]


def test_connections_without_room_are_counted(prober):
    with full_listener() as (_, port):
        prober.probe((HERE, "tcp", [port], None), timeout=0.3)
    prober.tell(do="lag")
    assert prober.hear()["listen_overflows"] >= 1


def test_what_the_kernel_does_not_tell_is_null(monkeypatch):
    monkeypatch.setattr(agent, "proc_net", lambda _file: [])
    assert agent.Overflows().growth() == (None, None)
    monkeypatch.setattr(
        agent, "proc_net", lambda _file: [["Udp:", "InDatagrams"], ["Udp:", "1"], ["TcpExt:", "ListenDrops"]]
    )
    assert agent.Overflows().growth() == (None, None)


def test_loss_is_told_of_what_was_answered_in_the_end(prober):
    with silent_udp() as (sink, port):
        prober.start_probe((HERE, "udp", [port, port], SERVER), timeout=10, datagrams=11)
        while (found := sink_question(sink)) and found[0][22:23] != b"1":
            pass  # the first attempt's; the second's alone is answered, and not at once
        again, address = found
        while (found := sink_question(sink)) and found[0] != again:
            pass
        sink.sendto(answer_to(again, address), address)
        _, done = prober.results()
    assert done["allowed"] == 1
    assert done["lost"] >= 1
    assert done["sent"] == done["lost"] + 1
    assert [more["again"] for more in prober.more.values() if "again" in more] == [done["lost"]]


def sink_question(sink):
    assert select.select([sink], [], [], 30)[0]
    return sink.recvfrom(200)


def test_syn_that_had_to_be_repeated_is_lost(prober):
    with full_listener() as (full, port):
        prober.start_probe((HERE, "tcp", [port], None), timeout=20)
        time.sleep(0.3)
        full.settimeout(0.1)
        for _ in range(300):
            with suppress(TimeoutError):
                full.accept()[0].close()
            if select.select([prober.process.stdout], [], [], 0)[0]:
                break
        (result,), done = prober.results()
    assert result[0] == "allowed"
    assert done["lost"] >= 1
    assert done["sent"] == done["lost"] + 1


def test_nothing_is_lost_where_answers_come_at_once(server, prober, ports):
    _, done = prober.probe((HERE, "tcp", ports, SERVER), (HERE, "udp", ports, SERVER), datagrams=1)
    assert (done["sent"], done["lost"]) == (4, 0)


@pytest.mark.skipif(
    os.geteuid() != 0 or not has_ipv6(), reason="NOT TESTED: a network namespace of its own needs root, and IPv6"
)
def test_an_ipv6_address_that_is_too_new_to_be_bound_is_no_strangers():
    interface = "ip link add one type veth peer name two && ip addr add 2001:db8::7/64 dev one"
    command = ["unshare", "--net", "sh", "-c", f'{interface} && exec "$0" "$1"', sys.executable, str(AGENT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        prober = AgentProcess(process)
        prober.tell(do="listen", identity=SERVER, key=KEY, tcp=[], udp=[], addresses=["2001:db8::7", "2001:db8::8"])
        assert [address for address, _ in prober.hear()["foreign"]] == ["2001:db8::8"]
        process.stdin.close()
