from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from auditor import __version__
from auditor.model.noticing import Noticing
from auditor.model.policy import Direction
from auditor.model.snapshot import Family
from auditor.report import as_table
from auditor.report.registry import RUN, renderer
from tests.unit.report.reports import (
    DB,
    UNTESTED,
    WEB,
    finding,
    inconclusive,
    leak,
    report,
    result,
    skipped,
    small,
    small_untested,
    square,
    with_untested,
)

GOLDEN = Path(__file__).with_name("golden_table.txt")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def rendered(made, stream=None):
    stream = stream or io.StringIO()
    as_table.render(made, stream)
    return stream.getvalue()


def rendered_wide(made):
    stream = io.StringIO()
    as_table.render_wide(made, stream)
    return stream.getvalue()


def rendered_as(made, encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    as_table.render(made, stream)
    stream.flush()
    return raw.getvalue().decode(encoding)


def matrix_rows(text):
    return [line for line in text.splitlines() if re.fullmatch(r" *\d+ \S+  +[●◐·LOMU?~+%. -]+", line)]


def test_golden_table_at_80_columns():
    assert rendered(small()) == GOLDEN.read_text(encoding="utf-8").replace("VERSION", __version__)


def test_the_registry_has_it():
    assert renderer(RUN, "table") is as_table.render


def test_thirty_endpoints_stay_inside_80_columns():
    text = rendered(square(30, faults=40))
    rows = matrix_rows(text)
    assert len(rows) == 30
    assert max(map(len, text.replace(finding_command(text), "").splitlines())) <= 80
    cells = [row.split(maxsplit=2)[2].replace(" ", "") for row in rows]
    assert {len(row) for row in cells} == {30}
    assert sum(row.count("L") for row in cells) == 40


def finding_command(text):
    return next(line for line in text.splitlines() if line.startswith("audit run"))


def test_long_names_give_way_in_the_middle():
    names = [f"a-rather-long-namespace-name/and-a-workload-of-the-same-kind-{number:02}" for number in range(30)]
    cells = [result(source, destination, "TCP/80") for source in names for destination in names]
    text = rendered(report(cells))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" in matrix_rows(text)[0]
    assert [row.split()[1][-2:] for row in matrix_rows(text)] == [f"{number:02}" for number in range(30)]


def test_many_endpoints_show_those_that_findings_touch():
    text = rendered(square(60, faults=7))
    assert "Only the 8 of 60 endpoints that findings touch." in text
    assert len(matrix_rows(text)) == 8


def test_many_findings_show_the_most_touched_endpoints():
    text = rendered(square(60, faults=59 * 60))
    assert "Only the 30 of 60 endpoints that findings touch most (30 more)." in text
    assert len(matrix_rows(text)) == 30


def test_many_endpoints_as_expected_are_grouped_by_namespace():
    text = rendered(square(60))
    assert "60 endpoints, by namespace." in text
    assert [row.split()[1] for row in matrix_rows(text)] == [f"namespace-{number}/*" for number in range(6)]


def test_too_many_namespaces_give_no_matrix():
    text = rendered(square(310, ports=("TCP/80",)))
    assert "310 endpoints in 31 namespaces: too many for a matrix" in text
    assert not matrix_rows(text)


def test_the_reproduce_command_is_one_unbroken_line():
    command = "audit run --lab " + "x" * 100 + " --from prod/web --to prod/db --ports TCP/3306"
    made = report([leak(WEB, DB, "TCP/1")], [finding([leak(WEB, DB, "TCP/1")], reproduce=command)])
    assert command in rendered(made).splitlines()


def test_no_colour_codes_unless_on_a_terminal():
    assert "\x1b" not in rendered(small())
    assert "\x1b[" in rendered(small(), Terminal())


def test_no_color_is_honoured_on_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = rendered(small(), Terminal())
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7])m", text)


def test_width_follows_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, (line for line in rendered(small()).splitlines() if not line.startswith("audit run")))) <= 50


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_plain_symbols_where_the_encoding_lacks_the_others(encoding):
    text = rendered_as(small(), encoding)
    assert "1 prod/web     + U L %" in text
    assert "\\u" not in text


def test_faults_are_told_by_symbol_and_not_by_colour_alone():
    rows = matrix_rows(rendered(small()))
    assert {symbol for row in rows for symbol in row.split()[2:]} >= set("LOMU?~")


def test_names_cannot_carry_control_sequences():
    evil = "prod/\x1b[31mred"
    assert "\x1b" not in rendered(
        report([inconclusive(evil, DB, "TCP/1"), leak(evil, DB, "TCP/2")], [finding([leak(evil, DB, "TCP/2")])])
    )


def test_markup_in_a_name_is_text():
    assert "[bold]x[/bold]" in rendered(report([leak("prod/[bold]x[/bold]", DB, "TCP/1")]))


def test_reasons_are_counted_and_the_most_frequent_comes_first():
    cells = [skipped("prod/a", "prod/b", "SCTP/1")]
    cells += [inconclusive("prod/a", "prod/b", "TCP/1")]
    cells += [replace(each, observation=replace(each.observation, outcome="listener died")) for each in cells[1:] * 2]
    text = rendered(report(cells))
    assert "Inconclusive: 3 connections" in text
    assert text.index("2  listener died (prod/a → prod/b)") < text.index("1  agent of prod/web ended")
    assert "Skipped: 1 connection" in text


def test_a_finding_of_many_cells_is_cut_short_and_says_so():
    cells = [leak(f"a/{number}", f"b/{number}", f"TCP/{number + 1}") for number in range(20)]
    text = rendered(report(cells, [finding(cells)]))
    assert "… and 8 more such lines; -v lists them" in text


def test_only_the_first_findings_are_told_in_full():
    cells = [leak(f"a/{number}", "b/b", "TCP/1") for number in range(7)]
    text = rendered(report(cells, [finding([cell], f"title {number}") for number, cell in enumerate(cells)]))
    assert text.count("reproduce with") == 5
    assert (
        "And 2 more findings; -v shows each in full:\n  LEAK  title 5: 1 connection\n  LEAK  title 6: 1 connection\n"
        in text
    )


def test_very_many_findings_and_reasons_do_not_drown_the_reader():
    leaks = [leak(f"a/{number}", "b/b", "TCP/1") for number in range(60)]
    lost = [inconclusive("a/a", "b/b", f"TCP/{number + 2}") for number in range(60)]
    lost = [replace(each, observation=replace(each.observation, outcome=f"reason {each.cell.port}")) for each in lost]
    text = rendered(report([*leaks, *lost], [finding([cell], f"title {number}") for number, cell in enumerate(leaks)]))
    assert text.count("\n  LEAK  title") == 20
    assert "\n  and 35 more\n" in text
    assert text.count("  reason ") == 8
    assert "\n  and 52 connections for 52 more reasons; -v lists them\n" in text


def test_nothing_is_left_out_when_asked_for_everything():
    leaks = [leak(f"a/{number}", "b/b", "TCP/1") for number in range(30)]
    lost = [inconclusive("a/a", "b/b", f"TCP/{number + 2}") for number in range(30)]
    lost = [replace(each, observation=replace(each.observation, outcome=f"reason {each.cell.port}")) for each in lost]
    many = [leak(f"c/{number}", f"d/{number}", f"TCP/{number + 1}") for number in range(20)]
    findings = [finding([cell], f"title {number}") for number, cell in enumerate(leaks)]
    text = rendered_wide(report([*leaks, *lost, *many], [*findings, finding(many)]))
    assert text.count("reproduce with") == 31
    assert text.count("  reason ") == 30
    assert text.count("c/") >= 20
    assert "-v" not in text


def test_a_report_longer_than_the_terminal_ends_with_what_it_comes_to(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    cells = [leak(f"a/{number}", "b/b", "TCP/1") for number in range(30)]
    made = report(cells, [finding(cells)])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", rendered(made, Terminal()))
    last = plain.splitlines()[-2:]
    assert last[0].startswith("FAIL  30 leaks; ")
    assert last[1].startswith(f"to do  {made.findings[0].advice[:40]}")
    assert all(len(line) <= 60 for line in last)
    assert plain.count("FAIL") == 2
    monkeypatch.setenv("LINES", "400")
    assert rendered(made, Terminal()).count("FAIL") == 1
    assert rendered(made).count("FAIL") == 1


def test_with_chosen_sources_the_matrix_has_their_rows_only():
    cells = [result("a/one", f"b/{number}", "TCP/80") for number in range(3)]
    text = rendered(report(cells))
    assert [row.split()[1] for row in matrix_rows(text)] == ["a/one"]
    assert "Columns: 2=b/0, 3=b/1, 4=b/2" in text


def test_nodes_stand_beside_their_endpoints_where_there_is_room(monkeypatch):
    made = square(4)
    nodes = [replace(each, node=f"node-{number % 2}") for number, each in enumerate(made.endpoints)]
    made = replace(made, endpoints=tuple(nodes))
    assert re.search(r"1 \S+ +node-0  ", rendered(made))
    monkeypatch.setenv("COLUMNS", "40")
    assert "  node-0  " not in rendered(replace(square(20), endpoints=square(20).endpoints))
    one = [replace(each, node="node-0") for each in made.endpoints]
    assert "  node-0  " not in rendered(replace(made, endpoints=tuple(one)))


def test_endpoints_of_a_namespace_and_workload_stand_together():
    made = square(6)
    first, *rest = made.endpoints
    spread = [replace(first, workload="Deployment/x"), *rest[:-1], replace(rest[-1], workload="Deployment/x")]
    same = {each.namespace for each in spread}
    rows = [row.split()[1] for row in matrix_rows(rendered(replace(made, endpoints=tuple(spread))))]
    assert same == {first.namespace}
    assert rows[:2] == [first.name, rest[-1].name]


def test_many_endpoints_are_grouped_by_workload_where_that_is_enough():
    made = square(60)
    endpoints = [replace(each, workload=f"Deployment/{number % 2}") for number, each in enumerate(made.endpoints)]
    text = rendered(replace(made, endpoints=tuple(endpoints)))
    assert "60 endpoints, by workload." in text
    assert len(matrix_rows(text)) == 12


def test_why_nothing_is_concluded_stands_before_the_matrix():
    cells = [
        inconclusive("prod/a", "prod/b", "TCP/1"),
        inconclusive("prod/a", "prod/b", "TCP/2"),
        result("prod/b", "prod/a", "TCP/1"),
    ]
    cells[1] = replace(cells[1], observation=replace(cells[1].observation, outcome="listener died"))
    lines = rendered(report(cells)).splitlines()
    assert lines[0].startswith("INCONCLUSIVE  2 inconclusive")
    assert lines[3:5] == [
        "  why          1 of 2 inconclusive connections: agent of prod/web ended before",
        "               finishing its batch",
    ]
    assert lines[5].startswith("  advice       Fix the causes (all are listed below) and run again")


def test_why_the_coverage_is_too_low_stands_before_the_matrix():
    made = report([skipped("prod/a", "prod/b", "SCTP/1"), result("prod/b", "prod/a", "TCP/1")], min_coverage=0.8)
    assert (
        "  why          1 of 1 skipped connection: SCTP sockets are not available here\n"
        "  advice       Fix the cause and" in rendered(made)
    )


def test_run_version_and_time_with_its_zone_are_told_at_the_end():
    made = replace(small(), run_id="1a2b3c4d", began="2026-11-21T18:24:06Z")
    assert rendered(made).splitlines()[-1] == f"run 1a2b3c4d of audit {__version__}, begun 2026-11-21 18:24:06 UTC"


def test_families_are_named_when_there_are_two():
    cells = [leak("a/a", "a/b", "TCP/1"), result("a/a", "a/b", "TCP/1", family=Family.IPV6)]
    assert "TCP/1 (IPv4)" in rendered(report(cells, [finding(cells[:1])]))
    assert "(IPv4)" not in rendered(report(cells[:1], [finding(cells[:1])]))
    assert "Ports: TCP/1\n" in rendered(report(cells))


def test_the_same_report_gives_the_same_text():
    made = small()
    shuffled = replace(made, cells=made.cells[::-1])
    assert rendered(made) == rendered(shuffled)


def test_the_policies_that_nothing_tells_of_are_listed_above_the_matrix():
    lines = rendered(small_untested()).splitlines()
    said = " ".join(" ".join(lines).split())
    assert said.startswith(
        "INCONCLUSIVE nothing shows whether 1 of 4 policies is enforced: prod/db (ingress): none of its pods was probed"
    )
    assert (
        "4 policies in scope, 2 tested; 1 more selects no pod; 1 part of policies not covered by any connection" in said
    )
    begin = lines.index("Not tested, so nothing shows whether they are enforced: 2 of 4 policies")
    assert begin < lines.index("Observed, from rows to columns:")
    assert lines[begin + 1 : begin + 7] == [
        "  prod/db (ingress): 15 connections could have shown it: none of its pods was",
        "    probed: prod/db: left out",
        "  prod/sctp (egress): accepted; 3 connections could have shown it: no SCTP; one;",
        "    and 1 more reason",
        "  Fix the causes and run again, or accept a policy as untested:",
        "    --accept-untested prod/db",
    ]


def test_policies_that_decide_nothing_are_counted_and_one_of_no_namespace_is_accepted_by_its_kind():
    guard = replace(UNTESTED, policy="ClusterNetworkPolicy guard")
    made = with_untested(report([result(WEB, DB, "TCP/1")]), guard)
    nothing = (("ClusterNetworkPolicy far", Direction.INGRESS), ("ClusterNetworkPolicy far", Direction.EGRESS))
    said = " ".join(rendered(replace(made, policies=replace(made.policies, deciding_nothing=nothing))).split())
    assert "1 more selects no pod; 1 more decides none of these connections" in said
    assert "accept a policy as untested: --accept-untested ClusterNetworkPolicy/guard" in said


def test_where_no_policy_is_in_scope_nothing_is_said_of_policies():
    assert "policies" not in rendered(report([result(WEB, DB, "TCP/1")]))


def test_what_would_have_been_noticed_stands_in_the_first_lines():
    noticing = Noticing(6, 1210, 1206, 2, ("a", "b", "c", "d"))
    text = " ".join(rendered(replace(small(), noticing=noticing)).split())
    said = "would notice 1,206 of 1,210 ways in which these 6 policies could be ignored or misread"
    assert f"{said}; not: a, b, c and 1 more (2 more would change nothing between the pods of this cluster)" in text
    assert text.index(said) < text.index("Observed, from rows")
