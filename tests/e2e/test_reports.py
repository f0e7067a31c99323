"""``audit run --reports`` on a real API server: what it takes and gives back, with the kinds that are installed and the
rights that are shipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from auditor.cli.reports import write_reports
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.model.report import Report
from auditor.model.report_scope import WHOLE_CLUSTER, ReportScope
from auditor.model.verdict import Result
from tests.e2e import world
from tests.e2e.auditing import audit, run_arguments
from tests.e2e.kubectl import Kubectl, Object
from tests.e2e.test_rights import Grant, grants, role_and_binding
from tests.unit.history.nights import pod, run_of, tried

NAME = "e2e"


class Kinds(NamedTuple):
    """The kinds of one API, as kubectl names them."""

    group: str
    here: str
    whole: str


OPENREPORTS = Kinds("openreports.io", "reports.openreports.io", "clusterreports.openreports.io")
ELDER = Kinds("wgpolicyk8s.io", "policyreports.wgpolicyk8s.io", "clusterpolicyreports.wgpolicyk8s.io")
RIGHTS = [
    grant
    for role in ("netpol-audit-reports", "netpol-audit-cluster-reports")
    for grant in grants(role)
    if grant.group == OPENREPORTS.group
]


@pytest.fixture
def crds(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--e2e-report-crds")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs --e2e-report-crds DIR; tests/e2e/cluster/report-crds gets them")
    return Path(folder)


def install(kubectl: Kubectl, crds: Path, kinds: Kinds) -> Iterator[Kinds]:
    folder = crds / kinds.group
    kubectl.run("apply", "--server-side", "-f", str(folder))
    kubectl.run("wait", "--for=condition=Established", "--timeout=60s", "crd", kinds.here, kinds.whole)
    yield kinds
    kubectl.run("delete", "--ignore-not-found", "--timeout=60s", "-f", str(folder))


@pytest.fixture
def openreports(kubectl: Kubectl, crds: Path) -> Iterator[Kinds]:
    """OpenReports' own kinds, installed for a test."""
    yield from install(kubectl, crds, OPENREPORTS)


@pytest.fixture
def elder(kubectl: Kubectl, crds: Path) -> Iterator[Kinds]:
    """The Policy WG's kinds alone, installed for a test."""
    yield from install(kubectl, crds, ELDER)


def kept(kubectl: Kubectl, kinds: Kinds) -> dict[str, Object]:
    """All report objects, by namespace; that of the whole run is at ""."""
    items = [*kubectl.items(kinds.here, "-A"), *kubectl.items(kinds.whole)]
    found = {item["metadata"].get("namespace", ""): item for item in items}
    assert len(found) == len(items)
    assert {item["metadata"]["name"] for item in items} <= {NAME}
    return found


def by_hand(
    kubectl: Kubectl,
    report: Report,
    capsys: pytest.CaptureFixture[str],
    impersonate: str | None = None,
    scope: ReportScope = WHOLE_CLUSTER,
) -> str:
    """Write ``report`` without an audit; what was said of it."""
    connection = ConnectionOptions(kubeconfig=kubectl.kubeconfig, impersonate=impersonate)
    write_reports(report, NAME, connection, (), scope)
    return capsys.readouterr().err


def leaky(number: int = 1) -> Report:
    source = pod(f"{world.PROD}/web")
    others = [pod(f"{world.PROD}/db-{each}") for each in range(number)]
    return run_of([source, *others], [tried(source, other, Result.LEAK) for other in others])


def a_night(kubectl: Kubectl, image: str, kinds: Kinds, capsys: pytest.CaptureFixture[str]) -> None:
    """A night whose objects take the place of older ones."""
    assert by_hand(kubectl, leaky(), capsys) == ""
    before = kept(kubectl, kinds)
    assert before.keys() == {"", world.PROD}
    done = audit(kubectl, *run_arguments(image, "--reports", NAME, "--settle", "1"))
    assert done.stderr == ""
    report = json.loads(done.stdout)
    found = kept(kubectl, kinds)
    assert {each["metadata"]["annotations"]["netpol-audit/run"] for each in found.values()} == {report["run"]}
    assert {name: found[name]["metadata"]["uid"] for name in before} == {
        name: each["metadata"]["uid"] for name, each in before.items()
    }
    counted = report["summary"]
    assert found[""]["summary"]["fail"] == counted["leaks"] + counted["outages"] + counted["unstable"]
    assert sum(found[""]["summary"].values()) == counted["cells"]
    for each in found.values():
        told = [one["result"] for one in each["results"] if one["policy"] in ("leak", "outage", "unstable")]
        assert bool(told) == bool(each["summary"]["fail"])


def test_each_night_takes_the_place_of_the_one_before(plain, openreports, kubectl, image, capsys):
    a_night(kubectl, image, openreports, capsys)


def test_where_only_the_elder_kinds_are_installed_these_are_written(plain, elder, kubectl, image, capsys):
    a_night(kubectl, image, elder, capsys)


def test_without_such_kinds_a_run_comes_to_what_it_would(plain, kubectl, image):
    done = audit(kubectl, *run_arguments(image, "--reports", NAME, "--settle", "1"))
    assert done.returncode == 1
    assert json.loads(done.stdout)["conclusion"] == "fail"
    (line,) = done.stderr.splitlines()
    assert "has no report objects: install the CustomResourceDefinitions" in line


def test_very_many_results_fit_and_a_run_of_a_part_leaves_them_alone(shop, openreports, kubectl, capsys):
    assert by_hand(kubectl, leaky(3000), capsys) == ""
    part = ReportScope.of({"to": (f"{world.PROD}/web",)}, {})
    assert f"looked at more than this one (with --to {world.PROD}/web)" in by_hand(kubectl, leaky(), capsys, scope=part)
    found = kept(kubectl, openreports)[world.PROD]
    assert (len(found["results"]), found["summary"]["fail"]) == (1000, 3000)
    assert found["results"][-1]["message"].startswith("and 2,001 more")


def test_the_shipped_rights_are_enough_and_each_is_needed(shop, openreports, kubectl, capsys):
    users = {"e2e-reports": RIGHTS}
    users |= {f"e2e-reports-{number}": [*RIGHTS[:number], *RIGHTS[number + 1 :]] for number in range(len(RIGHTS))}
    kubectl.apply([item for name, having in users.items() for item in role_and_binding(name, having)])
    try:
        for _ in range(2):
            assert by_hand(kubectl, leaky(), capsys, "e2e-reports") == ""
        for number, missing in sorted(enumerate(RIGHTS), key=lambda each: each[1].verb == "create"):
            said = said_without(kubectl, missing, f"e2e-reports-{number}", capsys)
            assert f"grant it the verb {missing.verb} on {missing.resource}.{missing.group}" in said
            assert said.endswith("1 of 2 report objects not written\n")
    finally:
        for kind in ("clusterrolebindings", "clusterroles"):
            kubectl.run("delete", kind, "-l", "e2e=rights")


def said_without(kubectl: Kubectl, missing: Grant, user: str, capsys: pytest.CaptureFixture[str]) -> str:
    if missing.verb == "create":
        kubectl.run("delete", OPENREPORTS.here, "-n", world.PROD, "--all")
        kubectl.run("delete", OPENREPORTS.whole, "--all")
    return by_hand(kubectl, leaky(), capsys, user)
