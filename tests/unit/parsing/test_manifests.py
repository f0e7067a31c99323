"""Objects of all kinds as endpoints, namespaces and services; what is wrong with them, and what is left out."""

from ipaddress import ip_address

import pytest

from auditor.model.errors import InputError
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, ServicePort, Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.parsing.reading import POD, names, only_problem, problems, read

NODES = "".join(
    f"---\napiVersion: v1\nkind: Node\nmetadata: {{name: n{number}}}\n"
    f"status: {{addresses: [{{type: Hostname, address: n{number}}}, {{type: InternalIP, address: "
    f"172.18.0.{number}}}]}}\n"
    for number in (1, 2, 3)
)


def workload(kind: str, spec: str = "", name: str = "web", labels: str = "{app: web}", metadata: str = "") -> str:
    version = "batch/v1" if kind in ("Job", "CronJob") else "v1" if kind == "ReplicationController" else "apps/v1"
    template = (
        f"template: {{metadata: {{labels: {labels}}}, spec: {{containers: [{{ports: [{{containerPort: 80}}]}}]}}}}"
    )
    body = f"{{{spec}{', ' if spec else ''}{template}}}"
    body = f"{{jobTemplate: {{spec: {body}}}}}" if kind == "CronJob" else body
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}{metadata}}}\nspec: {body}\n"


def owned_pod(kind: str, owner: str, labels: str = "{app: web}", phase: str = "Running", name: str = "real") -> str:
    return (
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {labels}, ownerReferences: "
        f"[{{kind: Other, name: x}}, {{kind: {kind}, name: {owner}, controller: true}}]}}\nstatus: {{phase: {phase}}}\n"
    )


def only(text: str) -> Endpoint:
    (endpoint,) = read(text).endpoints
    return endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (workload("Deployment"), ["default/web"]),
        (workload("Deployment", "replicas: null"), ["default/web"]),
        (workload("Deployment", "replicas: 5"), ["default/web-0", "default/web-1"]),
        (workload("StatefulSet", "replicas: 2"), ["default/web-0", "default/web-1"]),
        (workload("ReplicaSet", "replicas: 1"), ["default/web"]),
        (workload("ReplicationController", "replicas: 2"), ["default/web-0", "default/web-1"]),
        (workload("DaemonSet"), ["default/web"]),
        (workload("Job"), ["default/web"]),
        (workload("Job", "parallelism: 3"), ["default/web-0", "default/web-1"]),
        (workload("Job", "parallelism: 3, completions: 1"), ["default/web"]),
        (workload("CronJob", "parallelism: 2"), ["default/web-0", "default/web-1"]),
    ],
)
def test_one_endpoint_for_each_replica_and_at_most_two(text: str, expected: list[str]) -> None:
    assert names(read(text)) == expected


def test_more_replicas_when_asked() -> None:
    assert len(names(read(workload("Deployment", "replicas: 5"), replicas=4))) == 4


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Deployment", "replicas: 0"),
        ("Job", "parallelism: 0"),
        ("Job", "completions: 0"),
        ("CronJob", "completions: 0"),
    ],
)
def test_no_replicas_are_counted(kind: str, spec: str) -> None:
    snapshot = read(workload(kind, spec))
    assert (names(snapshot), snapshot.ignored) == ([], {f"{kind} (no replicas)": 1})


def test_a_replica_is_made_from_the_template() -> None:
    endpoint = only(workload("CronJob"))
    assert (endpoint.labels, endpoint.workload, endpoint.namespace) == ({"app": "web"}, "CronJob/web", "default")
    assert endpoint.ports == (ContainerPort(Protocol.TCP, 80),)


def test_a_daemon_set_has_a_pod_on_each_node() -> None:
    snapshot = read(workload("DaemonSet") + NODES)
    assert [(e.name, e.node) for e in snapshot.endpoints if e.namespace] == [
        ("default/web-0", "n1"),
        ("default/web-1", "n2"),
    ]
    assert [(e.node) for e in read(workload("DaemonSet") + NODES, replicas=3).endpoints if e.namespace] == [
        "n1",
        "n2",
        "n3",
    ]


SELECTOR = "selector: {matchLabels: {app: web}}"


@pytest.mark.parametrize(
    ("text", "pods"),
    [
        (workload("StatefulSet") + owned_pod("StatefulSet", "web"), ["default/real"]),
        (workload("DaemonSet") + owned_pod("DaemonSet", "web"), ["default/real"]),
        (workload("Deployment", SELECTOR) + owned_pod("ReplicaSet", "web-5d8f"), ["default/real"]),
        (
            workload("Deployment", SELECTOR) + owned_pod("ReplicaSet", "web-5d8f", "{app: other}"),
            ["default/real", "default/web"],
        ),
        (
            workload("Deployment") + owned_pod("ReplicaSet", "web-5d8f", "{app: web, pod-template-hash: x}"),
            ["default/real"],
        ),
        (workload("Deployment", labels="{}") + owned_pod("ReplicaSet", "web-5d8f"), ["default/real"]),
        (workload("Deployment", labels="{}") + owned_pod("ReplicaSet", "other-5d8f"), ["default/real", "default/web"]),
        (workload("Deployment", SELECTOR) + owned_pod("Job", "web-5d8f"), ["default/real", "default/web"]),
        (workload("StatefulSet", SELECTOR) + owned_pod("ReplicaSet", "web-5d8f"), ["default/real", "default/web-0"]),
        (workload("CronJob") + owned_pod("Job", "web-123"), ["default/real"]),
        (workload("Deployment", SELECTOR) + owned_pod("ReplicaSet", "web-5d8f", phase="Failed"), ["default/web"]),
        (workload("StatefulSet") + owned_pod("StatefulSet", "web", phase="Succeeded"), ["default/web-0"]),
        (workload("Job") + owned_pod("Job", "web", phase="Succeeded"), []),
        (
            workload("Deployment", SELECTOR)
            + owned_pod("ReplicaSet", "web-5d8f").replace("name: real", "name: real, namespace: x"),
            None,
        ),
    ],
)
def test_real_pods_stand_for_their_workload(text: str, pods: list[str] | None) -> None:
    assert names(read(text)) == (["x/real", "default/web"] if pods is None else pods)


def test_a_workload_stands_for_those_that_it_owns() -> None:
    owner = ", ownerReferences: [{kind: Deployment, name: web, controller: true}]"
    replica_set = workload("ReplicaSet", "replicas: 2", "web-5d8f", metadata=owner)
    assert names(read(workload("Deployment") + replica_set)) == ["default/web"]
    assert names(read(replica_set)) == ["default/web-5d8f-0", "default/web-5d8f-1"]


def test_a_pod() -> None:
    endpoint = only(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b, labels: {c: d}}\nspec:\n  nodeName: m\n  "
        "containers:\n"
        "  - ports: [{containerPort: 80, name: web}, {containerPort: 53, protocol: UDP}]\n  - ports: "
        "[{containerPort: 80, name: web}]\n"
        "  initContainers:\n  - {restartPolicy: Always, ports: [{containerPort: 81, name: web}]}\n  - ports: "
        "[{containerPort: 82}]\n"
        "status: {podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.1}, {ip: '2001:db8::1'}]}\n"
    )
    assert (endpoint.name, endpoint.namespace, endpoint.labels, endpoint.node) == ("b/a", "b", {"c": "d"}, "m")
    assert endpoint.addresses == (ip_address("10.0.0.1"), ip_address("2001:db8::1"))
    assert endpoint.ports == (
        ContainerPort(Protocol.TCP, 80, "web"),
        ContainerPort(Protocol.UDP, 53),
        ContainerPort(Protocol.TCP, 81, "web"),
    )


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ("{}", []),
        ("null", []),
        ("{podIP: 10.0.0.1}", ["10.0.0.1"]),
        ("{podIPs: null, podIP: 10.0.0.1}", ["10.0.0.1"]),
        ("{podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}", ["10.0.0.1"]),
        ("{podIPs: [{ip: '::ffff:10.0.0.1'}]}", ["10.0.0.1"]),
    ],
)
def test_addresses_of_a_pod(status: str, addresses: list[str]) -> None:
    assert [str(address) for address in only(f"{POD}status: {status}\n").addresses] == addresses


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_are_counted(phase: str) -> None:
    snapshot = read(f"{POD}status: {{phase: {phase}}}\n")
    assert (names(snapshot), snapshot.ignored) == ([], {"Pod (finished)": 1})


def test_a_host_network_pod_takes_its_nodes_addresses_if_it_has_none() -> None:
    text = POD + "spec: {hostNetwork: true, nodeName: n2}\n"
    assert [str(a) for a in read(text + NODES).endpoint("default/a").addresses] == ["172.18.0.2"]
    assert [str(a) for a in read(text + "status: {podIP: 10.1.1.1}\n" + NODES).endpoint("default/a").addresses] == [
        "10.1.1.1"
    ]
    assert read(text).endpoint("default/a").addresses == ()


def test_nodes_and_hosts_are_endpoints() -> None:
    snapshot = read(NODES, hosts={"backup": (ip_address("192.0.2.1"),)})
    assert names(snapshot) == ["host/backup", "node/n1", "node/n2", "node/n3"]
    assert snapshot.endpoint("node/n1").addresses == (ip_address("172.18.0.1"),)


WRONG_OBJECTS = [
    (POD + "metadata2: x\nspec: 5\n", 5, "spec", "must be a mapping"),
    (POD + "spec: {hostNetwork: 'true'}\n", 4, "spec.hostNetwork", "must be a boolean, not text"),
    (POD + "spec: {nodeName: 5}\n", 4, "spec.nodeName", "quote it"),
    (POD + "spec: {containers: {}}\n", 4, "spec.containers", "must be a list"),
    (POD + "spec: {containers: [{ports: [{}]}]}\n", 4, "spec.containers[0].ports[0]", "needs a containerPort"),
    (
        POD + "spec: {containers: [{ports: [{containerPort: 0}]}]}\n",
        4,
        "spec.containers[0].ports[0].containerPort",
        "outside",
    ),
    (
        POD + "spec: {containers: [{ports: [{containerPort: 65536}]}]}\n",
        4,
        "spec.containers[0].ports[0].containerPort",
        "outside",
    ),
    (
        POD + "spec: {containers: [{ports: [{containerPort: '80'}]}]}\n",
        4,
        "spec.containers[0].ports[0].containerPort",
        "quotes",
    ),
    (
        POD + "spec: {containers: [{ports: [{containerPort: 1, protocol: tcp}]}]}\n",
        4,
        "spec.containers[0].ports[0].protocol",
        "TCP",
    ),
    (POD + "status: {podIP: 010.0.0.1}\n", 4, "status.podIP", "is not a valid IP address"),
    (POD + "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0}]}\n", 4, "status.podIPs[1].ip", "is not a valid IP address"),
    (POD + "status: {podIPs: [{ip: 'fe80::1%eth0'}]}\n", 4, "status.podIPs[0].ip", "zone"),
    ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    b: 1\n", 6, "metadata.labels.b", "quote it"),
    (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    b/c/d: e\n",
        6,
        "metadata.labels[b/c/d]",
        "prefix",
    ),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a/b}\n", 3, "metadata.name", "is not a valid name"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a b}\n", 3, "metadata.name", "is not a valid name"),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x/y}\n",
        3,
        "metadata.namespace",
        "is not a valid name",
    ),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n", 3, "metadata.name", "quote it"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", 3, "metadata", "a Pod needs a metadata.name"),
    ("apiVersion: v1\nkind: Pod\n", 1, "metadata", "a Pod needs a metadata.name"),
    ("kind: Pod\nmetadata: {name: a}\n", 1, "", "needs apiVersion and kind"),
    ("apiVersion: v1\nkind: null\n", 1, "", "needs apiVersion and kind"),
    ("apiVersion: 1\nkind: Pod\n", 1, "apiVersion", "quote it"),
    ("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {kubernetes.io/metadata.name: b}}\n", 3, None, "a"),
    (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 0}]\n",
        5,
        "spec.ports[0]",
        "1-65535",
    ),
    (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  clusterIPs: [x]\n",
        5,
        "spec.clusterIPs[0]",
        "is not a valid IP address",
    ),
    (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 1, targetPort: 1.5}]\n",
        5,
        None,
        "a port's name",
    ),
    ("apiVersion: v1\nkind: List\nitems:\n- \n", 4, "items[0]", "not a Kubernetes object"),
    ("apiVersion: v1\nkind: List\nitems: {}\n", 3, "items", "must be a list"),
    (
        "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- metadata:\n    name: 5\n",
        6,
        "items[1].metadata.name",
        "quote it",
    ),
]


@pytest.mark.parametrize(("text", "line", "path", "fragment"), WRONG_OBJECTS)
def test_what_is_wrong_with_an_object(text: str, line: int, path: str | None, fragment: str) -> None:
    problem = only_problem(text)
    assert problem.line == line
    assert path is None or problem.path == path
    assert fragment in problem.message


def test_fields_that_nobody_reads_may_be_anything() -> None:
    assert names(
        read(
            POD + "spec: {containers: [{image: 5}], volumes: x, initContainers: [{restartPolicy: 5, ports: 5}]}\nx: 1\n"
        )
    )


def test_lists_and_lists_of_a_kind() -> None:
    plain = (
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, "
        "metadata: {name: a}}]}\n"
    )
    typed = (
        "---\napiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: b}\n- {kind: Deployment, "
        "metadata: {name: c}}\n"
    )
    empty = "---\napiVersion: v1\nkind: PodList\nitems: null\n"
    assert names(read(plain + typed + empty)) == ["default/a", "default/b", "default/c"]


def test_other_kinds_are_counted() -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n---\napiVersion: x.io/v1\nkind: Pod\n"
    )
    assert read(text).ignored == {"ConfigMap": 2, "Pod (x.io/v1)": 1}


def test_the_same_object_twice_counts_once() -> None:
    assert names(read(f"{POD}---\n{POD}")) == ["default/a"]


DIFFERENT = {
    "Pod": "metadata: {name: a, labels: {x: z}}",
    "Service": "metadata: {name: a}\nspec: {selector: {x: z}}",
    "NetworkPolicy": "metadata: {name: a}\nspec: {policyTypes: [Egress]}",
    "Namespace": "metadata: {name: a, labels: {x: z}}",
    "Deployment": "metadata: {name: a}\nspec: {replicas: 2}",
}


def two(kind: str, second: str, *, found: bool = False) -> Snapshot:
    version = {"NetworkPolicy": "networking.k8s.io/v1", "Deployment": "apps/v1"}.get(kind, "v1")
    head = f"apiVersion: {version}\nkind: {kind}\n"
    texts = (head + "metadata: {name: a}\nspec: {}\n", head + second)
    return read_snapshot(
        [Source(name, text.encode(), found) for name, text in zip(("one.yaml", "two.yaml"), texts, strict=True)]
    )


@pytest.mark.parametrize("kind", DIFFERENT)
def test_two_objects_of_one_name_are_told_with_both_places(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        two(kind, DIFFERENT[kind])
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("two.yaml", 1)
    assert "one.yaml:1" in problem.message


@pytest.mark.parametrize("kind", DIFFERENT)
def test_two_objects_of_which_all_that_is_read_is_the_same_are_one(kind: str) -> None:
    assert two(kind, "metadata: {name: a, annotations: {x: z}}\nspec: {}\n") == two(
        kind, "metadata: {name: a}\nspec: {}\n"
    )


def test_generated_names_are_never_the_same() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n"
    assert names(read(f"{text}---\n{text}spec: {{nodeName: m}}\n")) == ["default/a-1", "default/a-2"]


def test_workloads_that_share_a_name_are_told_apart_by_their_kind() -> None:
    template = "template: {metadata: {labels: {a: b}}}"
    deployment = (
        f"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: 2, {template}}}\n"
    )
    job = f"---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: web}}\nspec: {{{template}}}\n"
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
    assert names(read(deployment + job)) == ["default/web-deployment-0", "default/web-deployment-1", "default/web-job"]
    assert names(read(job + pod)) == ["default/web", "default/web-job"]
    assert names(read(job)) == ["default/web"]


def test_names_of_endpoints_that_collide() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: backup, namespace: host}\n"
    with pytest.raises(InputError, match="host/backup"):
        read(text, hosts={"backup": (ip_address("192.0.2.1"),)})


def test_namespaces_are_implied_and_named() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {b: c}}\n---\n" + POD
    snapshot = read(text, default_namespace="home")
    assert {name: dict(namespace.labels) for name, namespace in snapshot.namespaces.items()} == {
        "a": {"b": "c", "kubernetes.io/metadata.name": "a"},
        "home": {"kubernetes.io/metadata.name": "home"},
    }


def test_services() -> None:
    head = "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: %s\n"
    snapshot = read(
        head
        % (
            "a",
            (
                "{selector: {x: z}, clusterIPs: [10.0.0.1, '2001:db8::1'], ports: [{port: 80, targetPort: web}, {port: "
                "81, protocol: UDP}]}"
            ),
        )
        + head % ("b", "{clusterIP: None, publishNotReadyAddresses: true}")
        + head % ("c", "{type: ExternalName, externalName: x}")
        + head % ("d", "{clusterIP: 10.0.0.2, selector: {}}")
    )
    a, b, d = snapshot.services
    assert a.ports == (ServicePort(Protocol.TCP, 80, "web"), ServicePort(Protocol.UDP, 81, 81))
    assert (a.selector, a.cluster_ips) == ({"x": "z"}, (ip_address("10.0.0.1"), ip_address("2001:db8::1")))
    assert (b.selector, b.cluster_ips, b.publish_not_ready) == (None, (), True)
    assert (d.selector, d.cluster_ips) == (None, (ip_address("10.0.0.2"),))
    assert snapshot.ignored == {"Service (ExternalName)": 1}


def test_problems_of_all_files_come_in_the_order_of_the_files() -> None:
    wrong = b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: 5\n  namespace: 6\n"
    with pytest.raises(InputError) as caught:
        read_snapshot([Source("b.yaml", wrong), Source("a.yaml", wrong)])
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [
        ("b.yaml", 4),
        ("b.yaml", 5),
        ("a.yaml", 4),
        ("a.yaml", 5),
    ]


def test_every_problem_is_one_line() -> None:
    assert all(
        str(problem).count("\n") == 0
        for problem in problems('apiVersion: v1\nkind: Pod\nmetadata: {name: "a\\nb", labels: {"x\\ny": z}}\n')
    )
