"""``audit rbac`` prints what deploy/ has, as far as it is asked for, for the account that is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from auditor.cli.application import audit
from auditor.cli.rbac import command
from auditor.cluster.kubernetes.role_manifests import scalar
from auditor.cluster.kubernetes.roles import RULES, Role

DEPLOY = Path(__file__).parents[3] / "deploy"
SHIPPED = {
    (item["kind"], item["metadata"]["name"]): item
    for name in ("rbac.yaml", "everywhere.yaml", "conformance.yaml", "admin-policies.yaml")
    for item in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8"))
}


def printed(*arguments):
    done = CliRunner().invoke(audit, ["rbac", *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    return list(yaml.safe_load_all(done.output))


def refused(*arguments):
    return str(CliRunner().invoke(audit, ["rbac", *arguments], standalone_mode=False).exception)


def names(objects, kind):
    return [item["metadata"]["name"].removeprefix("netpol-audit-") for item in objects if item["kind"] == kind]


def bound(objects):
    """The uses that are bound, with the namespace of each, "*" for all."""
    return {
        (item["roleRef"]["name"].removeprefix("netpol-audit-"), item["metadata"].get("namespace", "*"))
        for item in objects
        if item["kind"].endswith("Binding")
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-n prod", {("read", "*"), ("probe", "prod")}),
        ("--run -n prod", {("read", "*"), ("probe", "prod")}),
        ("-n prod -n dev -n prod", {("read", "*"), ("probe", "prod"), ("probe", "dev")}),
        ("-A", {("read", "*"), ("probe", "*")}),
        ("--in-place -n prod", {("read", "*"), ("in-place", "prod")}),
        ("--run --in-place -n prod", {("read", "*"), ("in-place", "prod"), ("probe", "prod")}),
        ("--run --snapshot -n prod", {("read", "*"), ("probe", "prod")}),
        ("--services -n prod", {("read", "*"), ("probe", "prod"), ("services", "prod")}),
        ("--reports -n prod", {("read", "*"), ("probe", "prod"), ("reports", "prod"), ("cluster-reports", "*")}),
        ("--reports --in-place -A", {("read", "*"), ("in-place", "*"), ("reports", "*"), ("cluster-reports", "*")}),
        ("--history configmap://audits/x -n prod", {("read", "*"), ("probe", "prod"), ("history", "audits")}),
        ("--snapshot -A", {("snapshot", "*")}),
        ("--snapshot -n prod", {("read-namespace", "prod")}),
        ("--cleanup -n prod", {("cleanup", "prod")}),
        ("--cleanup -A", {("cleanup", "*")}),
        ("--conformance", {("conformance", "*")}),
        ("--conformance -A", {("conformance", "*")}),
        ("--conformance --admin-policies", {("conformance", "*"), ("conformance-admin-policies", "*")}),
        ("--conformance --cleanup -n prod", {("conformance", "*"), ("cleanup", "prod")}),
    ],
)
def test_just_what_is_asked_for_is_granted(arguments, expected):
    objects = printed(*arguments.split())
    assert bound(objects) == expected
    assert sorted(names(objects, "ClusterRole")) == sorted({use for use, _ in expected})
    keys = [(item["kind"], item["metadata"]["name"], item["metadata"].get("namespace")) for item in objects]
    assert len(keys) == len(set(keys))
    for item in objects:
        if item["kind"] != "RoleBinding" and (key := (item["kind"], item["metadata"]["name"])) in SHIPPED:
            assert item == SHIPPED[key]


def test_the_account_comes_first_with_its_namespace():
    assert [item["kind"] for item in printed("-n", "prod")][:3] == ["Namespace", "ServiceAccount", "ClusterRole"]


def test_a_namespace_that_is_named_is_there_already():
    objects = printed("-n", "prod", "--service-account", "monitoring/nightly")
    assert [item["kind"] for item in objects][:2] == ["ServiceAccount", "ClusterRole"]
    assert objects[0]["metadata"] == {"name": "nightly", "namespace": "monitoring"}
    assert {item["metadata"]["name"] for item in objects[1:]} == {"nightly-read", "nightly-probe"}
    for item in objects:
        for subject in item.get("subjects", ()):
            assert subject == {"kind": "ServiceAccount", "name": "nightly", "namespace": "monitoring"}


@pytest.mark.parametrize("name", ["123", "1e3", "0x1f", "no", "on", "y", "true", "null", "2026-11-26"])
def test_a_name_that_could_be_taken_for_something_else_stays_text(name):
    (place,) = {where for use, where in bound(printed("-n", name)) if use == "probe"}
    assert place == name
    assert scalar(name) == f'"{name}"'


def test_each_rule_says_why_where_the_code_does():
    text = CliRunner().invoke(audit, ["rbac", "--run", "--in-place", "--cleanup", "-A"]).output
    told = " ".join(line.strip().removeprefix("# ") for line in text.splitlines() if line.strip().startswith("#"))
    for role in (Role.READ, Role.PROBE, Role.IN_PLACE, Role.CLEANUP):
        for rule in RULES[role]:
            assert rule.why in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say where: -n NAMESPACE, or -A for all namespaces"),
        (("--cleanup",), "say where"),
        (("-n", "prod", "-A"), "exclude each other"),
        (("--conformance", "-n", "prod"), "leave -n out"),
        (("--admin-policies", "-A"), "--admin-policies goes with --conformance"),
        (("-A", "--service-account", "nightly"), "write NAMESPACE/NAME"),
        (("-A", "--service-account", "a/b/c"), "write NAMESPACE/NAME"),
        (("-A", "--service-account", "a/b\n"), "write NAMESPACE/NAME"),
        (("-A", "--service-account", "a/b..c"), "write NAMESPACE/NAME"),
        (("-A", "--service-account", f"a/{'b' * 240}"), "write NAMESPACE/NAME"),
        (("-n", "Prod"), "is not a valid namespace name"),
        (("-A", "--history", "/var/lib/audit"), "write configmap://NAMESPACE/NAME; a directory takes no rights"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words):
    assert words in refused(*arguments)


def test_each_use_that_can_be_named_is_in_the_help():
    text = re.sub(r"\s+", " ", command.get_help(command.make_context("rbac", ["-A"])))
    conformance = ("conformance", "conformance --admin-policies")
    for use in ("run", "run --in-place", "run --reports", "snapshot", "cleanup", *conformance):
        assert f"audit {use}'" in text
