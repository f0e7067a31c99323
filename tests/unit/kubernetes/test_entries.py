"""Ingresses and Gateways of a live cluster: what files of the same objects would say, and no error without rights."""

from __future__ import annotations

import json

import pytest
import yaml

from auditor.cli.application import run
from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.entries import with_entries
from auditor.cluster.kubernetes.reading import manifest_text, read_cluster
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.unit.kubernetes.fake_api import refused
from tests.unit.kubernetes.objects import OBJECTS, manifests
from tests.unit.run.test_ways_in import gateway, grant, ingress, ingress_class, route

INGRESS = "/apis/networking.k8s.io/v1"
GATEWAYS = "/apis/gateway.networking.k8s.io/v1"
FOUND = {
    f"{INGRESS}/ingresses": [ingress()],
    f"{INGRESS}/ingressclasses": [ingress_class()],
    f"{GATEWAYS}/gateways": [gateway(namespace="prod")],
    f"{GATEWAYS}/httproutes": [route(parents="[{name: gate}]")],
    f"{GATEWAYS}/referencegrants": [grant()],
}


def items(texts):
    """Objects as a list of the API has them: without kind and version."""
    found = [yaml.safe_load(text) for text in texts]
    return [{key: each for key, each in item.items() if key not in ("kind", "apiVersion")} for item in found]


@pytest.fixture
def leading_in(api):
    api.objects |= {path: items(texts) for path, texts in FOUND.items()}
    api.groups["gateway.networking.k8s.io"] = (
        "v1",
        ["gateways", "httproutes", "referencegrants", "backendtlspolicies"],
    )
    return api


async def take(api, tmp_path, *namespaces):
    connection = await connect(ConnectionOptions(kubeconfig=api.kubeconfig(tmp_path), qps=10_000))
    async with ApiServer(connection, first_pause=0.01) as server:
        return await with_entries(server, await read_cluster(server, namespaces), namespaces)


async def test_they_are_what_files_of_the_same_objects_say_and_what_is_saved_says_the_same(leading_in, tmp_path):
    live = await take(leading_in, tmp_path)
    text = "".join(text for texts in FOUND.values() for text in texts)
    files = read_snapshot([Source("f.yaml", (yaml.safe_dump(manifests(OBJECTS)) + text).encode())])
    assert live.snapshot == files
    assert [len(part) for part in (files.entries.routes, files.entries.classes, files.entries.gateways)] == [2, 1, 1]
    assert files.entries.grants
    assert live.notes == ()
    assert read_snapshot([Source("saved.json", manifest_text(live.manifests).encode())]) == live.snapshot


async def test_nothing_is_saved_of_them_that_nobody_reads(leading_in, tmp_path):
    (web,) = leading_in.objects[f"{GATEWAYS}/httproutes"]
    (rule,) = web["spec"]["rules"]
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "a", "value": "secret"}]}}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copy", "port": 80}}}
    rule["filters"] = [header, mirror]
    rule["backendRefs"][0]["filters"] = [header]
    (shop,) = leading_in.objects[f"{INGRESS}/ingresses"]
    shop["metadata"]["annotations"] = {"auth": "secret", "kubernetes.io/ingress.class": "nginx"}
    live = await take(leading_in, tmp_path)
    saved = manifest_text(live.manifests)
    assert "secret" not in saved
    again = read_snapshot([Source("saved.json", saved.encode())])
    assert again.entries == live.snapshot.entries
    assert "copy" in {backend.service for each in again.entries.routes for backend in each.backends}


async def test_a_cluster_without_gateways_is_asked_for_none(api, tmp_path):
    live = await take(api, tmp_path)
    assert live.notes == ()
    assert not [path for path, *_ in api.requests if "gateway" in path]


async def test_who_may_not_list_them_is_told_and_goes_on(leading_in, tmp_path):
    for path in (f"{INGRESS}/ingresses", f"{GATEWAYS}/httproutes"):
        leading_in.faults[path] = [refused(403)]
    live = await take(leading_in, tmp_path)
    lacking = "list ingresses.networking.k8s.io, httproutes.gateway.networking.k8s.io is not granted"
    assert live.notes == (f"what leads in from outside is known in part: {lacking}; a ClusterRole with it will do",)
    assert live.snapshot.entries.routes == ()
    assert live.snapshot.entries.gateways


async def test_in_single_namespaces_classes_are_nobodys_to_ask_for(leading_in, tmp_path):
    leading_in.faults[f"{INGRESS}/ingressclasses"] = [refused(403)]
    live = await take(leading_in, tmp_path, "prod")
    assert live.notes == ()
    assert [each.kind for each in live.snapshot.entries.routes] == ["Ingress", "HTTPRoute"]


def test_expect_and_explain_of_a_live_cluster_follow_them(leading_in, tmp_path, capsys):
    config = ["--kubeconfig", leading_in.kubeconfig(tmp_path)]
    (shop,) = leading_in.objects[f"{INGRESS}/ingresses"]
    shop["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"] = {"name": "db", "port": {"number": 3306}}
    assert run(["expect", "-A", *config, "-o", "json"]) in (0, 3)
    ways = json.loads(capsys.readouterr().out)["ways_in"]
    assert {(each["kind"], each["name"], each["service"], each["in_doubt"]) for each in ways} == {
        ("Ingress", "prod/shop", "prod/db", True)
    }
    pod = ways[0]["pod"]
    assert run(["explain", "-A", *config, "203.0.113.7", pod, "3306"]) in (0, 3)
    told = " ".join(capsys.readouterr().out.split())
    assert f"in doubt Ingress prod/shop (shop.example) to {pod} TCP/3306: no pod of the input has the labels" in told
