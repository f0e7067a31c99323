from __future__ import annotations

import pytest

from auditor.cli.exit_codes import of_report
from auditor.report.conclusion import Conclusion, conclude
from auditor.report.headline import headline, percent
from tests.unit.report.reports import denied, inconclusive, leak, outage, report, result, skipped, small, unstable

A, B = "prod/a", "prod/b"
MATCH = result(A, B, "TCP/1")
EXIT_CODES = {Conclusion.PASS: 0, Conclusion.FAIL: 1, Conclusion.INCONCLUSIVE: 3}


@pytest.mark.parametrize(
    ("cells", "min_coverage", "conclusion"),
    [
        pytest.param([MATCH, denied(A, B, "TCP/2")], 0.0, Conclusion.PASS, id="all as expected"),
        pytest.param([MATCH, denied(A, B, "TCP/2")], 1.0, Conclusion.PASS, id="all as expected, full coverage asked for"),
        pytest.param([MATCH, leak(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="a leak"),
        pytest.param([MATCH, outage(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="an outage"),
        pytest.param([MATCH, unstable(A, B, "TCP/2")], 0.0, Conclusion.FAIL, id="unstable"),
        pytest.param([MATCH, inconclusive(A, B, "TCP/2")], 0.0, Conclusion.INCONCLUSIVE, id="one inconclusive"),
        pytest.param([leak(A, B, "TCP/1"), inconclusive(A, B, "TCP/2")], 1.0, Conclusion.FAIL, id="a fault wins over inconclusive"),
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
    assert headline(report([MATCH, denied(A, B, "TCP/2")])) == "2 cells: 1 allowed, 1 denied, all as expected"


def test_headline_tells_every_count():
    assert headline(small()) == (
        "3 leaks, 1 outage, 1 misdelivered, 1 unstable, 2 inconclusive, 2 skipped, 1 up to the CNI; 18 cells: 9 allowed, 4 denied"
    )


def test_headline_tells_skipped_cells_of_a_pass():
    assert headline(report([MATCH, skipped(A, B, "SCTP/2")])) == "2 cells: 1 allowed, 0 denied, all as expected (1 skipped)"


def test_headline_says_that_coverage_is_too_low():
    made = report([MATCH, skipped(A, B, "SCTP/2")], min_coverage=0.9)
    assert headline(made) == "1 skipped, coverage 50 % is below the 90 % asked for; 2 cells: 1 allowed, 0 denied"


def test_headline_of_nothing():
    assert headline(report([])) == "nothing was probed"


@pytest.mark.parametrize(("share", "text"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.29, "29 %"), (0.0, "0 %")])
def test_a_percentage_is_never_rounded_up(share, text):
    assert percent(share) == text
