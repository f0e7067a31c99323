"""Commands and results of batches, listeners' controls, and the routing of cells."""

import re
from ipaddress import ip_address

import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from auditor.probing.attempts import Answer, AttemptId, AttemptResult, Listener, Origin
from auditor.probing.batches import LARGEST_COUNT, LONGEST_WORDS, BadAnswerError, Batch, Target, count, words
from auditor.probing.controls import Controls, control_of
from auditor.probing.keys import RunKey
from auditor.probing.routes import NO_SCTP, NO_UDP_ANSWER, NO_UDP_LISTENER, route_cells
from auditor.probing.sites import ProbeSite

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP
V4, V6 = Family.IPV4, Family.IPV6


OURS = RunKey(b"secret", {"a/x": "00" * 8, "b/x": "11" * 8})


def batch_of(*targets):
    return Batch([Target(*target) for target in targets], 1.5, 3, 8, "00000001")


def test_neighbours_share_a_target():
    batch = batch_of(
        ("10.0.0.1", TCP, 80, "a/x"),
        ("10.0.0.1", TCP, 81, "a/x"),
        ("10.0.0.1", UDP, 53, "a/x"),
        ("10.0.0.1", TCP, 80, "a/x"),
    )
    assert batch.command(OURS) == {
        "do": "probe",
        "batch": "00000001",
        "timeout": 1.5,
        "datagrams": 3,
        "window": 8,
        "targets": [
            {"address": "10.0.0.1", "protocol": "tcp", "identity": "0000000000000000", "ports": [80, 81]},
            {"address": "10.0.0.1", "protocol": "udp", "identity": "0000000000000000", "ports": [53]},
            {"address": "10.0.0.1", "protocol": "tcp", "identity": "0000000000000000", "ports": [80]},
        ],
    }


def test_no_two_batches_have_one_name_or_one_arrival_could_be_taken_for_another(monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda size: "00" * size)
    names = {Batch([], 1.5, 3, 8).name for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", name) for name in names)


def test_results_find_their_attempts():
    batch = batch_of(*[("10.0.0.1", TCP, port, "a/x") for port in (80, 81, 82, 83)])
    more = [
        [0, "dropped", "timeout", "", {"socket": ["10.0.0.2", 40000]}],
        [3, "allowed", "token", "", {"seen": "fd00:0::1", "microseconds": 9}],
    ]
    assert batch.take({"allowed": [2, 1500], "others": more}, OURS) == 3
    assert (
        batch.take({"allowed": [], "others": [[1, "misdelivered", "wrong-identity", "1111111111111111", {}]]}, OURS)
        == 1
    )
    batch.finish({"slowest": 0.0015, "sent": 2, "lost": 1})
    assert batch.results() == [
        AttemptResult(Answer.DROPPED, "timeout", None, AttemptId("00000001", 0, Origin("10.0.0.2", 40000))),
        AttemptResult(Answer.MISDELIVERED, "wrong-identity: b/x", None, AttemptId("00000001", 1)),
        AttemptResult(Answer.ALLOWED, "token", 1.5, AttemptId("00000001", 2)),
        AttemptResult(Answer.ALLOWED, "token", 0.009, AttemptId("00000001", 3), seen="fd00::1"),
    ]
    assert (batch.slowest, batch.loss) == (0.0015, (2, 1))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"allowed": [], "others": []},
        {"allowed": [0], "others": []},
        {"allowed": [2, 10], "others": []},
        {"allowed": [-1, 10], "others": []},
        {"allowed": ["0", 10], "others": []},
        {"allowed": [0, "fast"], "others": []},
        {"allowed": [0, 1, 0, 1], "others": []},
        {"allowed": None, "others": []},
        {"allowed": [0, -1], "others": []},
        {"allowed": [0, 1e999], "others": []},
        {"allowed": [0, float("nan")], "others": []},
        {"allowed": [0, 10**18], "others": []},
        {"allowed": [0, True], "others": []},
        {"allowed": [True, 1], "others": []},
        {"allowed": [0.0, 1], "others": []},
        {"allowed": {"0": 1}, "others": []},
        {"allowed": [], "others": [[0, "denied", "timeout", "", {}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", ""]]},
        {"allowed": [], "others": [[0, "dropped", ["timeout"], "", {}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", None, {}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", "", []]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", "", {"socket": ["10.0.0.1"]}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", "", {"socket": ["10.0.0.1", 1 << 16]}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", "", {"socket": ["somewhere", 1]}]]},
        {"allowed": [], "others": [[0, "dropped", "timeout", "", {"seen": "a\nb"}]]},
        {"allowed": [], "others": [[0, "allowed", "token", "", {}]]},
        {"allowed": [], "others": [[0]]},
        {"allowed": [], "others": [7]},
    ],
)
def test_results_that_make_no_sense(message):
    batch = batch_of(("10.0.0.1", TCP, 80, "a/x"), ("10.0.0.1", TCP, 81, "a/x"))
    with pytest.raises(BadAnswerError):
        batch.take(message, OURS)


def test_texts_of_an_agent_are_short_and_printable():
    batch = batch_of(*[("10.0.0.1", TCP, port, "a/x") for port in (80, 81)])
    nasty = "\x1b[2J\n::error::\u202e" + "x" * 100_000
    batch.take({"allowed": [], "others": [[0, "misdelivered", nasty, nasty, {}], [1, "error", nasty, "", {}]]}, OURS)
    for one in batch.results():
        assert len(one.outcome) <= 402
        assert one.outcome.isprintable()


@pytest.mark.parametrize("value", [0, 1, LARGEST_COUNT])
def test_a_count_may_be_anything_up_to_the_largest(value):
    assert count({"sent": value}, "sent") == value


@pytest.mark.parametrize("value", [-1, LARGEST_COUNT + 1, 1.0, True, "1", None])
def test_what_is_not_such_a_count(value):
    assert count({"sent": value}, "sent") is None


def test_words_that_are_cut_say_so():
    assert words("x" * LONGEST_WORDS) == "x" * LONGEST_WORDS
    assert words("x" * (LONGEST_WORDS + 1)) == "x" * (LONGEST_WORDS - 1) + "…"


def test_an_agent_that_no_site_has_is_somebody_unknown():
    batch = batch_of(("10.0.0.1", TCP, 80, "a/x"))
    batch.take({"allowed": [], "others": [[0, "misdelivered", "wrong-identity", "2222222222222222", {}]]}, OURS)
    assert batch.results()[0].outcome == "wrong-identity: somebody unknown"


def test_a_key_is_long_random_and_nothing_prints_it():
    one, other = RunKey.draw(["a/x", "a/y"]), RunKey.draw(["a/x"])
    assert len(one.secret) >= 16
    assert one.secret != other.secret
    assert len({*one.marks.values(), *other.marks.values()}) == 3
    assert one.secret.hex() not in repr(one)
    assert str(one.secret) not in repr(one)


@pytest.mark.parametrize(("sent", "lost"), [(0, 0), (2, 2)])
def test_every_packet_may_be_lost_and_no_more(sent, lost):
    batch = batch_of(("10.0.0.1", TCP, 80, "a/x"))
    batch.take({"allowed": [0, 1000], "others": []}, OURS)
    with pytest.raises(BadAnswerError, match="numbers that make sense"):
        batch.finish({"slowest": 0.1, "sent": sent, "lost": lost + 1})
    batch.finish({"slowest": 0.1, "sent": sent, "lost": lost})
    assert batch.loss == (sent, lost)


@pytest.mark.parametrize("message", [{"slowest": 0.1}, {"slowest": "0.1"}, {}])
def test_done_too_early(message):
    with pytest.raises(BadAnswerError):
        batch_of(("10.0.0.1", TCP, 80, "a/x")).finish(message)


def test_giving_up_keeps_what_came():
    batch = batch_of(("10.0.0.1", TCP, 80, "a/x"), ("10.0.0.1", TCP, 81, "a/x"))
    batch.take({"allowed": [1, 1000], "others": []}, OURS)
    batch.give_up("gone")
    assert [(one.answer, one.outcome) for one in batch.results()] == [(Answer.ERROR, "gone"), (Answer.ALLOWED, "token")]


POD = ProbeSite("a/web", (ip_address("10.0.0.1"), ip_address("fd00::1")), ("a/web",))
NODE = ProbeSite("node/n0", (ip_address("172.18.0.2"),), ("node/n0", "b/host-network"))
REAL = ProbeSite("a/real", (ip_address("10.0.0.9"),), ("a/real",), listens=False)
HOST = ProbeSite("host/db", (ip_address("203.0.113.1"),), ("host/db",), agent=False)
WEB = Listener("a/web", TCP, 80, V4)
TOKEN, TIMEOUT, GONE = (
    AttemptResult(Answer.ALLOWED, "token"),
    AttemptResult(Answer.DROPPED, "timeout"),
    AttemptResult(Answer.ERROR, "agent of a/web ended"),
)


@pytest.mark.parametrize(
    ("rounds", "unbound", "reason"),
    [
        ([TOKEN, TOKEN], {}, ""),
        ([], {}, "not proven alive"),
        ([TOKEN], {}, "not proven alive"),
        ([TIMEOUT, TOKEN], {}, "did not answer its own agent round 0: timeout"),
        ([TOKEN, TIMEOUT], {}, "did not answer its own agent round 1: timeout"),
        ([TOKEN, GONE], {}, "agent of a/web ended"),
        ([TIMEOUT, TIMEOUT], {WEB: "EADDRINUSE"}, "can't listen on TCP/80: EADDRINUSE"),
    ],
)
def test_listener_must_be_proven_before_and_after(rounds, unbound, reason):
    controls = Controls(unbound)
    for number, one in enumerate(rounds):
        controls.record([(route_to(POD), one)], f"round {number}")
    unproven = controls.unproven(route_to(POD))
    assert reason in unproven
    assert bool(unproven) == bool(reason)


def route_to(site, protocol=TCP, port=80, family=V4):
    cell = Cell("node/n0" if family is V4 else "a/web", site.endpoints[0], protocol, port, family)
    return route_cells([cell], [POD, NODE, REAL, HOST]).routes[cell]


def test_controls_go_over_loopback():
    assert control_of(route_to(POD)) == Target("127.0.0.1", TCP, 80, "a/web")
    assert control_of(route_to(POD, UDP, 53, V6)) == Target("::1", UDP, 53, "a/web")


def test_a_real_listener_is_proven_at_its_pods_own_address():
    route, controls = route_to(REAL), Controls({})
    assert control_of(route) == Target("10.0.0.9", TCP, 80, None)
    controls.record([(route, AttemptResult(Answer.REFUSED, "tcp-reset"))], "before the probes")
    assert controls.unproven(route) == "nothing listens on TCP/80 at 10.0.0.9 of a/real before the probes: tcp-reset"


def test_a_host_without_an_agent_is_proven_by_whoever_reached_it():
    route, controls = route_to(HOST, port=443), Controls({})
    assert controls.unproven(route, {WEB}) == "nobody reached host/db on TCP/443 in this run, so silence proves nothing"
    assert not controls.unproven(route, {Listener("host/db", TCP, 443, V4)})


def test_other_peoples_listeners_are_only_connected_to_and_no_agent_listens_for_them():
    cells = [Cell("a/web", site, TCP, 80, V4) for site in ("a/real", "host/db")]
    routing = route_cells(cells, [POD, NODE, REAL, HOST])
    assert [routing.routes[cell].target for cell in cells] == [
        Target("10.0.0.9", TCP, 80, None),
        Target("203.0.113.1", TCP, 80, None),
    ]
    assert [site.name for site in routing.sites] == ["a/web", "a/real"]
    assert routing.listeners == {"a/web": (), "a/real": ()}
    assert [route.listener.site for route in routing.to_prove] == ["a/real"]


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        (Cell("a/web", "a/web", TCP, 80, V4), "10.0.0.1"),
        (Cell("a/web", "a/web", UDP, 53, V6), "fd00::1"),
        (Cell("a/web", "b/host-network", TCP, 80, V4), "172.18.0.2"),
        (Cell("node/n0", "a/web", TCP, 80, V4), "10.0.0.1"),
    ],
)
def test_cell_goes_to_the_site_of_its_destination(cell, address):
    routing = route_cells([cell], [POD, NODE])
    assert not routing.skipped
    route = routing.routes[cell]
    assert str(route.address) == address
    assert cell.source in route.source.endpoints
    assert cell.destination in route.destination.endpoints
    assert routing.listeners[route.destination.name] == (
        Listener(route.destination.name, cell.protocol, cell.port, cell.family),
    )


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Cell("a/web", "a/web", SCTP, 80, V4), NO_SCTP),
        (Cell("a/web", "a/gone", TCP, 80, V4), "no agent can run at a/gone"),
        (Cell("a/gone", "a/web", TCP, 80, V4), "no agent can run at a/gone"),
        (Cell("a/web", "node/n0", TCP, 80, V6), "node/n0 has no IPv6 address"),
        (Cell("node/n0", "a/web", TCP, 80, V6), "node/n0 has no IPv6 address"),
        (Cell("a/web", "a/job", TCP, 80, V4), "a/job has ended"),
        (Cell("host/db", "a/web", TCP, 80, V4), "no agent runs at host/db: it can only be a destination"),
        (Cell("a/web", "host/db", UDP, 53, V4), NO_UDP_ANSWER),
        (Cell("a/web", "a/real", UDP, 53, V4), NO_UDP_LISTENER),
    ],
)
def test_cell_that_nobody_can_probe_has_a_reason(cell, reason):
    routing = route_cells([cell], [POD, NODE, REAL, HOST], {"a/job": "a/job has ended"})
    assert routing.skipped == {cell: reason}
    assert not routing.routes
    assert not routing.sites
