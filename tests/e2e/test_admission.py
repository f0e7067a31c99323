"""Clusters whose admission refuses probe pods or changes them: policies and webhooks of the API server itself, no
imitation of them.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time

import pytest

from tests.e2e import world
from tests.e2e.auditing import audit, left_behind, run_arguments
from tests.e2e.kubectl import KubectlError

NO_VERDICT, TROUBLE = 3, 4
GROUP = "admissionregistration.k8s.io/v1"
HOOK = "e2e-hook"
IN_FORCE_WITHIN = 60
HERE_ONLY = {"matchLabels": {world.NAMESPACE_NAME: world.PROD}}
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
SERVER = """
import base64, json, ssl
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sidecar = {"name": "sidecar", "image": "audit-e2e/absent:1"}
        patch = [{"op": "add", "path": "/spec/containers/-", "value": sidecar}]
        answer = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch"}
        answer["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = HTTPServer(("", 8443), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def leaves_nothing(spec, kubectl):
    """An audit that was refused takes all of its own away again."""
    yield
    assert left_behind(kubectl) == []


def pod(labels, image):
    """A pod such as anybody might create in the shop."""
    container = {"name": "any", "image": image}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": world.PROD, "generateName": "any-", "labels": labels},
        "spec": {"containers": [container]},
    }


def until_admission(kubectl, image, labels, answers):
    """Wait until ``answers`` is in what the API server says of such a pod: it takes a moment until it has read its
    configuration.
    """
    end = time.monotonic() + IN_FORCE_WITHIN
    said = ""
    while time.monotonic() < end:
        try:
            said = kubectl.run(
                "create", "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(pod(labels, image))
            )
        except KubectlError as error:
            said = str(error)
        if answers in said:
            return
        time.sleep(0.2)
    pytest.fail(f"admission never answered {answers!r}; the last answer was {said}")


@pytest.fixture
def configured(kubectl):
    """Puts configurations of the API server in force, and takes them away in the end."""
    named = []

    def put(*items):
        named.extend(f"{item['kind'].lower()}/{item['metadata']['name']}" for item in items)
        kubectl.apply(items)

    yield put
    kubectl.run("delete", "--ignore-not-found", *named)


def policy_without_databases():
    policy = {
        "apiVersion": GROUP,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "e2e-no-databases"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": HERE_ONLY, "resourceRules": [PODS]},
            "validations": [
                {"expression": "object.metadata.?labels.app.orValue('') != 'db'", "message": "databases need a ticket"}
            ],
        },
    }
    binding = {
        "apiVersion": GROUP,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "e2e-no-databases"},
        "spec": {"policyName": "e2e-no-databases", "validationActions": ["Deny"]},
    }
    return policy, binding


def webhook(kind, name, service, authority=""):
    """A webhook for the pods of the shop."""
    config = {"service": {"namespace": HOOK, "name": service, "path": "/", "port": 443}}
    hook = {
        "name": f"{name}.e2e.audit",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
        "namespaceSelector": HERE_ONLY,
        "rules": [PODS],
        "clientConfig": {**config, **({"caBundle": authority} if authority else {})},
    }
    return {"apiVersion": GROUP, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": name}, "webhooks": [hook]}


def test_a_policy_of_the_api_server_refuses_one_kind_of_pod(kubectl, image, configured):
    configured(*policy_without_databases())
    until_admission(kubectl, image, {"app": "db"}, "databases need a ticket")
    done = audit(kubectl, *run_arguments(image))
    assert done.returncode == NO_VERDICT, done.stderr
    report = json.loads(done.stdout)
    silent = [cell for cell in report["cells"] if cell["result"] in ("inconclusive", "skipped")]
    assert silent
    for cell in silent:
        assert any("e2e-prod/db" in cell[end] for end in ("source", "destination")), cell
        assert "databases need a ticket" in cell["outcome"], cell
        assert "e2e-no-databases" in cell["outcome"], cell
    judged = [cell for cell in report["cells"] if cell not in silent]
    assert {cell["result"] for cell in judged} <= {"match", "undefined"}
    assert any("e2e-prod/api" in cell["source"] for cell in judged)


def test_a_webhook_that_does_not_answer(kubectl, image, configured):
    configured(webhook("Validating", "e2e-away", "nobody"))
    until_admission(kubectl, image, {"app": "api"}, "e2e-away.e2e.audit")
    for command in ("run", "preflight"):
        done = audit(kubectl, command, "-n", world.PROD, "--image", image)
        assert done.returncode == TROUBLE, done.stderr
        said = done.stderr + done.stdout
        assert "e2e-away.e2e.audit" in said
        assert "Traceback" not in said


@pytest.fixture
def sidecar_injector(kubectl, image, configured, tmp_path):
    """A webhook that puts a container into every pod of the shop, whatever its labels and annotations ask for."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl for a webhook's certificate")
    name = f"injector.{HOOK}.svc"
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    made = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", "req", *made, *names], check=True, capture_output=True, timeout=60)
    kubectl.apply([world.namespace(HOOK)])
    kubectl.run("create", "secret", "tls", "tls", "-n", HOOK, f"--cert={certificate}", f"--key={key}")
    container = {
        "name": "injector",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", SERVER],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "terminationGracePeriodSeconds": 0,
    }
    labels = {"app": "injector"}
    place = {"namespace": HOOK, "name": "injector"}
    service = {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]}
    try:
        kubectl.apply(
            [
                {"apiVersion": "v1", "kind": "Pod", "metadata": {**place, "labels": labels}, "spec": spec},
                {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": service},
            ]
        )
        kubectl.run("wait", "-n", HOOK, "--for=condition=Ready", "pod/injector", "--timeout=60s")
        authority = base64.b64encode(certificate.read_bytes()).decode()
        configured(webhook("Mutating", "e2e-injector", "injector", authority))
        until_admission(kubectl, image, {"app": "api"}, "sidecar")
        yield
    finally:
        kubectl.run("delete", "--ignore-not-found", "mutatingwebhookconfiguration", "e2e-injector")
        kubectl.delete_namespaces([HOOK])


def test_a_webhook_puts_a_foreign_container_into_every_pod(kubectl, image, sidecar_injector):
    """Such a pod would measure what its proxy does, not what the policies do: it is never created."""
    done = audit(kubectl, "run", "-n", world.PROD, "--image", image)
    assert done.returncode in (NO_VERDICT, TROUBLE), done.stderr
    said = done.stderr + done.stdout
    assert "sidecar" in said
    assert "Traceback" not in said
    assert "Leak" not in done.stdout
