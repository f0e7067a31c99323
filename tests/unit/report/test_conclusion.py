from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.cli.exit_codes import of_report
from auditor.model.noticing import Noticing
from auditor.model.policy import Direction
from auditor.model.report import PolicyTests
from auditor.model.verdict import Conclusion
from auditor.report.conclusion import conclude
from auditor.report.headline import headline, percent
from tests.unit.report.reports import (
    ACCEPTED,
    UNTESTED,
    denied,
    inconclusive,
    leak,
    outage,
    report,
    result,
    skipped,
    small,
    unstable,
    with_untested,
)

A, B = "prod/a", "prod/b"
MATCH = result(A, B, "TCP/1")
EXIT_CODES = {Conclusion.PASS: 0, Conclusion.FAIL: 1, Conclusion.INCONCLUSIVE: 3}


@pytest.mark.parametrize(
    ("cells", "min_coverage", "conclusion"),
    [
        pytest.param([MATCH, denied(A, B, "TCP/2")], 0.0, Conclusion.PASS, id="all as expected"),
        pytest.param(
            [MATCH, denied(A, B, "TCP/2")], 1.0, Conclusion.PASS, id="all as expected, full coverage asked for"
        ),
        pytest.param([MATCH, leak(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="a leak"),
        pytest.param([MATCH, outage(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="an outage"),
        pytest.param([MATCH, unstable(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="unstable"),
        pytest.param([MATCH, inconclusive(A, B, "TCP/2")], 0.0, Conclusion.INCONCLUSIVE, id="one inconclusive"),
        pytest.param(
            [leak(A, B, "TCP/1"), inconclusive(A, B, "TCP/2")],
            1.0,
            Conclusion.FAIL,
            id="a fault wins over inconclusive",
        ),
        pytest.param([MATCH, skipped(A, B, "SCTP/2")], 0.0, Conclusion.PASS, id="skipped is not inconclusive"),
        pytest.param([MATCH, skipped(A, B, "SCTP/2")], 0.5, Conclusion.PASS, id="coverage just enough"),
        pytest.param([MATCH, skipped(A, B, "SCTP/2")], 0.51, Conclusion.INCONCLUSIVE, id="coverage too low"),
        pytest.param([skipped(A, B, "SCTP/2")], 0.0, Conclusion.INCONCLUSIVE, id="nothing but skipped"),
        pytest.param([], 0.0, Conclusion.INCONCLUSIVE, id="no cell at all"),
    ],
)
def test_conclusion_and_exit_code(cells, min_coverage, conclusion):
    made = report(cells, min_coverage=min_coverage)
    assert conclude(made) is conclusion
    assert of_report(made) == EXIT_CODES[conclusion]


def test_headline_of_a_pass():
    assert headline(report([MATCH, denied(A, B, "TCP/2")])) == "2 connections: 1 allowed, 1 denied, all as expected"


def test_headline_tells_every_count():
    assert headline(small()) == (
        "3 leaks, 1 outage, 1 misdelivered, 1 unstable, 2 inconclusive, 2 skipped, 1 up to the CNI;"
        " 14 of 18 connections tested: 9 allowed, 4 denied"
    )


def test_a_pass_says_plainly_what_was_not_tested():
    cells = [MATCH, *(skipped(A, B, f"SCTP/{port}") for port in range(1, 16))]
    assert (
        headline(report(cells[:2]))
        == "1 of 2 connections tested: 1 allowed, 0 denied, all as expected; 1 was not tested"
    )
    assert (
        headline(report(cells))
        == "1 of 16 connections tested: 1 allowed, 0 denied, all as expected; 15 were not tested"
    )


def test_headline_says_that_coverage_is_too_low():
    made = report([MATCH, skipped(A, B, "SCTP/2")], min_coverage=0.9)
    low = "1 skipped, coverage 50 % is below the 90 % asked for"
    assert headline(made) == f"{low}; 1 of 2 connections tested: 1 allowed, 0 denied"


def test_headline_of_nothing_but_skipped():
    assert (
        headline(report([skipped(A, B, "SCTP/1"), skipped(A, B, "SCTP/2")]))
        == "2 skipped; none of 2 connections was tested"
    )


def test_headline_of_nothing():
    assert headline(report([])) == "nothing was probed"


@pytest.mark.parametrize(("share", "text"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.29, "29 %"), (0.0, "0 %")])
def test_a_percentage_is_never_rounded_up(share, text):
    assert percent(share) == text


def test_a_policy_that_nothing_tells_of_is_no_pass_and_the_headline_says_it():
    made = with_untested(report([MATCH, skipped(A, B, "TCP/2")]), UNTESTED)
    assert conclude(made) is Conclusion.INCONCLUSIVE
    assert of_report(made) == 3
    assert headline(made) == (
        "nothing shows whether 1 of 4 policies is enforced: prod/db (ingress): none of its pods was probed: "
        "prod/db: left out;"
        " 1 skipped; 1 of 2 connections tested: 1 allowed, 0 denied"
    )


def test_it_is_no_pass_though_every_connection_was_tested():
    assert conclude(with_untested(report([MATCH]), UNTESTED)) is Conclusion.INCONCLUSIVE


def test_one_that_was_accepted_is_told_and_counts_for_nothing():
    made = with_untested(report([MATCH]), ACCEPTED)
    assert conclude(made) is Conclusion.PASS
    told = "1 connection: 1 allowed, 0 denied, all as expected; 1 policy accepted as untested: prod/sctp"
    assert headline(made) == told
    both = headline(with_untested(report([MATCH]), UNTESTED, ACCEPTED))
    assert both.startswith("nothing shows whether 1 of 4 policies is enforced: prod/db (ingress): none")
    assert both.endswith("left out; 1 policy accepted as untested: prod/sctp; 1 connection: 1 allowed, 0 denied")


def test_it_is_no_pass_where_that_took_too_long_to_find_out():
    made = replace(report([MATCH]), policies=PolicyTests(unfinished="not searched further"))
    assert conclude(made) is Conclusion.INCONCLUSIVE
    assert headline(made) == "not searched further; 1 connection: 1 allowed, 0 denied"


def test_a_fault_comes_first():
    made = with_untested(report([leak(A, B, "TCP/1")]), UNTESTED)
    assert conclude(made) is Conclusion.FAIL
    assert headline(made).startswith("1 leak; nothing shows whether 1 of 4 policies is enforced: prod/db (ingress)")


def test_several_policies_are_named_as_far_as_there_is_room_and_a_reason_that_all_have():
    several = [replace(UNTESTED, policy=f"prod/{number}", reasons=("no right", "other")) for number in range(5)]
    told = (
        "nothing shows whether 5 of 9 policies are enforced: prod/0 (ingress), prod/1 (ingress), prod/2 "
        "(ingress) and 2 more"
    )
    counts = "; 1 connection: 1 allowed, 0 denied"
    assert headline(with_untested(report([MATCH]), *several, in_scope=9)) == f"{told}: no right{counts}"
    different = [*several[:4], replace(several[4], reasons=("another reason",))]
    assert headline(with_untested(report([MATCH]), *different, in_scope=9)) == f"{told}{counts}"


def test_both_directions_of_a_policy_are_one_policy():
    made = with_untested(report([MATCH]), UNTESTED, replace(UNTESTED, direction=Direction.EGRESS), in_scope=1)
    assert headline(made).startswith(
        "nothing shows whether 1 of 1 policy is enforced: prod/db (ingress), prod/db (egress): none"
    )


def test_a_share_that_is_asked_for_is_asked_of_what_would_be_noticed_too():
    noticing = Noticing(policies=1, ways=8, noticed=7, unseen=0, missed=("x",))
    enough, short = (
        replace(report([MATCH, denied(A, B, "TCP/2")], min_coverage=asked), noticing=noticing) for asked in (0.875, 0.9)
    )
    assert conclude(enough) is Conclusion.PASS
    assert conclude(short) is Conclusion.INCONCLUSIVE
    assert (
        "would notice 7 of 8 ways in which this 1 policy could be ignored or misread: 87.5 %, below the 90 % asked for"
        in headline(short)
    )
    whole = replace(short, noticing=replace(noticing, chosen=False))
    assert conclude(whole) is Conclusion.PASS
    assert "would notice" not in headline(whole)
