"""What controllers make: pods of any kind with a template, and the labels and names that they give them."""

import pytest

from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.parsing.reading import names, read
from tests.unit.parsing.test_manifests import owned_pod, workload

TEMPLATE = "template: {metadata: {labels: {app: web}}, spec: {containers: [{ports: [{containerPort: 80}]}]}}"


def custom(kind: str, version: str, spec: str = "", template: str = TEMPLATE) -> str:
    body = f"{{{spec}{', ' if spec else ''}{template}}}"
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: web}}\nspec: {body}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (custom("Rollout", "argoproj.io/v1alpha1", "replicas: 2"), ["default/web-0", "default/web-1"]),
        (custom("DeploymentConfig", "apps.openshift.io/v1", "selector: {app: web}"), ["default/web"]),
        (custom("CloneSet", "apps.kruise.io/v1alpha1"), ["default/web"]),
        (custom("Service", "serving.knative.dev/v1"), ["default/web"]),
        (custom("Widget", "example.com/v1"), ["default/web"]),
        (custom("Timer", "example.com/v1", template=f"jobTemplate: {{spec: {{{TEMPLATE}}}}}"), ["default/web"]),
        (custom("DaemonSet", "apps.kruise.io/v1alpha1"), ["default/web"]),
        (custom("Widget", "example.com/v1", template="template: {spec: {size: 1}}"), []),
        (custom("SealedSecret", "bitnami.com/v1alpha1", template="template: {metadata: {name: x}}"), []),
        (custom("Rollout", "argoproj.io/v1alpha1") + owned_pod("ReplicaSet", "web-5d8f"), ["default/real"]),
        (
            custom("DeploymentConfig", "apps.openshift.io/v1", "selector: {app: web}")
            + owned_pod("ReplicationController", "web-1"),
            ["default/real"],
        ),
    ],
)
def test_any_kind_with_a_pod_template_is_a_workload(text: str, expected: list[str]) -> None:
    snapshot = read(text)
    assert names(snapshot) == expected
    assert all(endpoint.labels["app"] == "web" for endpoint in snapshot.endpoints)


def test_kinds_of_two_groups_are_two_objects() -> None:
    both = custom("Service", "serving.knative.dev/v1") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
    assert (names(read(both)), len(read(both).services)) == (["default/web"], 1)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("Prometheus", "monitoring.coreos.com/v1"),
        ("Kafka", "kafka.strimzi.io/v1beta2"),
        ("VirtualMachine", "kubevirt.io/v1"),
    ],
)
def test_kinds_that_make_pods_otherwise_are_named(kind: str, version: str) -> None:
    snapshot = read(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{template: {{spec: {{}}}}}}\n")
    assert snapshot.ignored == {f"{kind} (makes pods that are not in the input)": 1}
    assert read(f"apiVersion: example.com/v1\nkind: {kind}\n").ignored == {kind: 1}


JOB = {"job-name": "web", "batch.kubernetes.io/job-name": "web"}
UIDS = {"controller-uid", "batch.kubernetes.io/controller-uid"}


@pytest.mark.parametrize(
    ("text", "labels", "unknown"),
    [
        (workload("Job"), JOB, UIDS),
        (workload("CronJob"), {}, {*JOB, *UIDS}),
        (workload("Deployment"), {}, {"pod-template-hash"}),
        (workload("Deployment", labels="{app: web, pod-template-hash: x}"), {"pod-template-hash": "x"}, set()),
        (workload("ReplicaSet"), {}, set()),
        (workload("DaemonSet"), {}, {"controller-revision-hash", "pod-template-generation"}),
        (custom("Rollout", "argoproj.io/v1alpha1"), {}, {"rollouts-pod-template-hash"}),
        (custom("DeploymentConfig", "apps.openshift.io/v1"), {"deploymentconfig": "web"}, {"deployment"}),
    ],
)
def test_labels_that_controllers_give(text: str, labels: dict[str, str], unknown: set[str]) -> None:
    (endpoint,) = read(text).endpoints
    assert endpoint.labels == {"app": "web", **labels}
    assert endpoint.unknown_labels == unknown


def numbers(text: str, key: str, more: str = "") -> dict[str, str]:
    return {endpoint.name: endpoint.labels[key] for endpoint in read(text + more).endpoints}


def test_pods_of_a_stateful_set_have_names_and_numbers() -> None:
    text = workload("StatefulSet", "replicas: 3, ordinals: {start: 5}")
    assert numbers(text, "apps.kubernetes.io/pod-index") == {"default/web-5": "5", "default/web-6": "6"}
    assert set(numbers(text, "statefulset.kubernetes.io/pod-name").values()) == {"web-5", "web-6"}
    assert names(read(workload("StatefulSet"))) == ["default/web-0"]
    assert names(read(workload("StatefulSet", "replicas: 0"))) == []


@pytest.mark.parametrize("asked", ["statefulset.kubernetes.io/pod-name: web-8", 'apps.kubernetes.io/pod-index: "8"'])
def test_a_pod_that_policies_ask_for_by_its_number_is_there(asked: str) -> None:
    policy = (
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"
        f"spec: {{podSelector: {{matchLabels: {{{asked}}}}}}}\n"
    )
    assert names(read(workload("StatefulSet", "replicas: 9") + policy)) == [f"default/web-{n}" for n in (0, 1, 8)]
    assert names(read(workload("StatefulSet", "replicas: 8") + policy)) == [f"default/web-{n}" for n in (0, 1)]


def test_pods_of_an_indexed_job_have_numbers() -> None:
    text = workload("Job", "completionMode: Indexed, completions: 4, parallelism: 4")
    assert numbers(text, "batch.kubernetes.io/job-completion-index") == {"default/web-0": "0", "default/web-1": "1"}


@pytest.mark.parametrize(
    ("text", "name", "fragment"),
    [
        (owned_pod("Job", "web", phase="Succeeded"), "default/real", "has finished"),
        (workload("Deployment", "replicas: 0"), "default/web", "without replicas"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: x.org}\n",
            "service/default/s",
            "is an ExternalName",
        ),
    ],
)
def test_what_is_no_endpoint_is_known_for_what_it_is(text: str, name: str, fragment: str) -> None:
    assert fragment in read(text).absent[name]


def test_labels_that_two_variants_of_a_workload_have_otherwise_are_unknown() -> None:
    texts = (workload("ReplicaSet", labels="{app: web, v: a}"), workload("ReplicaSet", labels="{app: web, v: b}"))
    (endpoint,) = read_snapshot(
        [Source(f"{n}.yaml", text.encode(), found=True) for n, text in enumerate(texts)]
    ).endpoints
    assert (endpoint.labels, endpoint.unknown_labels) == ({"app": "web"}, {"v"})


def test_labels_that_two_variants_of_a_namespace_have_otherwise_are_unknown() -> None:
    texts = [f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{x: z, v: {v}}}}}\n" for v in "ab"]
    snapshot = read_snapshot([Source(f"{n}.yaml", text.encode(), found=True) for n, text in enumerate(texts)])
    assert (dict(snapshot.namespaces["a"].labels), snapshot.namespaces["a"].known) == (
        {"x": "z", "kubernetes.io/metadata.name": "a"},
        False,
    )


def test_a_generated_name_is_not_that_of_another_workloads_replica() -> None:
    several = workload("Job", "parallelism: 2")
    assert sorted(names(read(several + workload("Job").replace("{name: web}", "{generateName: web-}")))) == [
        "default/web-0",
        "default/web-1",
        "default/web-1.2",
    ]
