"""The agent's wire format and verdicts, one process against sockets of the test or against another agent, over loopback."""

import fcntl
import json
import resource
import select
import socket
import struct
import termios
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from probes import agent
from tests.unit.probing.processes import BATCH, RUN, free_ports, running_agent

HERE = "127.0.0.1"
SERVER = "test/server"


@pytest.fixture(scope="module")
def ports():
    return free_ports(2)


@pytest.fixture(scope="module")
def server(ports):
    with running_agent(identity=SERVER, tcp=ports, udp=ports) as agent:
        yield agent


@pytest.fixture
def prober():
    with running_agent(identity="test/prober") as agent:
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
        found.append(sink.recv(100))
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
    results, _ = prober.probe((HERE, "tcp", port, SERVER), (HERE, "udp", port, SERVER))
    assert results == [("refused", "tcp-reset", ""), ("refused", "icmp-unreachable", "")]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_someone_else_answers(server, prober, ports, protocol):
    results, done = prober.probe((HERE, protocol, ports[:1], "test/other"))
    assert results == [("misdelivered", "wrong-identity", SERVER)]
    assert done["allowed"] == 0


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_another_run_answers(ports, server, protocol):
    with running_agent(identity="test/prober", run="11111111") as prober:
        results, _ = prober.probe((HERE, protocol, ports[:1], SERVER))
    assert results == [("misdelivered", "wrong-identity", f"{SERVER} of another run")]


def expected_answer(question):
    return b"audit! " + question[7:32] + b" " + SERVER.encode() + b"\n"


def test_token_in_pieces(prober):
    def behave(connection):
        answer = expected_answer(connection.recv(100))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in answer:
            connection.send(bytes([byte]))

    with tcp_listener(behave) as port:
        results, _ = prober.probe((HERE, "tcp", [port], SERVER))
    assert results == [("allowed", "token", "")]


def test_answer_to_another_nonce_is_no_token(prober):
    def behave(connection):
        question = connection.recv(100)
        connection.send(expected_answer(question[:16] + b"0" * 16 + b"\n"))

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
        (lambda connection: connection.recv(100), ("error", "connected-no-token", "closed by the other end")),
        (lambda connection: connection.recv(100) and connection.recv(100), ("error", "connected-no-token", "connected, then silence")),
        (lambda connection: connection.recv(100) and reset(connection), ("refused", "reset-after-connect", "")),
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
        assert datagrams_in(sink) == [f"audit? {RUN} {BATCH}00000000\n".encode()] * 4
    assert results == [("dropped", "timeout", "")]


def test_stale_datagram_is_passed_over(prober):
    with silent_udp() as (sink, port):
        prober.start_probe((HERE, "udp", [port], SERVER))
        assert select.select([sink], [], [], 30)[0]
        question, address = sink.recvfrom(100)
        sink.sendto(expected_answer(question[:16] + b"0" * 16 + b"\n"), address)
        sink.sendto(expected_answer(question), address)
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
        server.tell(do="arrivals", batch=BATCH, attempts=[0, 1, 2, 3])
        assert server.hear() == {"kind": "arrivals", "batch": BATCH, "arrived": [0, 2], "complete": True}


def test_port_in_use_is_reported(prober):
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        failed = prober.listen(tcp=[port])
    assert ["tcp", 4, port, "EADDRINUSE: Address already in use"] in failed


def test_listening_anew_leaves_the_old_ports(prober):
    first, second = free_ports(2)
    prober.listen(identity="test/self", tcp=[first])
    prober.listen(identity="test/self", tcp=[second])
    results, _ = prober.probe((HERE, "tcp", [first, second], "test/self"))
    assert [result[0] for result in results] == ["refused", "allowed"]


GOOD_PROBE = {"do": "probe", "batch": BATCH, "timeout": 1, "datagrams": 1, "window": 1, "targets": []}
GOOD_TARGET = {"address": HERE, "protocol": "tcp", "ports": [1], "identity": "x"}


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
        b'{"do": "listen", "identity": "two\\nlines", "run": "00000000", "tcp": [], "udp": []}',
        b'{"do": "listen", "identity": "x", "run": "xyz", "tcp": [], "udp": []}',
        b'{"do": "listen", "identity": "x", "run": "00000000", "tcp": [0], "udp": []}',
        b'{"do": "listen", "identity": "x", "run": "00000000", "tcp": [1.5], "udp": []}',
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
            )
        ),
    ],
)
def test_malformed_command(prober, line):
    prober.raw(line + b"\n")
    assert prober.hear()["kind"] == "error"
    prober.tell(**GOOD_PROBE)
    assert prober.hear()["kind"] == "done"


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


def test_controller_that_reads_nothing_blocks_nobody(server, prober, ports):
    """Results pile up until attempts pause; listeners go on; and in the end no result is missing."""
    tens = 5_000
    own = free_ports(1)
    prober.listen(identity="test/prober", tcp=own)
    closed = free_ports(1)[0]
    prober.start_probe((HERE, "tcp", [ports[0], *[closed] * 9] * tens, SERVER), window=256)
    wait_until(lambda: unread(prober.process.stdout) > 30_000)
    results, _ = server.probe((HERE, "tcp", own, "test/prober"))
    assert results == [("allowed", "token", "")]
    results, done = prober.results()
    assert done["allowed"] == tens
    assert [result[0] for result in results] == ["allowed", *["refused"] * 9] * tens


def unread(stream):
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))[0]


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_few_descriptors_make_it_slow_not_wrong(ports, server):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    with silent_udp() as (_, silent), running_agent(identity="test/prober", preexec_fn=few) as prober:
        results, _ = prober.probe((HERE, "udp", [silent] * 150, SERVER), (HERE, "tcp", [ports[0]] * 150, SERVER), timeout=0.3, window=1000)
    assert results == [("dropped", "timeout", "")] * 150 + [("allowed", "token", "")] * 150


def test_silent_connections_do_not_keep_others_out(server, prober, ports):
    idle = [socket.create_connection((HERE, ports[0])) for _ in range(600)]
    try:
        results, _ = prober.probe((HERE, "tcp", ports, SERVER))
    finally:
        for one in idle:
            one.close()
    assert results == [("allowed", "token", "")] * 2


def test_question_in_pieces(server, ports):
    question = f"audit? {RUN} {'0' * 16}\n".encode()
    with socket.create_connection((HERE, ports[0]), timeout=30) as connection:
        for piece in (question[:5], question[5:20], question[20:]):
            connection.send(piece)
            time.sleep(0.02)
        assert connection.recv(100) == expected_answer(question)


def test_stranger_gets_no_answer(server, ports):
    with socket.create_connection((HERE, ports[0]), timeout=30) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n")
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_window_counts_young_attempts_alone(monkeypatch):
    """Eight may be young at once; only growing old lets further ones start, however many are still silent."""
    seconds, started = 100.0, []
    with silent_udp() as (_, port), Path("/dev/null").open("wb") as nowhere, select.epoll() as epoll, monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: seconds)
        target = {"address": HERE, "protocol": "udp", "ports": [port] * 20, "identity": SERVER}
        command = {"batch": BATCH, "timeout": 60, "datagrams": 1, "window": 8, "targets": [target]}
        batch = agent.Batch(command, RUN, epoll, agent.Output(nowhere.fileno(), epoll))
        for later in (0.0, 0.1, agent.YOUNG, 0.1, agent.YOUNG):
            seconds += later
            batch.tick(seconds)
            batch.launch(seconds)
            started.append(len(batch.by_fd))
        batch.abandon()
    assert started == [8, 8, 16, 16, 20]
