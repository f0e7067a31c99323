from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, PolicyPort, Rule
from auditor.model.ports import ContainerPort, PortRequest, Protocol
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.probing.plan import choose_ports, plan_cells, plan_narrowly
from auditor.run import planning
from auditor.run.planning import AuditOptions, plan
from tests.strategies import snapshots
from tests.unit.diagnosis.worlds import SHOP, pod, with_policies

EVERYBODY = frozenset[str]()


def policy(name: str, app: str, direction: Direction, port: int) -> NetworkPolicy:
    rules = (Rule((), (PolicyPort(Protocol.TCP, port),)),)
    chosen = LabelSelector((("app", app),))
    return NetworkPolicy("prod", name, chosen, frozenset({direction}), ingress=rules, egress=rules)


def ports(cells, source: str, destination: str) -> set[int]:
    return {
        cell.port
        for cell in cells
        if (cell.source, cell.destination) == (source, destination) and cell.protocol is Protocol.TCP
    }


def test_a_pair_is_probed_on_the_ports_of_its_own_policies_and_of_the_destination():
    pods = (
        pod("prod/web", "10.244.0.2", ContainerPort(Protocol.TCP, 8080)),
        pod("prod/db", "10.244.0.3", ContainerPort(Protocol.TCP, 5432)),
        pod("prod/api", "10.244.0.4"),
    )
    policies = (policy("in", "db", Direction.INGRESS, 5433), policy("out", "web", Direction.EGRESS, 444))
    snapshot = replace(with_policies(*policies), endpoints=pods)
    cells = plan_narrowly(snapshot, pods, pods, EVERYBODY)
    assert ports(cells, "prod/web", "prod/db") == {5432, 5433, 444, 9999}
    assert ports(cells, "prod/api", "prod/db") == {5432, 5433, 9999}
    assert ports(cells, "prod/db", "prod/api") == {9999}
    assert ports(cells, "prod/db", "prod/web") == {8080, 9999}


@given(snapshots())
def test_no_pair_loses_a_verdict_that_the_whole_plan_would_show(snapshot):
    """For every pair, what differs between ports on the whole plan differs on the narrow one, too."""
    matrix = evaluate(snapshot)
    whole = plan_cells(snapshot.endpoints, snapshot.endpoints, choose_ports(snapshot))
    narrow = plan_narrowly(snapshot, snapshot.endpoints, snapshot.endpoints, EVERYBODY)

    def verdicts(cells):
        found: dict[tuple[object, ...], set[Verdict]] = {}
        for cell in cells:
            found.setdefault((cell.source, cell.destination, cell.family, cell.protocol), set()).add(
                matrix.verdict(*cell)
            )
        return found

    seen = verdicts(narrow)
    missing = {
        key: kinds - seen.get(key, set()) for key, kinds in verdicts(whole).items() if key[3] is not Protocol.SCTP
    }
    assert not any(missing.values())


def test_only_too_many_cells_are_narrowed_and_that_is_said(monkeypatch):
    policies = (policy("in", "db", Direction.INGRESS, 5433),)
    snapshot = with_policies(*policies)
    whole = plan(snapshot, AuditOptions())[1]
    assert whole.remark == ""
    monkeypatch.setattr(planning, "MOST_CELLS", len(whole.cells) - 1)
    narrow = plan(snapshot, AuditOptions())[1]
    assert len(narrow.cells) < len(whole.cells)
    assert f"{len(whole.cells):,} connections would be too many" in narrow.remark
    named = AuditOptions(ports=tuple(PortRequest(Protocol.TCP, number) for number in range(1, len(whole.cells))))
    assert plan(SHOP, named)[1].remark == ""


def test_declared_ports_are_probed_all_however_many_there_are(monkeypatch):
    declared = ContainerPort(Protocol.TCP, 8080)
    ends = tuple(pod(f"prod/{name}", f"10.244.0.{n}", declared) for n, name in enumerate(("web", "db", "api"), 2))
    snapshot = replace(with_policies(policy("in", "db", Direction.INGRESS, 5433)), endpoints=ends)
    options = AuditOptions(declared_only=True)
    _, whole = plan(snapshot, options)
    monkeypatch.setattr(planning, "MOST_CELLS", len(whole.cells) - 1)
    _, still = plan(snapshot, options)
    assert (still.cells, still.remark) == (whole.cells, "")
    assert {cell.port for cell in still.cells} == {8080}
    _, narrow = plan(snapshot, AuditOptions())
    assert narrow.remark
