"""A live cluster with a PodDisruptionBudget that keeps the only pod of a policy from being stood in for, as production
clusters have.
"""

from __future__ import annotations

import asyncio
import copy

import pytest

from auditor.cli.exit_codes import of_report
from auditor.cluster.kubernetes import live as cluster_module
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.live import LiveCluster
from auditor.model.errors import UsageError
from auditor.model.ports import PortRequest, Protocol
from auditor.probing.options import NoProgress
from auditor.report.headline import headline
from auditor.run import live
from auditor.run.planning import AuditOptions
from tests.unit.kubernetes.living import LivingStore, namespace, policy
from tests.unit.kubernetes.objects import node, pod
from tests.unit.probing.world import SWIFT, TIMEOUT, TOKEN, World

PDBS = "/apis/policy/v1/namespaces/prod/poddisruptionbudgets"
BUDGET = (
    PDBS,
    {
        "metadata": {"name": "db", "namespace": "prod"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}},
    },
)


class Unused:
    """An exec stream that nobody asked for."""

    async def close(self):
        pass


def store_of(*objects):
    """prod has web, api and db, and a policy that lets nobody in to db."""
    pods = [("prod", "db", "10.1.0.2"), ("prod", "web", "10.1.0.3"), ("prod", "api", "10.1.0.4")]
    ready = node("node-1", "192.0.2.1")
    ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    running = [
        (f"/api/v1/namespaces/{where}/pods", pod(where, f"{app}-1", address, app=app)) for where, app, address in pods
    ]
    for _, item in running:
        del item["spec"]["containers"][0]["ports"]
    return LivingStore(namespace("prod"), ("/api/v1/nodes", ready), *running, *map(copy.deepcopy, objects))


@pytest.fixture
def audited(monkeypatch):
    """Audits prod in a store as its policies say, by way of fake agents."""

    async def audit(store, denied=("prod/db-1",), **said):
        async def connect(_options):
            return None

        async def open_exec(*_):
            await asyncio.sleep(0)
            return Unused()

        world = World(answer=lambda source, to, *_: TIMEOUT if source != to in denied else TOKEN)

        async def open_agent(cluster, site):
            world.sites = cluster.sites
            return await world.open(site)

        monkeypatch.setattr(live, "connect", connect)
        monkeypatch.setattr(live, "ApiServer", lambda _connection: store)
        monkeypatch.setattr(cluster_module, "open_exec", open_exec)
        monkeypatch.setattr(LiveCluster, "open", open_agent)
        options = AuditOptions(ports=(PortRequest(Protocol.TCP, number=80),), probing=SWIFT, **said)
        return await live.audit_live(
            live.LiveOptions(ConnectionOptions(), ("prod",)), options, "prod", str, NoProgress()
        )

    return audit


async def test_without_the_budget_it_is_a_pass(audited):
    report = await audited(store_of(policy("db-only")))
    assert (of_report(report), report.policies.tested) == (0, 1), headline(report)


async def test_a_whole_plan_is_measured_by_what_it_notices_and_passes_with_every_connection_tested(audited):
    report = await audited(store_of(policy("db-only")), min_coverage=1.0)
    assert 0 < report.noticing.noticed < report.noticing.ways
    assert (report.summary.coverage, of_report(report)) == (1.0, 0), headline(report)


async def test_with_it_nothing_tells_of_the_policy_and_the_first_line_says_so(audited):
    report = await audited(store_of(policy("db-only"), policy("web-only", app="web"), BUDGET), denied=("prod/web-1",))
    assert of_report(report) == 3
    told = headline(report)
    assert told.startswith(
        "nothing shows whether 1 of 2 policies is enforced: prod/db-only (ingress): none of its pods was probed: "
        "prod/db-1: "
    )
    assert "PodDisruptionBudget" in told
    assert "--accept pdb" in told
    assert report.summary.faults == report.summary.inconclusive == 0


async def test_accepted_by_name_it_is_a_pass(audited):
    report = await audited(store_of(policy("db-only"), BUDGET), accept_untested=frozenset({"prod/db-only"}))
    assert of_report(report) == 0
    assert headline(report).endswith("were not tested; 1 policy accepted as untested: prod/db-only")


async def test_a_name_that_no_policy_has_is_refused_before_anything_is_created(audited):
    store = store_of(policy("db-only"), BUDGET)
    with pytest.raises(UsageError, match="--accept-untested prod/other: no policy has this name"):
        await audited(store, accept_untested=frozenset({"prod/other"}))
    assert [request for request in store.requests if request[0] == "POST"] == []
