"""The shipped manifests grant what the auditor asks for before it begins, and nothing beside; on a real cluster
tests/e2e asks for more.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import yaml

from auditor.cluster.kubernetes.entries import IN_NO_NAMESPACE, OF_GATEWAYS, OF_INGRESS
from auditor.cluster.kubernetes.preflight.other_policy_kinds import OTHER_KINDS
from auditor.cluster.kubernetes.preflight.permissions import (
    JOINING,
    NAMED,
    PROBING,
    READING_CLUSTER,
    READING_IN_NAMESPACES,
    Right,
)
from auditor.cluster.kubernetes.reading import READ_NAMESPACE
from auditor.parsing.admin_policy import KINDS
from auditor.parsing.entries import GATEWAY, NETWORKING
from auditor.run.conformance.admin_section import rights_on

FILES = sorted((Path(__file__).parents[3] / "deploy").glob("*.yaml"))
VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
FIELDS = {
    "Namespace": set(),
    "ServiceAccount": set(),
    "ClusterRole": {"rules"},
    "ClusterRoleBinding": {"roleRef", "subjects"},
}


def objects(*names):
    chosen = [path for path in FILES if not names or path.name in names]
    return [item for path in chosen for item in deepcopy(read(path))]


@cache
def read(path):
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def granted(name):
    (role,) = [item for item in objects() if (item["kind"], item["metadata"]["name"]) == ("ClusterRole", name)]
    every = [
        Right(group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert len(every) == len(set(every)), f"{name} grants something twice"
    return set(every)


READ = granted("netpol-audit-read")


@pytest.mark.parametrize("item", objects(), ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_each_object_is_one_that_kubernetes_knows(item):
    assert set(item) == {"apiVersion", "kind", "metadata"} | FIELDS[item["kind"]]
    rbac = item["kind"].startswith("ClusterRole")
    assert item["apiVersion"] == ("rbac.authorization.k8s.io/v1" if rbac else "v1")
    assert set(item["metadata"]) == ({"name", "namespace"} if item["kind"] == "ServiceAccount" else {"name"})
    for rule in item.get("rules", ()):
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        assert all(
            isinstance(value, list) and value and all(isinstance(each, str) for each in value)
            for value in rule.values()
        )
        assert set(rule["verbs"]) <= VERBS


@pytest.mark.parametrize(
    "item",
    [item for item in objects() if item["kind"] == "ClusterRoleBinding"],
    ids=lambda item: item["metadata"]["name"],
)
def test_each_binding_binds_what_there_is(item):
    kind = item["roleRef"]["kind"]
    assert item["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": item["roleRef"]["name"]}
    assert (kind, item["roleRef"]["name"]) in {(each["kind"], each["metadata"]["name"]) for each in objects()}
    (account,) = [each for each in objects() if each["kind"] == "ServiceAccount"]
    assert item["subjects"] == [{"kind": "ServiceAccount", **account["metadata"]}]


def test_what_is_applied_first_changes_nothing_in_the_cluster():
    bound = {item["roleRef"]["name"] for item in objects("rbac.yaml") if item["kind"] == "ClusterRoleBinding"}
    assert bound == {"netpol-audit-read"}
    assert {right.verb for right in READ} <= {"get", "list", "watch"}


def test_no_role_reads_secrets_or_has_everything():
    for role in (item for item in objects() if item["kind"] == "ClusterRole"):
        for right in granted(role["metadata"]["name"]):
            assert "*" not in (right.group, right.resource, right.verb)
            assert right.resource not in ("secrets", "serviceaccounts", "serviceaccounts/token")


def test_reading():
    assert set(READING_IN_NAMESPACES) | set(READING_CLUSTER) | {NAMED} <= READ
    leading_in = {
        Right(group, resource, "list")
        for group, kinds in ((NETWORKING, OF_INGRESS), (GATEWAY, OF_GATEWAYS))
        for resource in kinds
    }
    assert leading_in <= READ
    in_namespaces = {right for right in leading_in if right.resource not in IN_NO_NAMESPACE}
    assert granted(READ_NAMESPACE) == {*READING_IN_NAMESPACES, NAMED, *in_namespaces}
    foreign = {Right(group, resource, "list") for group, kinds in OTHER_KINDS.items() for resource in kinds}
    assert {right for right in READ if right.group in OTHER_KINDS} == foreign


@pytest.mark.parametrize(("role", "needed"), [("netpol-audit-probe", PROBING), ("netpol-audit-in-place", JOINING)])
def test_what_is_asked_for_beforehand_is_granted_and_nothing_beside(role, needed):
    assert set(needed) <= granted(role) | READ
    assert granted(role) <= set(needed)
    assert not granted(role) & READ


def test_what_conformance_asks_for_before_it_makes_policies_of_administrators_is_a_role_of_its_own():
    role = "netpol-audit-conformance-admin-policies"
    assert granted(role) == set(rights_on(KINDS))
    written = {right for right in granted(role) if right.verb != "list"}
    others = {item["metadata"]["name"] for item in objects() if item["kind"] == "ClusterRole"} - {role}
    assert not any(granted(other) & written for other in others)
