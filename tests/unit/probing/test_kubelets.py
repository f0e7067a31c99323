"""When the silence of a kubelet is held against the way to its node."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.snapshot import Family
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.kubelets import SILENT_CALLS, Kubelets
from auditor.probing.sites import ProbeSite

V4, V6 = Family.IPV4, Family.IPV6
ACCEPTED, SILENT = AttemptResult(Answer.ALLOWED, "connected", 1.0), AttemptResult(Answer.DROPPED, "timeout")
REFUSED = AttemptResult(Answer.REFUSED, "tcp-reset")
NODES = {name: ip_address(f"172.18.0.{number}") for number, name in enumerate("mno", start=2)}
PODS = {
    name: [ProbeSite(f"a/{name}", (ip_address(f"10.0.0.{number}"),), (f"a/{name}",), node=name)]
    for number, name in enumerate("mno", start=1)
}


def kubelets(free=("a/m", "a/n", "a/o"), nodes="mno"):
    def address(node, family):
        return NODES[node] if family is V4 else None

    return Kubelets(lambda node, _: PODS[node], address, nodes, free)


def after(answers, rounds=SILENT_CALLS, **options):
    """Kubelets of which those of m and n call each other and o: ``answers`` by the node that is called."""
    called = kubelets(**options)
    for _ in range(rounds):
        for attempt in called.calls("m", "n", V4):
            called.take(attempt, answers[called.made[attempt].other])
    return called


APART = {"m": SILENT, "n": SILENT, "o": ACCEPTED}


def test_pods_call_the_other_node_and_those_that_are_free_a_further_one():
    called = kubelets(free=("a/m",))
    calls = [(call.pod, call.other) for call in map(called.made.get, called.calls("m", "n", V4))]
    assert calls == [("a/m", "n"), ("a/m", "o"), ("a/n", "m")]
    assert called.calls("m", "n", V6) == [], "no address is known"


@pytest.mark.parametrize(
    ("answers", "options", "apart"),
    [
        (APART, {}, True),
        ({**APART, "o": SILENT}, {}, False),
        ({**APART, "o": REFUSED}, {}, False),
        (dict.fromkeys("mno", ACCEPTED), {}, False),
        ({**APART, "m": REFUSED, "n": REFUSED}, {}, False),
        (APART, {"free": ()}, False),
        (APART, {"free": ("a/n",)}, True),
        (APART, {"nodes": "mn"}, False),
        (APART, {"rounds": 1}, False),
    ],
)
def test_silence_counts_where_a_pod_may_send_all_reaches_another_node_and_has_called_often(answers, options, apart):
    called = after(answers, **options)
    assert bool(called.apart("m", "n", V4)) is apart
    assert called.apart("m", "n", V6) == called.apart("m", "o", V4) == ""


def test_what_was_silent_once_is_called_again():
    called = after(APART, rounds=1)
    assert {(called.made[call].pod, called.made[call].other) for call in called.suspected("m", "n", V4)} == {
        ("a/m", "n"),
        ("a/n", "m"),
    }
    assert after({**APART, "o": SILENT}, rounds=1).suspected("m", "n", V4) == []
    for call in called.suspected("m", "n", V4):
        called.take(call, SILENT)
    assert called.apart("m", "n", V4) == "though a/m reaches node o"
