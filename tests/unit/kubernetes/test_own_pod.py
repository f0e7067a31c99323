"""What an audit in a cluster knows of its own pod."""

from __future__ import annotations

import json
import socket
from base64 import urlsafe_b64encode

import pytest

from auditor.cluster.kubernetes.client.own_pod import OwnPod, own_pod
from auditor.cluster.kubernetes.session import lease

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
ACCOUNT = "system:serviceaccount:audits:nightly"
CLAIMS = {
    "aud": ["https://kubernetes.default.svc"],
    "sub": ACCOUNT,
    "kubernetes.io": {
        "namespace": "audits",
        "node": {"name": "node-1", "uid": "1"},
        "pod": {"name": "nightly-29000-abcde", "uid": "2"},
        "serviceaccount": {"name": "nightly", "uid": "3"},
    },
}


def token(claims):
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])


@pytest.fixture
def mounted(tmp_path):
    def mount(text, namespace="audits\n"):
        (tmp_path / "namespace").write_text(namespace, encoding="utf-8")
        (tmp_path / "token").write_text(text, encoding="utf-8")
        return tmp_path

    return mount


def test_the_token_tells_namespace_name_node_and_account(mounted):
    found = own_pod(IN_A_POD, mounted(token(CLAIMS)))
    assert found == OwnPod("audits", "nightly-29000-abcde", "node-1", ACCOUNT)
    assert str(found) == "pod audits/nightly-29000-abcde on node-1"


def test_the_downward_api_tells_what_an_older_token_does_not(mounted):
    place = mounted(token({"sub": ACCOUNT, "kubernetes.io": {"namespace": "audits"}}))
    told = {"POD_NAME": "nightly-1", "NODE_NAME": "node-2"}
    assert own_pod({**IN_A_POD, **told}, place) == OwnPod("audits", "nightly-1", "node-2", ACCOUNT)
    assert own_pod(IN_A_POD, place) == OwnPod("audits", socket.gethostname(), "", ACCOUNT)


@pytest.mark.parametrize(
    "text", ["", "secret", "a.b.c", "a.%%%.c", "a.é.c", "\x00", token([]), token({"sub": 3}), token("x" * 5)]
)
def test_a_token_that_says_nothing_costs_nothing_but_what_it_would_say(mounted, text):
    assert own_pod(IN_A_POD, mounted(text)) == OwnPod("audits", socket.gethostname())


def test_outside_a_cluster_there_is_no_pod(mounted, tmp_path):
    assert own_pod({}, mounted(token(CLAIMS))) is None
    assert own_pod(IN_A_POD, tmp_path / "nowhere") is None
    assert own_pod(IN_A_POD, mounted(token(CLAIMS), namespace="")) is None


def test_whoever_finds_a_lease_is_told_the_pod_that_holds_it(mounted, monkeypatch):
    monkeypatch.setattr(lease, "own_pod", lambda: own_pod(IN_A_POD, mounted(token(CLAIMS))))
    assert lease.holder("0badcafe") == "pod audits/nightly-29000-abcde on node-1, run 0badcafe"
