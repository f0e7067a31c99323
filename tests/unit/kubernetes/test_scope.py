"""-n on a live cluster: it is read as a whole, and asked about this namespace; the context's is that of bare names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from auditor.cli.application import run
from tests.unit.kubernetes.fake_api import refused


@pytest.fixture
def audit(api, tmp_path, capfd):
    config = Path(api.kubeconfig(tmp_path))

    def audited(*arguments, context_namespace=""):
        if context_namespace:
            document = yaml.safe_load(config.read_text())
            document["contexts"][0]["context"]["namespace"] = context_namespace
            config.write_text(yaml.safe_dump(document))
        code = run([*arguments, "--kubeconfig", str(config)])
        return code, *capfd.readouterr()

    return audited


def pods(audit):
    cells = json.loads(audit("expect", "-A", "--expand", "-o", "json")[1])["cells"]
    return sorted({cell["destination"] for cell in cells if cell["destination"].startswith("prod/")})


def test_expect_shows_what_reaches_the_namespace_from_everywhere(audit):
    code, out, err = audit("expect", "-n", "prod", "--expand", "-o", "json")
    cells = json.loads(out)["cells"]
    assert code == 0
    assert {cell["destination"].partition("/")[0] for cell in cells} == {"prod"}
    assert len({cell["source"].partition("/")[0] for cell in cells}) > 1
    assert "-n prod: what reaches its pods; --from prod shows what they reach" in err


@pytest.mark.parametrize(("side", "other"), [("--from", "source"), ("--to", "destination")])
def test_the_namespace_is_the_other_end_of_what_is_chosen(audit, side, other):
    _, out, _ = audit("expect", "-n", "prod", side, "node", "--expand", "-o", "json")
    cells = json.loads(out)["cells"]
    assert cells
    assert {cell[other].partition("/")[0] for cell in cells} == {"node"}
    opposite = {"source": "destination", "destination": "source"}[other]
    assert {cell[opposite].partition("/")[0] for cell in cells} == {"prod"}


def test_from_the_namespace_itself_goes_everywhere(audit):
    _, out, _ = audit("expect", "-n", "prod", "--from", "prod", "--to", "*", "--expand", "-o", "json")
    assert len({cell["destination"].partition("/")[0] for cell in json.loads(out)["cells"]}) > 1


def test_bare_names_are_of_the_namespace_of_n_or_of_the_context(audit):
    first, second = (name.partition("/")[2] for name in pods(audit)[:2])
    by_option = audit("explain", "-n", "prod", first, second, "80")
    assert by_option[0] == 0
    assert f"prod/{first} -> prod/{second}" in by_option[1]
    assert audit("explain", "-A", first, second, "80")[0] == 2
    assert audit("explain", "-A", first, second, "80", context_namespace="prod")[:2] == by_option[:2]


@pytest.mark.parametrize("command", [("expect",), ("explain", "a", "b", "80")])
def test_a_namespace_that_is_not_there_is_an_error_and_so_are_n_and_a_together(audit, command):
    assert "there is no namespace 'nowhere' in the cluster (-n nowhere)" in audit(*command, "-n", "nowhere")[2]
    assert "-n and -A exclude each other" in audit(*command, "-n", "prod", "-A")[2]


def test_an_intent_is_asked_about_the_namespace_alone(audit, tmp_path):
    path = tmp_path / "intent.yaml"
    path.write_text("schema: audit.intent/v1\nrules:\n- {name: nothing, verdict: denied}\notherwise: unspecified\n")
    told = {
        scope: json.loads(audit("intent", "--intent", str(path), *scope.split(), "-o", "json")[1])["findings"]
        for scope in ("-A", "-n prod")
    }
    assert 0 < len(told["-n prod"]) <= len(told["-A"])
    ends = [{*group["sources"], *group["destinations"]} for each in told["-n prod"] for group in each["cells"]]
    assert ends
    assert all(any(name.startswith("prod/") for name in names) for names in ends)


SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
SLICE = {
    "metadata": {"name": "hand-x", "namespace": "prod", "labels": {"kubernetes.io/service-name": "hand"}},
    "endpoints": [{"addresses": ["198.51.100.7"]}],
    "ports": [{"name": "", "port": 6443, "protocol": "TCP"}],
}


@pytest.fixture
def by_hand(api):
    api.objects["/api/v1/services"].append(
        {
            "metadata": {"name": "hand", "namespace": "prod"},
            "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 443}]},
        }
    )
    return api


def test_a_service_without_a_selector_goes_by_the_slices_of_the_cluster(by_hand, audit):
    by_hand.objects[SLICES] = [SLICE]
    code, out, _ = audit("explain", "-A", pods(audit)[0], "service/prod/hand", "443")
    assert code in (0, 3)
    assert "is sent to host/198.51.100.7 TCP/6443" in " ".join(out.split())


@pytest.mark.parametrize("answer", [403, 404])
def test_slices_that_may_not_be_read_stop_nothing_else(by_hand, audit, answer):
    name = pods(audit)[0]
    if answer == 403:
        by_hand.faults["/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices"] += [refused(403)] * 9
    assert audit("expect", "-A")[0] == 0
    code, _, err = audit("explain", "-A", name, "service/prod/hand", "443")
    assert code == 2
    assert "no EndpointSlice" in err


HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
CALLED = {
    "metadata": {"name": "checks"},
    "webhooks": [{"clientConfig": {"service": {"namespace": "prod", "name": "hook", "port": 443}}}],
}


@pytest.fixture
def hooked(api):
    """A Service with all pods of prod behind it, which admit nobody."""
    (some, *_) = [pod for pod in api.objects["/api/v1/pods"] if pod["metadata"]["namespace"] == "prod"]
    labels = some["metadata"]["labels"]
    api.objects["/api/v1/services"].append(
        {
            "metadata": {"name": "hook", "namespace": "prod"},
            "spec": {"clusterIP": "10.96.0.78", "selector": labels, "ports": [{"port": 443, "targetPort": 9443}]},
        }
    )
    api.objects["/apis/networking.k8s.io/v1/networkpolicies"] = [
        {"metadata": {"name": "deny", "namespace": "prod"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    ]
    api.objects[HOOKS] = [CALLED]
    return api


def test_lint_knows_whom_the_api_server_of_a_live_cluster_calls(hooked, audit):
    code, out, err = audit("lint", "-n", "prod")
    assert code == 1
    assert "closed-to-api-server" in out
    assert "the API server calls Service prod/hook (ValidatingWebhookConfiguration checks)" in " ".join(out.split())
    assert "closed-to-api-server" not in err


def test_lint_says_which_calls_of_the_api_server_may_not_be_read(hooked, audit):
    hooked.faults[HOOKS] += [refused(403)] * 9
    code, out, err = audit("lint", "-n", "prod")
    assert code == 1
    assert "closed-to-api-server" not in out
    assert "list of validatingwebhookconfigurations.admissionregistration.k8s.io is not granted" in err
