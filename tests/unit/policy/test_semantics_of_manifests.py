"""What a NetworkPolicy means as far as that is settled while manifests are read: defaults, finished pods, several
documents.

The numbers in the tests' names are the lines of docs/semantics.md; test_semantics.py has the rest of them.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from auditor.model.snapshot import Snapshot
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source


def read(text: str) -> Snapshot:
    return read_snapshot([Source("test.yaml", text.encode())])


def manifest(policy_spec: str) -> Snapshot:
    """Two pods, of which ``db`` is selected by a policy with this spec, in YAML's flow style."""
    return read(f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: prod, labels: {{app: web}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db, namespace: prod, labels: {{app: db}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: db, namespace: prod}}
spec: {policy_spec}
""")


@pytest.mark.parametrize(
    ("spec", "into", "out"),
    [
        ("{podSelector: {matchLabels: {app: db}}}", False, True),
        ("{podSelector: {matchLabels: {app: db}}, policyTypes: []}", False, True),
        ("{podSelector: {matchLabels: {app: db}}, ingress: [{}]}", True, True),
        ("{podSelector: {matchLabels: {app: db}}, egress: []}", False, True),
        ("{podSelector: {matchLabels: {app: db}}, egress: [{ports: [{port: 1}]}]}", False, False),
        ("{podSelector: {matchLabels: {app: db}}, egress: [{}]}", False, True),
        ("{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}", True, False),
        ("{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress]}", False, False),
    ],
)
def test_01_policy_types_absent_means_ingress_and_egress_only_with_a_rule(reaches, spec, into, out):
    snapshot = manifest(spec)
    assert reaches(snapshot, "prod/web", "prod/db") is into
    assert reaches(snapshot, "prod/db", "prod/web") is out


def test_05_every_namespace_has_its_name_as_a_label(reaches):
    text = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: dev}
---
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {stage: prod}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}]}]}
"""
    assert reaches(read(text.replace("NAME", "dev")), "dev/web", "prod/db")
    assert not reaches(read(text.replace("NAME", "prod")), "dev/web", "prod/db")


def test_06_protocol_defaults_to_tcp(reaches):
    snapshot = manifest("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 53}]}]}")
    assert reaches(snapshot, "prod/web", "prod/db", "TCP/53")
    assert not reaches(snapshot, "prod/web", "prod/db", "UDP/53")


def test_07_restartable_init_containers_declare_ports_and_others_do_not(reaches):
    text = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod, labels: {app: db}}
spec:
  initContainers:
  - {name: sidecar, image: x, restartPolicy: Always, ports: [{name: http, containerPort: 8080}]}
  - {name: setup, image: x, ports: [{name: http, containerPort: 9090}]}
  containers: [{name: main, image: x}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: http}]}]}
"""
    assert reaches(read(text), "prod/web", "prod/db", "TCP/8080")
    assert not reaches(read(text), "prod/web", "prod/db", "TCP/9090")


def test_09_host_bits_of_a_cidr_are_cut_off(reaches):
    text = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod}
status: {phase: Running, podIPs: [{ip: 10.244.0.9}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: prod, labels: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: prod}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.77/24}}]}]}
"""
    assert reaches(read(text), "prod/web", "prod/db")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_13_finished_pods_are_no_endpoints(phase):
    snapshot = read(f"""
apiVersion: v1
kind: Pod
metadata: {{name: job, namespace: prod}}
status: {{phase: {phase}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: prod}}
status: {{phase: Running}}
""")
    assert [endpoint.name for endpoint in snapshot.endpoints] == ["prod/web"]
    assert snapshot.ignored == {"Pod (finished)": 1}


def test_13_all_addresses_of_a_pod_are_read_from_its_status():
    snapshot = read("""
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: prod}
status: {phase: Running, podIP: 10.244.0.9, podIPs: [{ip: 10.244.0.9}, {ip: "fd00:10:244::9"}]}
""")
    assert snapshot.endpoints[0].addresses == (ip_address("10.244.0.9"), ip_address("fd00:10:244::9"))


def test_all_documents_of_a_file_count(reaches):
    """Evaluators are known that read the first document only; here the policy is the third."""
    assert not reaches(manifest("{podSelector: {}, policyTypes: [Ingress]}"), "prod/web", "prod/db")
