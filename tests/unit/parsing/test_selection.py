"""Selections: each way to write one, and what is none."""

import pytest

from auditor.model.errors import UsageError
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.policy.selection import select


def pod(name: str, **labels: str) -> Endpoint:
    return Endpoint(
        name, EndpointKind.POD, name.partition("/")[0], {key.replace("_", "/"): value for key, value in labels.items()}
    )


ENDPOINTS = (
    pod("prod/db", app="db", tier="a"),
    pod("prod/web-0", app="web", tier="b", k8s_name="x"),
    pod("dev/db", app="db", old=""),
    Endpoint("host/backup", EndpointKind.HOST),
    Endpoint("node/n1", EndpointKind.NODE, labels={"app": "db"}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", "prod/db prod/web-0 dev/db host/backup node/n1"),
        ("prod", "prod/db prod/web-0"),
        (" prod ", "prod/db prod/web-0"),
        ("host", "host/backup"),
        ("node", "node/n1"),
        ("prod/db", "prod/db"),
        ("prod/*", "prod/db prod/web-0"),
        ("*/db", "prod/db dev/db"),
        ("prod/web-?", "prod/web-0"),
        ("prod/[!w]*", "prod/db"),
        ("node/*", "node/n1"),
        ("nothing", ""),
        ("app=db", "prod/db dev/db"),
        ("app==db", "prod/db dev/db"),
        ("prod/app=db", "prod/db"),
        ("app=db,tier=a", "prod/db"),
        ("app!=db", "prod/web-0"),
        ("tier!=a", "prod/web-0 dev/db"),
        ("tier in (a,b)", "prod/db prod/web-0"),
        ("tier in ( a , c )", "prod/db"),
        ("tier notin (a)", "prod/web-0 dev/db"),
        ("prod/tier in (a,b),app=web", "prod/web-0"),
        ("!tier", "dev/db"),
        ("prod/!old", "prod/db prod/web-0"),
        ("app=db,tier", "prod/db"),
        ("app=db,!tier", "dev/db"),
        ("old=", "dev/db"),
        ("prod/k8s/name=x", "prod/web-0"),
        ("a.k8s/name=x", ""),
    ],
)
def test_what_is_selected(text: str, expected: str) -> None:
    assert [endpoint.name for endpoint in select(ENDPOINTS, text)] == expected.split()


@pytest.mark.parametrize(
    "text",
    ["", "  ", "=db", "app=a b", "app=a,", ",app=a", "tier in (a", "tier in (a b)", "tier in (a),x(", "a=b=c", "!"],
)
def test_what_is_no_selection(text: str) -> None:
    with pytest.raises(UsageError, match="selection"):
        select(ENDPOINTS, text)


def of_workload(name: str, workload: str, **labels: str) -> Endpoint:
    return Endpoint(
        name,
        EndpointKind.POD,
        name.partition("/")[0],
        {key.replace("_", "-"): value for key, value in labels.items()},
        workload=workload,
    )


WORKLOADS = (
    of_workload("prod/web-7c5d-abcde", "ReplicaSet/web-7c5d", pod_template_hash="7c5d"),
    of_workload("prod/web-7c5d-fghij", "ReplicaSet/web-7c5d", pod_template_hash="7c5d"),
    of_workload("dev/web-0", "Deployment/web"),
    of_workload("prod/db-0", "StatefulSet/db"),
    of_workload("prod/backup-29412345-x", "Job/backup-29412345"),
    of_workload("job/db", "StatefulSet/other"),
    pod("prod/alone"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prod/web", "prod/web-7c5d-abcde prod/web-7c5d-fghij"),
        ("deploy/web", "prod/web-7c5d-abcde prod/web-7c5d-fghij dev/web-0"),
        ("Deployment/web", "prod/web-7c5d-abcde prod/web-7c5d-fghij dev/web-0"),
        ("deploy/prod/web", "prod/web-7c5d-abcde prod/web-7c5d-fghij"),
        ("deployments/dev/web", "dev/web-0"),
        ("sts/db", "prod/db-0"),
        ("sts/web", ""),
        ("cj/backup", "prod/backup-29412345-x"),
        ("job/prod/backup", "prod/backup-29412345-x"),
        ("job/db", "job/db"),
        ("prod/web-7c5d-abcde", "prod/web-7c5d-abcde"),
        ("prod/alone", "prod/alone"),
        ("prod/nothing", ""),
        ("deploy/alone", ""),
    ],
)
def test_a_workload_is_its_pods_unless_an_endpoint_has_that_name(text, expected):
    assert " ".join(endpoint.name for endpoint in select(WORKLOADS, text)) == expected
