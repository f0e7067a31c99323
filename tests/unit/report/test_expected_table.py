from __future__ import annotations

import io
import re
from dataclasses import replace
from ipaddress import ip_network

import pytest

from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, PortRequest, Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Note, Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report import expected_as_table, expected_grid
from auditor.report.expected_as_table import EVERY_PORT, listed, ports_text, render, render_wide
from auditor.report.expected_grid import mark
from auditor.report.expected_parties import cells_of, parties_of
from auditor.report.marks import Mark, Symbols
from auditor.report.matrix import Grid, grid_lines
from auditor.run.sources import load_scenario
from tests.unit.diagnosis.worlds import DB_POLICY, SHOP, labels, pod, with_policies


def shown(snapshot, *, sources=None, destinations=None, ports=(), expand=False, render=render):
    stream = io.StringIO()
    chosen = [
        tuple(endpoint for endpoint in snapshot.endpoints if names is None or endpoint.name in names)
        for names in (sources, destinations)
    ]
    render(MatrixView(evaluate(snapshot, named_ports=ports), *chosen, tuple(ports), expand), stream)
    return stream.getvalue().splitlines()


def expected(port, end_port, verdict=Verdict.ALLOWED, notes=(), families=(), protocol=Protocol.TCP):
    return ExpectedCell(protocol, port, end_port, verdict, notes, families)


ALL = [expected(1, 65535, protocol=protocol) for protocol in Protocol]
DENIED = expected(1, 65535, Verdict.DENIED)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (ALL, EVERY_PORT),
        ([], "no port"),
        ([DENIED], "no port"),
        ([expected(8000, 8080), expected(80, 80)], "TCP/80,8000-8080"),
        ([expected(1, 65535)], "TCP/*"),
        ([expected(80, 80, notes=(Note.CNI_DEPENDENT,)), expected(81, 81)], "TCP/80 (cni-dependent) TCP/81"),
        ([replace(DENIED, notes=(Note.SELF_ALLOWED,))], "(self-allowed)"),
        (
            [
                expected(80, 80, notes=(Note.LABELS_UNKNOWN,)),
                expected(81, 65535, Verdict.DENIED, (Note.LABELS_UNKNOWN,)),
            ],
            "TCP/80 (labels-unknown) others (labels-unknown)",
        ),
        (
            [
                expected(
                    1,
                    9,
                    Verdict.DENIED,
                    (Note.FAMILY_DEPENDENT,),
                    ((Family.IPV4, Verdict.DENIED), (Family.IPV6, Verdict.ALLOWED)),
                )
            ],
            "TCP/1-9 (IPv6)",
        ),
    ],
)
def test_allowed_ports_in_words(cells, text):
    assert ports_text(cells) == text


@pytest.mark.parametrize(
    ("cells", "symbol"),
    [
        ([], Mark.NONE),
        (ALL, Mark.ALLOWED),
        ([DENIED], Mark.DENIED),
        ([DENIED, expected(80, 80)], Mark.SOME),
        ([expected(80, 80, notes=(Note.CNI_DEPENDENT,))], Mark.UNDECIDED),
        (
            [expected(1, 9, Verdict.DENIED, (), ((Family.IPV4, Verdict.DENIED), (Family.IPV6, Verdict.ALLOWED)))],
            Mark.SOME,
        ),
    ],
)
def test_symbols(cells, symbol):
    assert mark(cells) is symbol


def test_classes_name_their_members():
    assert shown(SHOP, render=render_wide)[:3] == [
        "7 endpoints in 6 groups, 1 policy",
        "Not told apart by any policy:",
        "  prod/web +1: prod/web, dev/api",
    ]
    assert shown(SHOP)[1:2] == ["1 group that no policy tells apart is shown by one member, as prod/web +1; -v"]
    assert "Not told apart by any policy:" not in shown(SHOP, expand=True)


def test_words_in_brackets_are_explained_where_they_occur():
    closed = with_policies(
        NetworkPolicy("prod", "deny", labels(), frozenset(Direction)),
        NetworkPolicy("dev", "deny", labels(), frozenset(Direction)),
    )
    text = " ".join(" ".join(shown(closed)).split())
    assert "(self-allowed): denied between the members of a group; each still reaches itself" in text
    assert "(cni-dependent):" not in text
    assert "(self-allowed)" not in " ".join(shown(closed, expand=True))


def test_a_row_per_endpoint_when_expanded():
    lines = shown(SHOP, expand=True)
    assert [line.split()[1] for line in lines[1:] if line[:2] in {f"{number} " for number in range(1, 10)}] == [
        endpoint.name for endpoint in SHOP.endpoints
    ]


def test_only_chosen_sources_and_destinations():
    lines = shown(SHOP, sources={"prod/api"}, destinations={"prod/db"}, expand=True)
    assert [line for line in lines if " → " in line] == ["prod/api → prod/db  TCP/3306"]
    assert "1 prod/api  ◐" in lines


def test_a_named_port_is_resolved_by_each_destination():
    snapshot = replace(
        SHOP,
        endpoints=(
            pod("prod/web", "10.244.0.2"),
            pod("prod/a", "10.244.0.3", ContainerPort(Protocol.TCP, 8080, "http")),
            pod("prod/b", "10.244.0.4", ContainerPort(Protocol.TCP, 9090, "http")),
        ),
        policies=(),
    )
    lines = shown(snapshot, sources={"prod/web"}, ports=[PortRequest(Protocol.TCP, name="http")], expand=True)
    assert [line for line in lines if " → " in line] == ["prod/web → prod/a  TCP/8080", "prod/web → prod/b  TCP/9090"]


def test_what_the_specification_leaves_open_is_marked_and_said():
    block = Rule((Peer(ip_block=IPBlock(ip_network("10.244.0.0/24"))),), (PolicyPort(Protocol.TCP, 80),))
    policy = NetworkPolicy("prod", "db", labels(app="db"), frozenset({Direction.INGRESS}), ingress=(block,))
    lines = shown(with_policies(policy), sources={"prod/web"}, destinations={"prod/db"}, expand=True)
    assert "1 prod/web  ~" in lines
    assert "prod/web → prod/db  TCP/80 (cni-dependent)" in lines


def test_many_endpoints_have_no_matrix_but_lists():
    many = replace(
        SHOP,
        endpoints=tuple(pod(f"prod/{number}", f"10.244.0.{number + 2}") for number in range(40)),
        policies=(DB_POLICY,),
    )
    lines = shown(many, expand=True)
    assert "40 rows are too many for a matrix; --from and --to choose some." in lines
    assert not any("●" in line for line in lines)


def many_namespaces(count):
    names = [f"n{number % 4}/{number}" for number in range(count)]
    alone = [
        replace(DB_POLICY, namespace=f"n{number % 4}", name=f"p{number}", pod_selector=labels(app=str(number)))
        for number in range(0, count, 3)
    ]
    pods = [replace(pod(name, f"10.244.1.{at + 2}"), labels={"app": str(at)}) for at, name in enumerate(names)]
    return replace(SHOP, endpoints=tuple(pods), policies=tuple(alone))


def test_many_endpoints_are_shown_by_namespace():
    lines = shown(many_namespaces(40), expand=True)
    assert "40 rows are too many: by namespace." in lines
    assert [line.split()[1] for line in lines if re.match(r"\d n\d/\*  [●◐·]", line)] == [f"n{at}/*" for at in range(4)]


def test_few_lines_say_what_many_do():
    made = load_scenario("demo").snapshot
    view = MatrixView(evaluate(made), made.endpoints, made.endpoints, (), expand=False)
    parties = parties_of(view)
    cells = cells_of(view, parties)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected_as_table, "FEW_NAMES", 1000)
        patch.setattr(expected_as_table, "MOST_NAMES", 1000)
        brief = list(expected_as_table.brief_lines(parties, cells))
        whole = list(expected_as_table.allowed_lines(parties, cells))
    assert len(brief) < len(whole)
    assert spread(brief) == spread(whole)
    few, many = shown(made), shown(made, render=render_wide)
    assert len(few) < len(many)


def spread(lines):
    """Each pair that ``lines`` name, with its ports."""
    return {
        (source, source if name == "itself" else name, ports)
        for sources, destinations, ports in lines
        for source in re.split(", | and ", sources)
        for name in re.split(", | and ", destinations)
    }


def test_long_lists_are_cut_and_say_so():
    assert listed([str(number) for number in range(25)]).endswith("18, 19 and 5 more")
    assert listed(["a", "b"]) == "a, b"


def test_pods_that_are_not_in_the_input_are_rows_and_columns() -> None:
    """With the marks of what -o json says of each: in doubt where administrators may have the first word."""
    outer = Peer(namespace_selector=labels(team="obs"), pod_selector=labels(app="x"))
    rules = (Rule((outer,), (PolicyPort(Protocol.TCP, 80),)),)
    opened = NetworkPolicy("prod", "open", labels(app="web"), frozenset(Direction), ingress=rules, egress=rules)
    name = "[pods app=x in namespaces team=obs]"
    snapshot = with_policies(opened)
    lines = shown(snapshot)
    number = next(line.split()[0] for line in lines if line.startswith(tuple("123456789")) and name in line)
    grid = {line.split()[0]: line for line in lines if line[:1].isdigit()}
    web = next(key for key, line in grid.items() if "prod/web" in line)
    header = next(line for line in lines if line.split()[:2] == ["1", "2"])
    place = {key: header.index(key) for key in header.split()}
    assert grid[number][place[web]] == "◐"
    assert grid[web][place[number]] == "◐"
    other = next(key for key, line in grid.items() if "prod/" in line and key != web)
    assert grid[other][place[number]] == "●"  # nothing isolates it
    assert not any(name in line for line in shown(snapshot, sources={"prod/db"}, destinations={"prod/web"}))


def test_what_is_in_doubt_of_pods_that_are_not_in_the_input_is_not_said_to_be_denied() -> None:
    ghost = Rule((Peer(pod_selector=labels(app="ghost")),))
    policies = [
        NetworkPolicy("prod", "open", labels(app="web"), frozenset({Direction.INGRESS}), ingress=(ghost,)),
        NetworkPolicy("prod", "all", labels(), frozenset({Direction.EGRESS})),
    ]
    certain, doubted = (" ".join(shown(with_policies(*some))) for some in (policies[:1], policies))
    assert "Whatever is not allowed here is denied" in certain
    assert "Whatever is neither allowed here nor in doubt is denied" in doubted


def test_where_rows_are_too_many_pods_that_are_not_in_the_input_have_none(monkeypatch) -> None:
    outer = Peer(namespace_selector=labels(team="obs"))
    opened = NetworkPolicy("prod", "open", labels(app="web"), frozenset({Direction.INGRESS}), ingress=(Rule((outer,)),))
    snapshot = with_policies(opened)
    assert any(line[:1].isdigit() and "team=obs" in line for line in shown(snapshot))
    rows = len(parties_of(MatrixView(evaluate(snapshot), snapshot.endpoints, snapshot.endpoints)))
    monkeypatch.setattr(expected_grid, "MOST_ROWS", rows)
    lines = [line for line in shown(snapshot) if "team=obs" in line]
    assert lines
    assert not any(line[:1].isdigit() for line in lines)


def test_a_grid_has_no_empty_line_above_it() -> None:
    """Ten names of which the tenth is no column: every number along the top has one digit."""
    names = [f"prod/{number}" for number in range(10)]
    one_digit, two_digits = (
        grid_lines(Grid(names, lambda row, column: Mark.ALLOWED, columns=range(count)), Symbols(), 80)
        for count in (9, 10)
    )
    assert one_digit[0].plain.split() == [str(number) for number in range(1, 10)]
    assert (len(one_digit), len(two_digits)) == (11, 12)


def test_what_rules_open_is_named_by_groups_as_everything_else() -> None:
    outer = Peer(namespace_selector=labels(team="obs"))
    opened = NetworkPolicy("prod", "open", labels(), frozenset({Direction.INGRESS}), ingress=(Rule((outer,)),))
    twins = replace(SHOP, endpoints=(pod("prod/web-0", "10.0.0.1"), pod("prod/web-1", "10.0.0.2")))
    (line,) = [line for line in shown(replace(twins, policies=(opened,))) if "team=obs] →" in line]
    assert line.endswith("→ prod/web-0 +1  every port")


def test_where_no_policy_has_a_say_nothing_is_said_to_be_denied() -> None:
    hosts = {each.name for each in SHOP.endpoints if not each.namespace}
    (line,) = shown(SHOP, sources=hosts, destinations=hosts)
    assert line.endswith("; no NetworkPolicy has a say between these")
