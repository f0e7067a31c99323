"""The Helm chart and the kustomize overlays render the same objects, which grant what ``audit rbac`` prints, say
nothing that Kubernetes or the auditor don't know, and meet the Pod Security Standard "restricted".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from auditor import __version__
from auditor.cli.application import audit
from auditor.cli.exit_codes import ENVIRONMENT, FINDINGS, INCONCLUSIVE, INTERRUPTED, WRONG_INPUT
from auditor.cli.options_file import with_options_of_files
from auditor.model.workloads import WORKLOAD_LABEL
from tests.marking import slow

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "netpol-audit"
OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
CACHE = Path(os.environ.get("E2E_CACHE") or os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / (
    "" if "E2E_CACHE" in os.environ else "netpol-audit"
)
NEWEST = (slow("1.35"), slow("1.36"), "1.37")
HELMS_OWN = {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
KEPT = {"helm.sh/resource-policy": "keep"}
IMAGE = ("--set", "image.repository=registry.example/netpol-audit")
ALL = (*IMAGE, "--set", "allNamespaces=true")
SOME = (*IMAGE, "--set", "namespaces={prod,staging}")
CONFORMANCE = (*IMAGE, "--set", "conformance=true")
EVERYTHING = {
    "namespaces": ["prod", "123"],
    "peerNamespaces": ["dev", "prod"],
    "options": ["--timeout 2", "-l 'app in (web, db)'", "# by night"],
    "secretOptions": "webhook",
    "intent": "schema: audit.intent/v1\nrules: []\n",
    "suppressions": "schema: audit.finding-suppressions/v1\nsuppressions: []\n",
    "history": {"storageClassName": "slow", "size": "500Mi", "accessModes": ["ReadWriteMany"]},
    "image": {"repository": "registry.example/netpol-audit", "digest": f"sha256:{'0' * 64}"},
    "reports": True,
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"name": "nightly", "annotations": {"team": "network"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "low",
    "podAnnotations": {"a": "true"},
    "podLabels": {"b": "1"},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"protocol": "TCP", "port": 5432}]}]},
}


def tool(name, *places):
    """Where the programme ``name`` is. Skips the test, which says how to get it, where it isn't."""
    kept = [CACHE / place for place in (f"chart-tools/bin/{name}", f"bin/{name}", *places) if (CACHE / place).exists()]
    path = str(kept[0]) if kept else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is missing: make chart-tools gets it")
    return path


def call(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@cache
def helm(*arguments, release="netpol-audit"):
    return call(tool("helm"), "template", release, CHART, "-n", "netpol-audit", *arguments)


def helm_text(*arguments, **named):
    done = helm(*arguments, **named)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def kustomize_text(directory):
    done = call(tool("kubectl"), "kustomize", directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text):
    return [item for item in yaml.safe_load_all(text) if item]


def without_helms_labels(item):
    if isinstance(item, dict):
        return {
            key: without_helms_labels(value)
            for key, value in item.items()
            if key not in HELMS_OWN and not (key == "annotations" and value == KEPT)
        }
    return [without_helms_labels(each) for each in item] if isinstance(item, list) else item


def by_name(items):
    named = {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in items}
    assert len(named) == len(items)
    return named


def one(items, kind):
    (found,) = [item for item in items if item["kind"] == kind]
    return found


def pod(items):
    return one(items, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    path = tmp_path_factory.mktemp("values") / "values.yaml"
    path.write_text(json.dumps(EVERYTHING), encoding="utf-8")
    return ("-f", str(path))


@pytest.mark.parametrize(("overlay", "values"), [("all-namespaces", ALL), ("namespaces", SOME)])
def test_chart_and_overlay_render_the_same(overlay, values):
    from_kustomize = by_name(objects(kustomize_text(OVERLAYS / overlay)))
    namespace = from_kustomize.pop(("Namespace", "", "netpol-audit"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert by_name(without_helms_labels(objects(helm_text(*values)))) == from_kustomize


def test_conformance_renders_the_same_from_chart_and_overlay():
    name = "netpol-audit-conformance"
    done = call(tool("helm"), "template", name, CHART, "-n", name, *CONFORMANCE)
    assert done.returncode == 0, done.stderr
    # A suffix is all that kustomize can give to a name.
    text = kustomize_text(OVERLAYS / "conformance").replace("netpol-audit-history-conformance", f"{name}-history")
    from_kustomize = by_name(objects(text))
    namespace = from_kustomize.pop(("Namespace", "", name))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert by_name(without_helms_labels(objects(done.stdout))) == from_kustomize
    assert pod(objects(done.stdout))["containers"][0]["args"][0] == "conformance"


@pytest.mark.parametrize(
    "values", ["allNamespaces=true", "namespaces={prod}", "inPlace=true", "reports=true", "intent=x", "suppressions=x"]
)
def test_conformance_goes_without_what_it_would_ignore(values):
    done = helm(*CONFORMANCE, "--set", values)
    assert done.returncode != 0
    assert f"conformance goes without {values.partition('=')[0]}" in done.stderr


def test_the_components_render_what_the_values_do(tmp_path):
    shutil.copytree(ROOT / "deploy" / "kustomize", tmp_path / "kustomize")
    overlay = tmp_path / "kustomize" / "overlays" / "all-namespaces"
    path = overlay / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    assert "# - ../../components/" in text
    for place in ("../../components/", "report-binding"):
        text = text.replace(f"# - {place}", f"  - {place}")
    path.write_text(text, encoding="utf-8")
    components = ROOT / "deploy" / "kustomize" / "components"
    files = [f"{name}={components / name / name}.yaml" for name in ("intent", "suppressions")]
    more = [word for file in files for word in ("--set-file", file)]
    switches = ("networkPolicy.enabled", "reports", "prometheusRule.enabled", "dashboard.enabled")
    rendered = helm_text(*ALL, "--set", ",".join(f"{name}=true" for name in switches), *more)
    from_kustomize = by_name(objects(kustomize_text(overlay)))
    del from_kustomize["Namespace", "", "netpol-audit"]
    assert by_name(without_helms_labels(objects(rendered))) == from_kustomize


@pytest.mark.parametrize(
    ("values", "uses"),
    [
        (ALL, ("-A",)),
        (SOME, ("-n", "prod", "-n", "staging")),
        ((*SOME, "--set", "inPlace=true"), ("--in-place", "-n", "prod", "-n", "staging")),
        (CONFORMANCE, ("--conformance",)),
        ((*ALL, "--set", "inPlace=true"), ("--in-place", "-A")),
        ((*SOME, "--set", "peerNamespaces={dev,prod}"), ("-n", "prod", "-n", "staging", "-n", "dev")),
        ((*SOME, "--set", "reports=true"), ("--reports", "-n", "prod", "-n", "staging")),
        ((*ALL, "--set", "reports=true", "--set", "inPlace=true"), ("--reports", "--in-place", "-A")),
        (
            (*ALL, "--set", "history.configMap=true"),
            ("-A", "--history", "configmap://netpol-audit/netpol-audit-history"),
        ),
        (
            (*CONFORMANCE, "--set", "history.configMap=true"),
            ("--conformance", "--history", "configmap://netpol-audit/netpol-audit-history"),
        ),
    ],
)
def test_the_chart_grants_what_audit_rbac_prints(values, uses):
    printed = objects(CliRunner().invoke(audit, ["rbac", *uses]).output)
    rendered = objects(helm_text(*values))
    granted = [item for item in rendered if item["kind"] == "ServiceAccount" or "rbac" in item["apiVersion"]]
    for item in granted:
        del item["metadata"]["labels"]
    expected = by_name([item for item in printed if item["kind"] != "Namespace"])
    assert by_name(granted) == expected


def test_a_config_map_takes_the_place_of_the_volume(tmp_path):
    shutil.copytree(ROOT / "deploy" / "kustomize", tmp_path / "kustomize")
    overlay = tmp_path / "kustomize" / "overlays" / "all-namespaces"
    path = overlay / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("- ../../components/history #", "- ../../components/history-configmap #"))
    from_kustomize = by_name(objects(kustomize_text(overlay)))
    del from_kustomize["Namespace", "", "netpol-audit"]
    rendered = objects(helm_text(*ALL, "--set", "history.configMap=true"))
    assert by_name(without_helms_labels(rendered)) == from_kustomize
    assert [volume["name"] for volume in pod(rendered)["volumes"]] == ["config"]


def test_values_that_an_older_release_did_not_have_are_as_if_switched_off():
    """Which is what 'helm upgrade --reuse-values' comes to."""
    switches = ("conformance", "inPlace", "reports", "history.configMap")
    parts = ("prometheusRule", "dashboard", "networkPolicy", "secretOptions", "intent", "suppressions", "podLabels")
    gone = ",".join(f"{name}=null" for name in (*switches, *parts))
    assert objects(helm_text(*SOME, "--set", gone)) == objects(helm_text(*SOME))


def test_whoever_grants_rights_himself_gets_none(everything):
    without = helm_text(*everything, "--set", "rbac.create=false", "--set", "serviceAccount.create=false")
    assert {item["kind"] for item in objects(without)} == {
        *("ConfigMap", "CronJob", "NetworkPolicy", "PersistentVolumeClaim"),
    }
    assert pod(objects(without))["serviceAccountName"] == "nightly"


@pytest.mark.parametrize("version", NEWEST)
def test_kubernetes_knows_every_field(version, everything, tmp_path):
    validate = tool("kubernetes-validate", "chart-tools/validate/bin/kubernetes-validate")
    texts = [helm_text(*ALL), helm_text(*SOME, "--set", "inPlace=true"), helm_text(*everything)]
    texts.append(helm_text(*CONFORMANCE))
    texts += [kustomize_text(path) for path in sorted(OVERLAYS.iterdir())]
    path = tmp_path / "objects.yaml"
    path.write_text("\n---\n".join(texts), encoding="utf-8")
    done = call(validate, "-k", version, "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(texts[0].replace("backoffLimit", "backofLimit"), encoding="utf-8")
    assert call(validate, "-k", version, "--strict", path).returncode == 1


@pytest.mark.parametrize("values", [ALL, SOME, (*SOME, "--set", "inPlace=true"), CONFORMANCE, None])
def test_the_auditor_knows_every_option(values, everything, tmp_path):
    items = objects(helm_text(*(values or everything)))
    (container,) = pod(items)["containers"]
    (config,) = [item for item in items if item["kind"] == "ConfigMap" and "options" in item["data"]]
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = [word.replace("/etc/netpol-audit/", f"{tmp_path}/") for word in container["args"]]
    words = [word for word in words if not word.startswith("@/etc/netpol-audit-secret/")]
    name, *options = with_options_of_files(words)
    context = audit.get_command(click.Context(audit), name).make_context(name, list(options))
    if values == CONFORMANCE:
        assert (name, context.params["image"]) == ("conformance", "$(AUDIT_IMAGE)")
        return
    assert context.params["in_place"] == ("--in-place" in options)
    chosen = {"allNamespaces": context.params["all_namespaces"], "namespaces": context.params["namespaces"]}
    if values is None:
        assert chosen["namespaces"] == ("prod", "123")
        assert context.params["selector"] == "app in (web, db)"
        assert context.params["intent"].endswith("intent.yaml")
        assert context.params["suppressions"].endswith("suppressions.yaml")
        assert context.params["history"] == "/var/lib/netpol-audit"
        assert context.params["reports"] == "netpol-audit"
    else:
        assert chosen in (
            {"allNamespaces": True, "namespaces": ()},
            {"allNamespaces": False, "namespaces": ("prod", "staging")},
        )


def test_one_image_serves_the_audit_and_its_probe_pods(everything):
    for text in (helm_text(*ALL), helm_text(*everything), kustomize_text(OVERLAYS / "namespaces")):
        (container,) = pod(objects(text))["containers"]
        assert {"name": "AUDIT_IMAGE", "value": container["image"]} in container["env"]
        assert container["args"][:3] == ["run", "--image", "$(AUDIT_IMAGE)"]


def test_findings_are_not_tried_again_and_evictions_are(everything):
    spec = one(objects(helm_text(*everything)), "CronJob")["spec"]
    job = spec["jobTemplate"]["spec"]
    (disrupted, ended) = job["podFailurePolicy"]["rules"]
    assert disrupted == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert ended["action"] == "FailJob"
    assert ended["onExitCodes"]["containerName"] == pod(objects(helm_text(*everything)))["containers"][0]["name"]
    assert set(ended["onExitCodes"]["values"]) == {FINDINGS, WRONG_INPUT, INCONCLUSIVE}
    assert not {ENVIRONMENT, INTERRUPTED} & set(ended["onExitCodes"]["values"])
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["concurrencyPolicy"] == "Forbid"


def test_whoever_starts_a_night_its_pod_is_the_same_workload(everything):
    for text in (helm_text(*ALL), helm_text(*everything), kustomize_text(OVERLAYS / "namespaces")):
        night = one(objects(text), "CronJob")
        labels = night["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert labels[WORKLOAD_LABEL] == night["metadata"]["name"]


def test_the_pod_meets_the_restricted_standard(everything):
    for text in (helm_text(*ALL), helm_text(*everything), kustomize_text(OVERLAYS / "namespaces")):
        spec = pod(objects(text))
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(
            set(volume) - {"name"} <= {"configMap", "secret", "persistentVolumeClaim"} for volume in spec["volumes"]
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (IMAGE, "say what is audited: namespaces, or allNamespaces"),
        ((*SOME, "--set", "allNamespaces=true"), "leave one or the other out"),
        ((*ALL, "--set", "peerNamespaces={dev}"), "leave one or the other out"),
        (("--set", "allNamespaces=true"), "image.repository: say where the image is"),
        ((*ALL, "--set", "schedul=x"), "schedul"),
        ((*ALL, "--set", "startingDeadlineSeconds=5"), "minimum: got 5, want 10"),
        ((*IMAGE, "--set", "namespaces={Prod}"), "/namespaces/0"),
        ((*ALL, "--set", "options={@/etc/other}"), "/options/0"),
        ((*ALL, "--set", "job.retries=3"), "retries"),
        ((*ALL, "--set", "history.size=0"), "/history/size"),
    ],
)
def test_values_that_make_no_sense_are_refused(arguments, said):
    done = helm(*arguments)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("values", [ALL, (*SOME, "--set", "rbac.create=false"), None])
def test_helm_finds_nothing_to_complain_of(values, everything):
    done = call(tool("helm"), "lint", "--strict", CHART, *(values or everything))
    assert done.returncode == 0, done.stdout


def test_the_history_outlives_the_release_and_may_be_elsewhere_or_nowhere():
    claim = one(objects(helm_text(*ALL)), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == KEPT
    there = objects(helm_text(*ALL, "--set", "history.existingClaim=nights"))
    assert "PersistentVolumeClaim" not in {item["kind"] for item in there}
    assert pod(there)["volumes"][1]["persistentVolumeClaim"] == {"claimName": "nights"}
    without = objects(helm_text(*ALL, "--set", "history.enabled=false"))
    assert [volume["name"] for volume in pod(without)["volumes"]] == ["config"]
    assert "history" not in str(without)


@pytest.mark.parametrize(
    "values", [ALL, CONFORMANCE, (*SOME, "--set", "inPlace=true,reports=true,prometheusRule.enabled=true"), None]
)
def test_the_elder_helm_renders_the_same(values, everything):
    # One that is built by hand takes an old version of Kubernetes for its default.
    chosen = (*(values or everything), "--kube-version", "1.36.0")
    elder = call(tool("helm3"), "template", "netpol-audit", CHART, "-n", "netpol-audit", *chosen)
    assert elder.returncode == 0, elder.stderr
    assert objects(elder.stdout) == objects(helm_text(*chosen))


def test_two_releases_share_no_object():
    first, second = (by_name(objects(helm_text(*SOME, release=name))) for name in ("one", "two"))
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (
            (*SOME, "--set", "inPlace=true,reports=true", "--set", "peerNamespaces={dev}"),
            "--in-place --reports -n prod -n staging -n dev",
        ),
        (CONFORMANCE, "--conformance"),
    ],
)
def test_the_notes_say_how_to_get_the_rights_that_are_not_granted(values, options):
    more = ("--set", "rbac.create=false")
    command = call(tool("helm"), "install", "--dry-run=client", "netpol-audit", CHART, "-n", "audits", *values, *more)
    assert command.returncode == 0, command.stderr
    words = f"audit rbac {options} --service-account audits/netpol-audit"
    assert words in " ".join(command.stdout.split())


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    for path in OVERLAYS.glob("*/kustomization.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["images"][0]["newTag"] == __version__
