from __future__ import annotations

import copy
import json

import msgspec
import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from auditor.cluster.kubernetes.client.api_types import PodRecord, ServiceRecord
from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer, ForbiddenError
from auditor.cluster.kubernetes.policies import read_live_policy
from auditor.cluster.kubernetes.reading import manifest_text, read_cluster
from auditor.model.errors import ClusterError, UsageError
from auditor.model.labels import LabelSelector
from auditor.parsing.documents import Document
from auditor.parsing.fields import Fields
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.pods import read_pod
from auditor.parsing.services import read_service
from auditor.parsing.source import Source
from auditor.policy.doubt import may_select
from auditor.policy.evaluator import evaluate
from auditor.report.expected_as_json import expected_json
from tests.unit.kubernetes.fake_api import refused, silence
from tests.unit.kubernetes.objects import OBJECTS, manifests, namespace, pod, policy

PODS = "/api/v1/pods"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"


async def take(api, tmp_path, *namespaces, page=500, **options):
    connection = await connect(ConnectionOptions(kubeconfig=api.kubeconfig(tmp_path), qps=10_000, **options))
    async with ApiServer(connection, first_pause=0.01) as server:
        return await read_cluster(server, namespaces, page=page)


def from_files(text):
    return read_snapshot([Source("f.json", text.encode())])


async def test_a_live_snapshot_equals_that_of_what_kubectl_shows(api, tmp_path):
    live = await take(api, tmp_path)
    assert live.snapshot == from_files(yaml.safe_dump(manifests(OBJECTS)))
    assert live.snapshot.ignored == {"Pod (finished)": 1, "Service (ExternalName)": 1}
    assert len(live.snapshot.endpoints) == 7
    assert live.unreadable == ()
    assert live.notes == ()


async def test_a_saved_snapshot_gives_the_same_snapshot_and_matrix(api, tmp_path):
    live = await take(api, tmp_path)
    again = from_files(manifest_text(live.manifests))
    assert again == live.snapshot
    sides = ({endpoint.name for endpoint in again.endpoints},) * 2
    matrices = [
        list(expected_json(evaluate(snapshot), *sides, ports=(), expand=True)) for snapshot in (again, live.snapshot)
    ]
    assert matrices[0] == matrices[1]
    assert '"denied"' in "".join(matrices[0])


async def test_nothing_but_what_matters_is_saved(api, tmp_path):
    text = manifest_text((await take(api, tmp_path)).manifests)
    assert not [
        word for word in ("hunter2", "managedFields", "annotations", "image", "env", "uid", "Hostname") if word in text
    ]
    assert not [path for path in api.paths() if "secrets" in path or "configmaps" in path]


async def test_the_same_objects_in_any_order_give_the_same_text(api, tmp_path):
    first = manifest_text((await take(api, tmp_path)).manifests)
    for items in api.objects.values():
        items.reverse()
    assert manifest_text((await take(api, tmp_path)).manifests) == first


@pytest.mark.parametrize("page", [1, 2, 4, 500])
async def test_pages_make_one_list(api, tmp_path, page):
    live = await take(api, tmp_path, page=page)
    assert live.snapshot == from_files(json.dumps(manifests(OBJECTS)))
    assert api.paths().count(PODS) == -(-6 // page)


async def test_an_expired_list_is_begun_anew(api, tmp_path):
    api.faults[PODS] = [None, refused(410, "The provided continue parameter is too old")]
    live = await take(api, tmp_path, page=2)
    assert live.snapshot == from_files(json.dumps(manifests(OBJECTS)))
    assert [query.get("continue") for path, query, _ in api.requests if path == PODS] == [None, "2", None, "2", "4"]


async def test_a_list_that_always_expires_ends(api, tmp_path):
    api.faults[PODS] = [refused(410)] * 50
    with pytest.raises(ClusterError, match=r"list pods in all namespaces \(410\)"):
        await take(api, tmp_path)
    assert api.paths().count(PODS) == 4


async def test_resource_versions_are_kept(api, tmp_path):
    versions = (await take(api, tmp_path)).resource_versions
    assert versions == dict.fromkeys(OBJECTS, "42")


async def test_namespaces_limit_what_is_read(api, tmp_path):
    live = await take(api, tmp_path, "prod")
    assert set(live.snapshot.namespaces) == {"prod"}
    assert [item.full_name for item in live.snapshot.policies] == ["prod/db"]
    assert PODS not in api.paths()
    assert "/api/v1/namespaces" not in api.paths()


async def test_an_unknown_namespace_is_wrong_usage(api, tmp_path):
    with pytest.raises(UsageError, match="there is no namespace 'prd'"):
        await take(api, tmp_path, "prd")


async def test_an_unreadable_policy_stops_nothing(api, tmp_path):
    odd = policy(
        "prod", "odd", {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"serviceAccounts": {}}]}]}
    )
    worse = policy("prod", "worse", {"podSelector": {"matchFields": []}})
    api.objects[POLICIES] += [odd, worse]
    live = await take(api, tmp_path)
    assert [item.full_name for item in live.snapshot.policies] == ["dev/deny", "prod/db"]
    assert [(item.full_name, item.pod_selector) for item in live.unreadable] == [
        ("prod/odd", LabelSelector((("app", "db"),))),
        ("prod/worse", None),
    ]
    (problem,) = live.unreadable[0].problems
    assert str(problem).startswith(
        "NetworkPolicy prod/odd: spec.ingress[0].from[0].serviceAccounts: unknown field 'serviceAccounts'"
    )
    saved = json.loads(manifest_text(live.manifests))["items"]
    assert [item["spec"] for item in saved if item["metadata"]["name"] == "odd"] == [odd["spec"]]


@pytest.mark.parametrize("item", [{}, {"metadata": None}, {"metadata": {"name": "p", "namespace": "n"}, "spec": []}])
def test_a_policy_without_shape_is_unreadable_and_selects_nobody_knows_what(item):
    assert read_live_policy(item).pod_selector is None


async def test_foreign_policies_are_counted(api, tmp_path):
    api.groups.update({
        "cilium.io": ("v2", ["ciliumnetworkpolicies", "ciliumendpoints"]),
        "crd.projectcalico.org": ("v1", ["networkpolicies", "globalnetworkpolicies"]),
        "projectcalico.org": ("v3", ["networkpolicies"]),
        "networking.k8s.aws": ("v1alpha1", ["clusternetworkpolicies", "applicationnetworkpolicies"]),
        "apps": ("v1", ["deployments"]),
    })  # fmt: skip
    api.objects |= {
        "/apis/cilium.io/v2/ciliumnetworkpolicies": [policy("prod", name, {}) for name in "abc"],
        "/apis/crd.projectcalico.org/v1/networkpolicies": [policy("prod", "a", {})],
        "/apis/crd.projectcalico.org/v1/globalnetworkpolicies": [],
        "/apis/networking.k8s.aws/v1alpha1/applicationnetworkpolicies": [policy("prod", "names", {"podSelector": {}})],
    }
    api.faults["/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies"] = [refused(403)]
    live = await take(api, tmp_path)
    assert live.other_kinds == {
        "CiliumNetworkPolicy": 3,
        "NetworkPolicy (crd.projectcalico.org/v1)": 1,
        "ApplicationNetworkPolicy": 1,
    }
    assert live.snapshot.ignored == {**live.other_kinds, "Pod (finished)": 1, "Service (ExternalName)": 1}
    assert [note.partition(":")[0] for note in live.notes] == ["ClusterNetworkPolicy can't be counted"]


async def test_what_foreign_policies_are_for_is_in_doubt(api, tmp_path):
    api.groups["cilium.io"] = ("v2", ["ciliumnetworkpolicies"])
    spec = {"endpointSelector": {"matchLabels": {"app": "api"}}}
    api.objects["/apis/cilium.io/v2/ciliumnetworkpolicies"] = [policy("prod", "own", spec)]
    snapshot = (await take(api, tmp_path)).snapshot
    (unknown,) = snapshot.unknown
    assert (unknown.full_name, unknown.why) == ("CiliumNetworkPolicy prod/own", "is not evaluated")
    assert {end.name for end in snapshot.endpoints if may_select(unknown, end)} == {"prod/api"}


async def test_a_refusal_names_verb_and_resource(api, tmp_path):
    said = 'networkpolicies.networking.k8s.io is forbidden: User "eve" cannot list resource'
    api.faults[POLICIES] = [refused(403, said)]
    with pytest.raises(ForbiddenError) as caught:
        await take(api, tmp_path)
    text = str(caught.value)
    assert "may not list networkpolicies.networking.k8s.io in all namespaces (403)" in text
    assert "grant it the verb list on networkpolicies.networking.k8s.io" in text
    assert said in text
    assert "\n" not in text
    assert api.paths().count(POLICIES) == 1


async def test_a_server_that_is_none_of_kubernetes_is_said_to_be_one(api, tmp_path):
    del api.objects["/api/v1/nodes"]
    with pytest.raises(
        ClusterError, match=r"can't list nodes \(404\): .*: check that the context names a Kubernetes API server"
    ):
        await take(api, tmp_path)


async def test_who_is_not_known_is_told_to_log_in(api, tmp_path):
    api.faults["/api/v1/namespaces"] = [refused(401, "Unauthorized")]
    with pytest.raises(ClusterError, match=r"doesn't accept the credentials \(401\): log in again"):
        await take(api, tmp_path)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_server_that_says_later_is_asked_again(api, tmp_path, code):
    api.faults[PODS] = [refused(code, headers={"Retry-After": "0"})] * 3
    assert (await take(api, tmp_path)).snapshot == from_files(json.dumps(manifests(OBJECTS)))
    assert api.paths().count(PODS) == 4


async def test_a_server_that_always_says_later_is_given_up(api, tmp_path):
    api.faults[PODS] = [refused(500, "etcdserver: leader changed")] * 50
    with pytest.raises(
        ClusterError, match="answered 500, 4 times, asked to list pods in all namespaces: etcdserver: leader changed"
    ):
        await take(api, tmp_path)
    assert api.paths().count(PODS) == 4


async def test_pauses_grow_and_last_as_long_as_the_server_asks_within_bounds(api, tmp_path, monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    api.faults[PODS] = [refused(503), refused(503), refused(429, headers={"Retry-After": "3600"})]
    monkeypatch.setattr("auditor.cluster.kubernetes.client.server.asyncio.sleep", sleep)
    await take(api, tmp_path)
    assert [pause for pause in pauses if pause >= 0.01] == [0.01, 0.02, 8.0]


async def test_a_broken_connection_is_tried_again(api, tmp_path):
    async def broken(request):
        request.transport.close()
        return web.Response()

    api.faults[PODS] = [broken, broken]
    assert (await take(api, tmp_path)).snapshot == from_files(json.dumps(manifests(OBJECTS)))
    assert api.paths().count(PODS) == 3


async def test_silence_ends_at_the_request_timeout(api, tmp_path):
    api.faults[PODS] = [silence]
    with pytest.raises(
        ClusterError, match=r"no whole answer within 0.2 s, asked to list pods in all namespaces: try a longer"
    ):
        await take(api, tmp_path, request_timeout=0.2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b"[]",
        b'{"items": []}',
        b'{"metadata": {}, "items": 3}',
        b'{"metadata": {}}',
        b'{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}',
        b"\xff",
    ],
)
async def test_garbage_is_no_answer(api, tmp_path, body):
    api.faults[PODS] = [web.Response(body=body)]
    with pytest.raises(ClusterError, match="gave an answer that is not Kubernetes', asked to list pods"):
        await take(api, tmp_path)


async def test_an_object_that_makes_no_sense_is_named(api, tmp_path):
    api.objects[PODS].append(pod("prod", "bad", "10.0.0"))
    with pytest.raises(ClusterError, match=r"Pod prod/bad can't be read: '10.0.0' does not appear to be"):
        await take(api, tmp_path)


async def test_pages_that_never_end_do(api, tmp_path):
    page = {"metadata": {"continue": "same"}, "items": []}
    api.faults[PODS] = [web.json_response(page) for _ in range(50)]
    with pytest.raises(ClusterError, match="the same page again and again"):
        await take(api, tmp_path)
    assert api.paths().count(PODS) == 2


async def test_the_token_and_the_impersonated_user_go_with_every_request(api, tmp_path):
    await take(api, tmp_path, impersonate="eve")
    assert {headers["Authorization"] for _, _, headers in api.requests} == {"Bearer secret-token"}
    assert {headers["Impersonate-User"] for _, _, headers in api.requests} == {"eve"}


def test_two_thousand_pods_are_no_matter():
    bodies = [
        json.dumps(pod("prod", f"p{number}", f"10.0.{number // 250}.{number % 250}", app="a")) for number in range(2000)
    ]
    values = [msgspec.json.decode(body, type=PodRecord).value() for body in bodies]
    assert len({value.endpoint.addresses for value in values}) == 2000


def fields(value):
    return Fields(Document("f", value, lambda _: 0), [], (), value)


PROTOCOLS = st.sampled_from(["TCP", "UDP", "SCTP"])
PORT_NAMES = st.sampled_from(["http", "dns"])
PORT = st.fixed_dictionaries(
    {"containerPort": st.integers(1, 65535)}, optional={"name": PORT_NAMES, "protocol": PROTOCOLS}
)
RESTARTS = st.sampled_from(["Always", "Never"])
CONTAINER = st.fixed_dictionaries(
    {"name": st.just("c")}, optional={"ports": st.lists(PORT, max_size=3), "restartPolicy": RESTARTS}
)
CONTAINERS = st.lists(CONTAINER, max_size=3)
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "::ffff:10.0.0.3"])
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["", "a", "b"]))
OWNER_KINDS = st.sampled_from(["ReplicaSet", "Job"])
OWNER = st.fixed_dictionaries({"kind": OWNER_KINDS, "name": st.just("o")}, optional={"controller": st.booleans()})
PLACE = {"name": st.just("p"), "namespace": st.just("n")}
POD_OBJECTS = st.fixed_dictionaries({
    "metadata": st.fixed_dictionaries(
        PLACE, optional={"labels": LABELS, "ownerReferences": st.lists(OWNER, max_size=2)}
    ),
    "spec": st.fixed_dictionaries(
        {"containers": CONTAINERS},
        optional={"initContainers": CONTAINERS, "nodeName": st.just("node-1"), "hostNetwork": st.booleans()},
    ),
    "status": st.fixed_dictionaries({}, optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
        "podIP": ADDRESSES,
        "podIPs": st.lists(st.fixed_dictionaries({"ip": ADDRESSES}), max_size=3),
    }),
})  # fmt: skip
SERVICE_OBJECTS = st.fixed_dictionaries({
    "metadata": st.just({"name": "s", "namespace": "n"}),
    "spec": st.fixed_dictionaries({}, optional={
        "selector": LABELS,
        "ports": st.lists(st.fixed_dictionaries(
            {"port": st.integers(1, 65535)},
            optional={
                "name": st.just("x"), "protocol": PROTOCOLS,
                "targetPort": st.one_of(st.integers(0, 65535), st.just("http")), "nodePort": st.integers(30000, 32767),
            },
        ), max_size=2),
        "clusterIP": st.sampled_from(["None", "", "10.96.0.1"]),
        "clusterIPs": st.lists(st.sampled_from(["None", "10.96.0.1", "fd00::9"]), max_size=2),
        "publishNotReadyAddresses": st.booleans(),
        "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        "externalTrafficPolicy": st.sampled_from(["Cluster", "Local"]),
        "internalTrafficPolicy": st.sampled_from(["Cluster", "Local"]),
        "externalIPs": st.lists(st.just("203.0.113.9"), max_size=2),
        "loadBalancerIP": st.just("203.0.113.8"),
        "loadBalancerSourceRanges": st.lists(st.sampled_from(["198.51.100.0/24", "nonsense"]), max_size=2),
    }),
    "status": st.fixed_dictionaries({}, optional={"loadBalancer": st.fixed_dictionaries({}, optional={
        "ingress": st.lists(st.sampled_from([{"ip": "203.0.113.7"}, {"hostname": "a.example"}]), max_size=2),
    })}),
})  # fmt: skip


@given(POD_OBJECTS)
def test_every_pod_means_what_it_means_in_a_file(value):
    assert msgspec.json.decode(json.dumps(value), type=PodRecord).value() == read_pod(fields(value), "n", "p")


@given(POD_OBJECTS)
def test_every_pod_is_saved_without_loss(value):
    record = msgspec.json.decode(json.dumps(value), type=PodRecord)
    assert msgspec.json.decode(msgspec.json.encode(record), type=PodRecord) == record


@given(SERVICE_OBJECTS)
def test_every_service_means_what_it_means_in_a_file(value):
    assert msgspec.json.decode(json.dumps(value), type=ServiceRecord).value() == read_service(fields(value), "n", "s")


async def test_a_namespace_label_that_the_server_keeps_is_kept(api, tmp_path):
    api.objects["/api/v1/namespaces"] = copy.deepcopy([namespace("prod", team="a"), namespace("dev")])
    assert (await take(api, tmp_path)).snapshot.namespaces["prod"].labels == {
        "team": "a",
        "kubernetes.io/metadata.name": "prod",
    }


def reviewing(*denied):
    """An answer to access reviews: all is granted but (verb, resource, namespace) of ``denied``."""

    async def review(request):
        asked = (await request.json())["spec"]["resourceAttributes"]
        may = (asked["verb"], asked["resource"], asked["namespace"]) not in denied
        return web.json_response({"status": {"allowed": may}}, status=201)

    return review


REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def test_all_rights_that_are_missing_are_told_at_once(api, tmp_path):
    api.faults["/api/v1/nodes"] = [
        refused(403, 'nodes is forbidden: User "u" cannot list resource "nodes" in API group ""')
    ]
    api.faults[REVIEWS] = [reviewing(("list", "nodes", ""), ("list", "networkpolicies", ""))] * 50
    with pytest.raises(ForbiddenError) as caught:
        await take(api, tmp_path)
    text = str(caught.value)
    assert 'User "u" cannot list' in text
    assert '{apiGroups: [""], resources: [nodes], verbs: [list]}, ' in text
    assert "{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list]}" in text
    assert "pods" not in text
    assert text.endswith("deploy/rbac.yaml grants all that an audit reads")
    assert "\n" not in text


async def test_where_rights_can_not_be_asked_for_the_one_that_was_missed_is_told(api, tmp_path):
    api.faults["/api/v1/nodes"] = [
        refused(403, 'nodes is forbidden: User "u" cannot list resource "nodes" in API group ""')
    ]
    with pytest.raises(
        ForbiddenError, match=r"may not list nodes \(403\): .*; deploy/rbac.yaml grants all that an audit reads"
    ):
        await take(api, tmp_path)


async def test_rights_in_one_namespace_are_asked_for_there(api, tmp_path):
    api.faults["/api/v1/namespaces/prod/pods"] = [refused(403, 'User "u" cannot list resource "pods" in API group ""')]
    api.faults[REVIEWS] = [reviewing(("list", "pods", "prod"), ("list", "services", "prod"), ("list", "pods", ""))] * 50
    with pytest.raises(
        ForbiddenError,
        match=r"resources: \[pods\], verbs: \[list\]\}, .*resources: \[services\], verbs: \[list\]\} in prod",
    ):
        await take(api, tmp_path, "prod")


async def test_a_namespace_made_while_the_rest_is_read_has_its_labels(api, tmp_path):
    async def appears(request):
        api.objects["/api/v1/namespaces"].append(namespace("late", team="late"))
        api.objects[PODS].append(pod("late", "web", "10.0.9.9", app="web"))
        return api._list(request)

    api.faults[PODS] = [appears]
    live = await take(api, tmp_path)
    assert live.snapshot.endpoint("late/web").namespace == "late"
    assert live.snapshot.namespaces["late"].labels["team"] == "late"


async def test_nodes_that_take_no_probe_pods(api, tmp_path):
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [
        {"metadata": {"name": "linux", "labels": {"kubernetes.io/os": "linux"}}, "status": ready},
        {"metadata": {"name": "unknown"}, "status": ready},
        {"metadata": {"name": "windows", "labels": {"kubernetes.io/os": "windows"}}, "status": ready},
        {"metadata": {"name": "cordoned"}, "spec": {"unschedulable": True}, "status": ready},
        {"metadata": {"name": "down"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
    ]
    api.objects["/api/v1/nodes"] = nodes
    assert (await take(api, tmp_path)).ready_nodes == {"linux", "unknown"}


async def test_addresses_that_nodes_have_towards_pods_are_those_before_any_pods(api, tmp_path):
    api.objects["/api/v1/nodes"] = [
        {"metadata": {"name": "a"}, "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:1::/64"]}},
        {"metadata": {"name": "b"}, "spec": {}},
        {"metadata": {"name": "c"}, "spec": {"podCIDRs": ["10.0.0.4/30"]}},
    ]
    live = await take(api, tmp_path)
    pods = {str(address) for end in live.snapshot.endpoints for address in end.addresses}
    assert "10.0.0.5" in pods
    assert live.inner_addresses == {
        "a": ("10.244.1.0", "10.244.1.1", "fd00:1::", "fd00:1::1"),
        "b": (),
        "c": ("10.0.0.4",),
    }
    assert "podCIDR" not in str(live.manifests)


async def test_what_nodes_run_is_told_each_version_once_and_is_not_saved(api, tmp_path):
    newer, older = ({"kubeletVersion": version, "kernelVersion": "6.1.0-28"} for version in ("v1.36.1", "v1.35.4"))
    api.objects["/api/v1/nodes"] = [
        {"metadata": {"name": name}, "status": {"nodeInfo": info}}
        for name, info in (("a", newer), ("b", older), ("c", newer), ("d", {}))
    ]
    live = await take(api, tmp_path)
    assert live.versions == {"kubelet": "v1.35.4, v1.36.1", "kernel": "6.1.0-28"}
    assert "v1.36.1" not in str(live.manifests)


async def test_who_may_read_one_namespace_only_gets_it_without_nodes_and_is_told(api, tmp_path):
    api.faults["/api/v1/nodes"] = [refused(403, 'User "u" cannot list resource "nodes" in API group ""')]
    live = await take(api, tmp_path, "prod")
    assert set(live.snapshot.namespaces) == {"prod"}
    assert {endpoint.namespace for endpoint in live.snapshot.endpoints} == {"prod"}
    assert not live.ready_nodes
    assert [note for note in live.notes if "nodes" in note] == [
        "nodes can't be listed: they are left out, and with them what policies say of traffic between pods and nodes"
    ]


async def test_what_is_missing_in_a_namespace_is_told_with_the_role_that_grants_it(api, tmp_path):
    api.faults["/api/v1/namespaces/prod"] = [refused(403, 'User "u" cannot get resource "namespaces" in API group ""')]
    api.faults[REVIEWS] = [
        reviewing(("get", "namespaces", "prod"), ("list", "nodes", ""), ("list", "pods", "dev"))
    ] * 50
    with pytest.raises(ForbiddenError) as caught:
        await take(api, tmp_path, "prod", "dev")
    assert str(caught.value).endswith(
        '; altogether it lacks {apiGroups: [""], resources: [pods], verbs: [list]} in dev;'
        ' {apiGroups: [""], resources: [namespaces], verbs: [get]} in prod;'
        " a RoleBinding in dev and prod to the ClusterRole netpol-audit-read-namespace of deploy/rbac.yaml grants it"
    )


def agent(namespace_name, daemon_set, *images, kind="DaemonSet", controller=True):
    item = pod(namespace_name, f"{daemon_set}-{images[0][-1]}")
    item["metadata"]["ownerReferences"] = [{"kind": kind, "name": daemon_set, "controller": controller}]
    item["spec"]["containers"] = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return item


async def test_the_images_of_known_networks_are_among_the_versions_and_no_others(api, tmp_path):
    api.objects[PODS] += [
        agent("kube-system", "calico-node", "calico/node:v3.28"),
        agent("kube-system", "calico-node", "calico/node:v3.29"),
        agent("cni", "aws-node", "cni:v1", "agent:v2"),
        agent("prod", "my-cilium", "x:1"),
        agent("prod", "cilium", "x:2", kind="ReplicaSet"),
        agent("prod", "canal", "x:3", controller=False),
    ]
    live = await take(api, tmp_path)
    assert {name: value for name, value in live.versions.items() if name.startswith("DaemonSet")} == {
        "DaemonSet cni/aws-node": "agent:v2, cni:v1",
        "DaemonSet kube-system/calico-node": "calico/node:v3.28, calico/node:v3.29",
    }
    assert "calico/node" not in manifest_text(live.manifests)
