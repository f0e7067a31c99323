from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from auditor.cluster.kubernetes.objects import RUN_LABEL, PodOptions
from auditor.cluster.kubernetes.preflight.capacity import Quota, quantity, shortages
from auditor.cluster.kubernetes.preflight.checks import PreflightOptions, preflight
from auditor.cluster.kubernetes.preflight.disruptions import (
    Budget,
    ScheduledPod,
    budget_in_the_way,
    publishing_service,
    repelled_by,
)
from auditor.cluster.kubernetes.preflight.permissions import PROBING, ResourceRule, Right, as_rules, missing_rights
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.labels import LabelSelector
from auditor.model.policy import NetworkPolicy, UnknownPolicy
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Namespace, Service, Snapshot
from tests.unit.kubernetes.store import Store

NAMESPACES = {name: Namespace.of(name, {"team": name}) for name in ("dev", "prod")}
PDBS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"


def probe(name="prod/web", node="", ports=(), **labels):
    return ProbePod(name, name.partition("/")[0], labels or {"app": "web"}, ports, node, ())


def world(*objects):
    namespaces = [("/api/v1/namespaces", {"metadata": {"name": name}}) for name in NAMESPACES]
    return Store(*namespaces, *objects)


def live(policies=(), services=()):
    return LiveSnapshot(Snapshot(NAMESPACES, (), tuple(policies), tuple(services)), ready_nodes=frozenset({"node-1"}))


async def look(store, *probes, snapshot=None, **options):
    return await preflight(store, snapshot or live(), probes or (probe(),), PreflightOptions(**options))


def budget(name="web", **spec):
    return {
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


def choosy(term, namespace="prod"):
    anti = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", **term}]}
    return {"metadata": {"name": "web-1", "namespace": namespace}, "spec": {"affinity": {"podAntiAffinity": anti}}}


def read(kind, value):
    return msgspec.convert(value, kind)


async def test_where_nothing_is_in_the_way_everything_can_be_created_and_nothing_is():
    store = world()
    before = dict(store.objects)
    found = await look(store, probe(node="node-1"), probe("dev/x"))
    assert (found.refused, found.obstacles, found.remarks) == ({}, (), ())
    assert found.users == {"dev": 65532, "prod": 65532}
    assert found.can_start([probe()])
    assert store.objects == before


async def test_where_nothing_that_is_audited_can_be_measured_there_is_no_run():
    nowhere, here = probe("prod/web", node="node-9"), probe("dev/x")
    found = await look(world(), nowhere, here, audited=("prod",), scope=frozenset({nowhere.name}))
    why = "node node-9 is not ready, or cordoned"
    assert found.obstacles == (f"no probe pod can be created for what is audited: {why}",)
    assert not found.can_start([nowhere, here])
    assert (
        await look(world(), nowhere, here, audited=("prod",), scope=frozenset({nowhere.name, here.name}))
    ).obstacles == ()


async def test_requests_grow_with_namespaces_only():
    counts = []
    for several in (1, 20):
        store = world()
        await look(store, *(probe(f"prod/{number}", app=str(number)) for number in range(several)))
        counts.append(store.calls)
    assert counts[0] == counts[1]


async def test_missing_rights_stop_an_audited_namespace_and_leave_others_out():
    store = world()
    store.denied = {("create", "pods", "prod"), ("get", "pods/exec", "prod"), ("create", "configmaps", "dev")}
    found = await look(store, probe(), probe("dev/x"), audited=("prod",), scope=frozenset({"prod/web"}))
    assert found.obstacles == (
        (
            'namespace prod: missing permission: {apiGroups: [""], resources: [pods], verbs: [create]}, '
            '{apiGroups: [""], resources: [pods/exec], verbs: [get]}; deploy/rbac.yaml has all that a run needs'
        ),
    )
    said = (
        'missing permission: {apiGroups: [""], resources: [configmaps], verbs: [create]}; deploy/rbac.yaml has all '
        "that a run needs"
    )
    assert found.refused["dev/x"] == f"namespace dev: {said}"
    assert not found.can_start([probe()])


@pytest.mark.parametrize("right", PROBING)
async def test_each_right_is_missed_where_it_is_missing(right):
    store = world()
    store.denied = {(right.verb, right.resource, "prod")}
    assert await missing_rights(store, ["prod", "dev"]) == {"prod": (right,)}


@pytest.mark.parametrize(
    ("rule", "gives"),
    [
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, True),
        ({"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"]}, True),
        ({"verbs": ["create"], "apiGroups": [""], "resources": ["*/exec"]}, True),
        ({"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}, False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/exec"]}, False),
        ({"verbs": ["create"], "apiGroups": ["apps"], "resources": ["pods/exec"]}, False),
        ({"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"], "resourceNames": ["one"]}, False),
    ],
)
def test_what_a_rule_gives(rule, gives):
    assert read(ResourceRule, rule).gives(Right("", "pods/exec", "create")) is gives


def test_rights_are_told_as_rules():
    rights = [Right("", "pods", "list"), Right("policy", "x", "list"), Right("", "pods", "create")]
    assert as_rules(rights) == (
        '{apiGroups: [""], resources: [pods], verbs: [create, list]}, {apiGroups: [policy], resources: [x], verbs: '
        "[list]}"
    )


@pytest.mark.parametrize(
    ("spec", "in_the_way"),
    [
        ({"maxUnavailable": 1}, True),
        ({"maxUnavailable": "10%"}, True),
        ({"minAvailable": "50%"}, True),
        ({"minAvailable": 1}, False),
        ({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}}, False),
        ({"maxUnavailable": 1, "selector": {}}, True),
        ({"maxUnavailable": 1, "selector": None}, False),
        (
            {
                "maxUnavailable": 1,
                "selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]},
            },
            True,
        ),
    ],
)
def test_budgets_that_could_not_be_computed(spec, in_the_way):
    budgets = [read(Budget, budget(**spec))]
    assert bool(budget_in_the_way(budgets, probe())) is in_the_way
    assert not budget_in_the_way(budgets, probe("dev/web"))


async def test_a_budget_is_accepted_when_that_is_said_and_a_harmless_one_remarked():
    store = world((PDBS.format("prod"), budget(maxUnavailable=1)), (PDBS.format("prod"), budget("min", minAvailable=1)))
    found = await look(store)
    assert found.refused["prod/web"].startswith("PodDisruptionBudget prod/web selects it and could not be computed")
    found = await look(store, accept=frozenset({"pdb"}))
    assert not found.refused
    assert found.remarks == ("PodDisruptionBudget prod/min counts probe pods among its expected pods during the run",)


@pytest.mark.parametrize(
    ("selector", "publishes", "selected"),
    [({"app": "web"}, True, True), ({"app": "web"}, False, False), ({"app": "db"}, True, False), (None, True, False)],
)
def test_services_that_would_send_traffic(selector, publishes, selected):
    service = Service("prod", "web", selector, (), publish_not_ready=publishes)
    assert bool(publishing_service([service], probe())) is selected
    assert not publishing_service([service], probe("dev/web"))


WEB = {"labelSelector": {"matchLabels": {"app": "web"}}}


@pytest.mark.parametrize(
    ("term", "owner", "repels"),
    [
        (WEB, "prod", True),
        (WEB, "dev", False),
        ({"labelSelector": {"matchLabels": {"app": "db"}}}, "prod", False),
        ({"labelSelector": None}, "prod", False),
        ({**WEB, "namespaces": ["prod", "dev"]}, "prod", True),
        ({**WEB, "namespaces": ["prod"]}, "dev", False),
        ({**WEB, "namespaces": ["dev"]}, "prod", False),
        ({**WEB, "namespaceSelector": {"matchLabels": {"team": "prod"}}}, "prod", True),
        ({**WEB, "namespaceSelector": {"matchLabels": {"team": "prod"}}}, "dev", False),
        ({**WEB, "namespaceSelector": {}}, "prod", True),
        ({**WEB, "namespaceSelector": {}}, "dev", False),
        ({**WEB, "namespaceSelector": {"matchLabels": {"team": "dev"}}}, "prod", False),
    ],
)
def test_pods_that_would_be_kept_off(term, owner, repels):
    assert bool(repelled_by([read(ScheduledPod, choosy(term, owner))], NAMESPACES, probe())) is repels


async def test_anti_affinity_is_read_from_the_cluster_and_can_be_accepted():
    store = world(("/api/v1/namespaces/prod/pods", choosy(WEB)))
    assert (
        (await look(store))
        .refused["prod/web"]
        .startswith("pod prod/web-1 requires that no pod with such labels runs beside it")
    )
    assert not (await look(store, accept=frozenset({"anti-affinity"}))).refused


async def test_spread_constraints_are_remarked_once_for_a_workload():
    spread = [{"whenUnsatisfiable": "DoNotSchedule", "topologyKey": "zone", **WEB}]
    labels = {"pod-template-hash": "6c9"}
    pods = [
        {
            "metadata": {"name": f"web-6c9-{number}", "namespace": "prod", "labels": labels},
            "spec": {"topologySpreadConstraints": spread},
        }
        for number in range(2)
    ]
    found = await look(world(*(("/api/v1/namespaces/prod/pods", pod) for pod in pods)))
    assert found.remarks == ("topologySpreadConstraints of prod/web count probe pods during the run",)


def quota(hard, used=None, **spec):
    return {
        "metadata": {"name": "small", "namespace": "prod"},
        "spec": spec,
        "status": {"hard": hard, "used": used or {}},
    }


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (quota({"pods": "3", "requests.cpu": "150m", "limits.memory": "288Mi"}), ()),
        (quota({"pods": "3"}, {"pods": "1"}), ("quota small leaves 2 of pods, 3 needed",)),
        (
            quota({"requests.cpu": "1"}, {"requests.cpu": "900m"}),
            ("quota small leaves 100m of requests.cpu, 150m needed",),
        ),
        (quota({"limits.memory": "100Mi"}), ("quota small leaves 100Mi of limits.memory, 288Mi needed",)),
        (quota({"services": "0"}), ()),
        (quota({"pods": "0"}, scopes=["BestEffort"]), ()),
        (quota({"pods": "0"}, scopes=["Terminating"]), ("quota small leaves 0 of pods, 3 needed",)),
        (quota({"pods": "0"}, scopeSelector={"matchExpressions": []}), ()),
    ],
)
def test_quotas_that_are_too_small(value, lines):
    quotas = [msgspec.json.decode(msgspec.json.encode(value), type=Quota)]
    assert shortages(quotas, 3, PodOptions(cpu="50m", memory="96Mi")) == lines


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", "0.25"), ("96Mi", 96 * 2**20), ("1e3", 1000), ("2", 2), ("1.5Gi", 1.5 * 2**30), ("3k", 3000)],
)
def test_quantities(text, value):
    assert quantity(text) == Decimal(value)


def test_no_quantity():
    with pytest.raises(ValueError, match="'soon' is not a valid quantity"):
        quantity("soon")


async def test_a_quota_stops_an_audited_namespace():
    store = world(("/api/v1/namespaces/prod/resourcequotas", quota({"pods": "0"})))
    found = await look(store)
    assert found.obstacles == (
        "namespace prod: quota small leaves 0 of pods, 1 needed: raise the quota, or audit less at a time",
    )


async def test_a_namespace_that_is_being_deleted_takes_no_pods():
    store = world()
    store.objects["/api/v1/namespaces/dev"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await look(store, probe("dev/x"), audited=("prod",))).refused == {
        "dev/x": "namespace dev: is being deleted, and takes no new pods"
    }


async def test_one_that_is_being_deleted_stops_a_run_only_where_nothing_else_is_audited():
    store = world()
    store.objects["/api/v1/namespaces/dev"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = await look(store, probe("dev/x"), probe())
    assert (found.obstacles, set(found.refused)) == ((), {"dev/x"})
    found = await look(store, probe("dev/x"), probe(), audited=("dev", "prod"))
    assert (found.obstacles, set(found.refused)) == ((), {"dev/x"})
    found = await look(store, probe("dev/x"), probe(), audited=("dev",), scope=frozenset({"dev/x"}))
    assert found.obstacles == ("namespace dev: is being deleted, and takes no new pods",)


async def test_nodes_that_are_not_ready_and_port_names_used_twice():
    ports = (ContainerPort(Protocol.TCP, 80, "http"), ContainerPort(Protocol.TCP, 81, "http"))
    found = await look(world(), probe("prod/a", node="node-2"), probe("prod/b", ports=ports))
    assert found.refused["prod/a"] == "node node-2 is not ready, or cordoned"
    assert "declares the port name http more than once" in found.refused["prod/b"]


async def test_a_policy_that_reads_our_label_stops_the_run():
    policy = NetworkPolicy("prod", "p", LabelSelector(((RUN_LABEL, "x"),)), frozenset())
    found = await look(world(), snapshot=live([policy]))
    assert found.obstacles[0].startswith(f"namespace prod: a policy in force there reads the label {RUN_LABEL}")
    assert found.withheld == {RUN_LABEL}
    found = await look(world(), probe(), probe("dev/x"), snapshot=live([policy]))
    assert (found.obstacles, set(found.refused)) == ((), {"prod/web"})


async def test_labels_that_an_unreadable_policy_selects_by_are_not_added_either():
    unknown = UnknownPolicy("prod", "odd", LabelSelector((("app.kubernetes.io/managed-by", "helm"),)), "can't be read")
    snapshot = live()
    found = await look(world(), snapshot=replace(snapshot, snapshot=replace(snapshot.snapshot, unknown=(unknown,))))
    assert found.withheld == {"app.kubernetes.io/managed-by"}


async def test_where_a_mesh_can_not_be_kept_out_no_probe_pod_is_created():
    """Istio's ambient mode adds no container that admission would show, and carries every connection to
    another port.
    """
    namespaces = {"prod": Namespace.of("prod", {"istio.io/dataplane-mode": "ambient"}), "dev": Namespace.of("dev")}
    reading = NetworkPolicy("prod", "p", LabelSelector((("istio.io/dataplane-mode", "x"),)), frozenset())
    pods = probe("prod/web"), probe("dev/web"), probe("dev/in", **{"istio.io/dataplane-mode": "ambient"})
    found = await look(world(), *pods, snapshot=LiveSnapshot(Snapshot(namespaces, (), (reading,))))
    assert set(found.refused) == {"prod/web", "dev/in"}
    assert (
        "the label istio.io/dataplane-mode, which would keep it out of the mesh, is one that policies read"
        in found.refused["prod/web"]
    )
    assert not (await look(world(), *pods[:2], snapshot=LiveSnapshot(Snapshot(namespaces, ())))).refused


async def test_openshift_chooses_the_user():
    store = world()
    store.objects["/api/v1/namespaces/prod"]["metadata"]["annotations"] = {"openshift.io/sa.scc.uid-range": "1000/10"}
    assert (await look(store)).users == {"prod": None}


def changed(**changes):
    def admit(pod):
        return {**pod, **{part: {**pod[part], **values} for part, values in changes.items()}}

    return admit


@pytest.mark.parametrize(
    ("admit", "words"),
    [
        (
            lambda _pod: (403, ("Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"')),
            "violates PodSecurity",
        ),
        (lambda _pod: (422, ("Invalid", "spec.x: not valid")), "spec.x: not valid"),
        (changed(spec={"initContainers": [{"name": "istio-init"}]}), "adds the container istio-init"),
        (changed(metadata={"labels": {"app": "other"}}), "changes its label app, app.kubernetes.io/managed-by, "),
        (changed(spec={"hostNetwork": True}), "on its node's network"),
        (
            changed(
                spec={
                    "readinessGates": [
                        {"conditionType": "netpol-audit/never"},
                        {"conditionType": "target-health.elbv2.k8s.aws/x"},
                    ]
                }
            ),
            "adds the readiness gate target-health.elbv2.k8s.aws/x",
        ),
        (changed(spec={"readinessGates": []}), "takes out the readiness gate that keeps traffic of Services away"),
    ],
)
async def test_what_admission_would_refuse_or_change(admit, words):
    store = world()
    store.admit = admit
    found = await look(store, probe(), probe("prod/again", app="api"))
    assert set(found.refused) == {"prod/web", "prod/again"}
    assert words.rstrip(",") in found.refused["prod/web"] or all(
        word in found.refused["prod/web"] for word in words.rstrip(",").split(", ")
    )


@pytest.mark.parametrize(
    ("admit", "words"),
    [
        (
            lambda _pod: (400, ("BadRequest", 'admission webhook "x" does not support dry run')),
            "admission could not be asked beforehand",
        ),
        (
            changed(spec={"priority": 1000, "preemptionPolicy": "PreemptLowerPriority"}),
            "gives probe pods priority 1000",
        ),
    ],
)
async def test_what_is_only_remarked_of_admission(admit, words):
    store = world()
    store.admit = admit
    found = await look(store)
    assert not found.refused
    assert words in found.remarks[0]


async def test_a_priority_that_displaces_nobody_needs_no_word():
    store = world()
    store.admit = changed(spec={"priority": 1000, "preemptionPolicy": "Never"})
    assert not (await look(store)).remarks


async def test_what_can_not_be_read_for_the_whole_cluster_is_read_by_namespace():
    store = world((PDBS.format("prod"), budget(maxUnavailable=1)))
    store.denied = {
        ("list", resource, "") for resource in ("poddisruptionbudgets", "namespaces", "pods", "resourcequotas")
    }
    store.denied |= {("list", "resourcequotas", "prod")}
    found = await look(store)
    assert "PodDisruptionBudget prod/web" in found.refused["prod/web"]
    assert found.remarks == ("resourcequotas could not be read: what they say was not taken into account",)


@pytest.mark.parametrize("reach", [{"namespaceSelector": {}}, {"namespaces": ["prod", "dev"]}])
async def test_anti_affinity_of_another_namespace_is_a_remark_and_no_refusal(reach):
    """Whoever may create pods in one namespace could keep all others from being audited."""
    anything = {"labelSelector": {}, **reach}
    store = world(
        *(
            ("/api/v1/namespaces/dev/pods", {**choosy(anything, "dev"), "metadata": pod_named(f"x-6c9-{n}")})
            for n in range(2)
        )
    )
    found = await look(store, probe(), probe("prod/api", app="api"), probe("dev/x"))
    assert set(found.refused) == {"dev/x"}
    (remark,) = found.remarks
    assert remark == (
        "pods of dev/x require that no pod with such labels runs beside them, in other namespaces either: they find "
        "no place beside the "
        "probe pods of prod/api and prod/web during the run, and these none beside them"
    )


def pod_named(name):
    return {"name": name, "namespace": "dev", "labels": {"pod-template-hash": "6c9"}}


async def test_what_one_of_several_audited_namespaces_lacks_costs_that_one():
    store = world(("/api/v1/namespaces/prod/resourcequotas", quota({"pods": "0"})))
    for audited in ((), ("dev", "prod")):
        found = await look(store, probe(), probe("dev/x"), audited=audited)
        said = "namespace prod: quota small leaves 0 of pods, 1 needed: raise the quota, or audit less at a time"
        assert (found.obstacles, found.refused) == ((), {"prod/web": said})
        assert found.left_out == (f"left out: {said}",)
        assert list(found.closed) == ["prod"]
    found = await look(store, probe(), probe("dev/x"), audited=("prod",), scope=frozenset({"prod/web"}))
    assert found.obstacles == (said,)
    store.denied = {("create", "pods", "dev")}
    found = await look(store, probe(), probe("dev/x"))
    assert len(found.obstacles) == 2


async def test_namespaces_that_lack_the_same_rights_are_left_out_in_one_line():
    store = Store(*(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in ("a", "b", "c")))
    store.denied = {("create", "pods", name) for name in "ab"}
    found = await look(store, *(probe(f"{name}/x") for name in "abc"))
    (line,) = found.left_out
    assert line.startswith("left out: namespaces a, b: missing permission: ")
    assert found.obstacles == ()


def held(namespace, duration=2**31 - 1):
    labels = {RUN_LABEL: "99999999"}
    lease = {
        "metadata": {"name": "netpol-audit", "namespace": namespace, "labels": labels},
        "spec": {"leaseDurationSeconds": duration},
    }
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease


async def test_a_namespace_that_somebody_holds_is_found_before_anything_is_created():
    store = world(held("dev"))
    found = await look(store, probe(), probe("dev/x"))
    assert found.refused["dev/x"].startswith("namespace dev: somebody has been auditing here")
    assert found.left_out[0].startswith("left out: namespace dev: somebody has been auditing here")
    found = await look(store, probe("dev/x"), audited=("dev",))
    assert found.obstacles[0].startswith("namespace dev: somebody has been auditing here")
    assert (await look(store, probe(), probe("dev/x"), audited=("prod",))).refused == {}
    store.pass_time(minutes=3)
    assert (await look(store, probe(), probe("dev/x"))).refused == {}


def node(name, pods="10", **spec):
    conditions = [{"type": "Ready", "status": "True"}]
    return "/api/v1/nodes", {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"allocatable": {"pods": pods}, "conditions": conditions},
    }


def placed(number, on="node-1", phase="Running"):
    item = {
        "metadata": {"name": f"p{number}", "namespace": "dev"},
        "spec": {"nodeName": on},
        "status": {"phase": phase},
    }
    return "/api/v1/namespaces/dev/pods", item


async def test_no_more_probe_pods_are_put_on_a_node_than_it_has_room_for():
    tainted = [{"key": "x", "effect": "NoSchedule"}]
    store = world(
        node("node-1", taints=tainted), *(placed(number) for number in range(6)), placed(6, phase="Succeeded")
    )
    probes = [probe(f"prod/{letter}", node="node-1", app=letter) for letter in "abcd"]
    found = await look(store, *probes, scope=frozenset({"prod/c", "prod/d"}))
    said = "node node-1 has room for 2 more pods, and 4 were to go there"
    assert found.refused == dict.fromkeys(["prod/a", "prod/b"], said)


async def test_those_without_a_node_share_what_room_the_others_leave():
    store = world(node("node-1", pods="4"), node("node-2", pods="3"), node("full", pods="1"))
    pinned, free = probe("prod/a", node="node-1"), [probe(f"prod/{letter}", app=letter) for letter in "bcd"]
    found = await look(store, pinned, *free)
    assert found.refused == {
        "prod/d": "the nodes have room for 2 more pods without a place of their own, and 3 were to go there"
    }
    store.denied = {("list", "nodes", "")}
    assert (await look(store, pinned, *free)).refused == {}


async def test_services_of_its_own_take_a_right_and_room_in_quotas_that_a_plain_run_does_not_ask_for():
    quota = {
        "metadata": {"name": "small", "namespace": "prod"},
        "status": {"hard": {"services": "3", "services.nodeports": "4", "pods": "9"}, "used": {"services": "2"}},
    }
    store = world(("/api/v1/namespaces/prod/resourcequotas", quota))
    store.denied = {("create", "services", "prod")}
    plain = await look(store)
    assert (plain.obstacles, plain.remarks) == ((), ())
    found = await look(store, services=True)
    assert '{apiGroups: [""], resources: [services], verbs: [create]}' in found.obstacles[0]
    said = "namespace prod: quota small leaves {} of {}, {} needed: Services that find no room are left out"
    assert [remark for remark in found.remarks if "quota" in remark] == [
        said.format(1, "services", 4),
        said.format(4, "services.nodeports", 6),
    ]
