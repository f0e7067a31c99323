"""Policies of a CNI's own kinds: what they are for is in doubt where that can be read, and nothing else is."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family, Snapshot
from auditor.model.verdict import Cell
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.policy.doubt import Unreadable, doubtful_cells
from auditor.run.sources import load_sources

CILIUM, CALICO = "cilium.io/v2", "projectcalico.org/v3"
AWS, ANTREA = "networking.k8s.aws/v1alpha1", "crd.antrea.io/v1beta1"
PODS = {
    "prod/web": {"app": "web", "tier": "front"},
    "prod/db": {"app": "db"},
    "dev/web": {"app": "web"},
}
DEV = {"matchLabels": {"stage": "dev"}}
WEB = {"matchLabels": {"app": "web"}}
EVERYBODY = set(PODS)
OUTSIDE = {"out": (ip_address("203.0.113.1"),)}


def text(*objects: object) -> bytes:
    items: list[object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"stage": name}}}
        for name in ("prod", "dev")
    ]
    for number, (name, labels) in enumerate(PODS.items()):
        namespace, _, own = name.partition("/")
        metadata = {"namespace": namespace, "name": own, "labels": labels}
        status = {"podIPs": [{"ip": f"10.0.0.{number + 1}"}]}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        items.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": [*items, *objects]})


def policy(version: str, kind: str, spec: object, namespace: str = "") -> dict[str, object]:
    metadata = {"name": "guard", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def snapshot_with(*objects: object) -> Snapshot:
    return read_snapshot([Source("all.json", text(*objects))], hosts=OUTSIDE)


def in_doubt(snapshot: Snapshot) -> set[str]:
    """The pods of which it is not known whether a host outside reaches them."""
    cells = [Cell("host/out", name, Protocol.TCP, 80, Family.IPV4) for name in PODS]
    return {cell.destination for cell in doubtful_cells(snapshot, snapshot.unknown, cells)}


def endpoints(**selector: object) -> dict[str, object]:
    return {"endpointSelector": selector}


def expressions(key: str, operator: str, *values: str) -> dict[str, object]:
    return endpoints(matchExpressions=[{"key": key, "operator": operator, **({"values": values} if values else {})}])


READ = [
    (policy(CILIUM, "CiliumNetworkPolicy", endpoints(**WEB), "prod"), {"prod/web"}),
    (policy(CILIUM, "CiliumNetworkPolicy", endpoints(), "prod"), {"prod/web", "prod/db"}),
    (
        policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(matchLabels={"k8s:app": "web"})),
        {"prod/web", "dev/web"},
    ),
    (
        policy(
            CILIUM,
            "CiliumClusterwideNetworkPolicy",
            endpoints(matchLabels={"any:app": "web", "k8s:io.kubernetes.pod.namespace": "dev"}),
        ),
        {"dev/web"},
    ),
    (
        policy(
            CILIUM, "CiliumClusterwideNetworkPolicy", expressions("io.cilium.k8s.namespace.labels.stage", "In", "prod")
        ),
        {"prod/web", "prod/db"},
    ),
    (policy(CILIUM, "CiliumClusterwideNetworkPolicy", expressions("tier", "DoesNotExist")), {"prod/db", "dev/web"}),
    (policy(CALICO, "NetworkPolicy", {"selector": "app == 'web'"}, "prod"), {"prod/web"}),
    (policy(CALICO, "GlobalNetworkPolicy", {"selector": 'app != "web"'}), {"prod/db"}),
    (policy(CALICO, "GlobalNetworkPolicy", {"types": ["Ingress"]}), EVERYBODY),
    (policy(CALICO, "GlobalNetworkPolicy", {"selector": "all()", "namespaceSelector": "stage == 'dev'"}), {"dev/web"}),
    (
        policy(CALICO, "GlobalNetworkPolicy", {"selector": "app in {'web', 'x'} && !has(tier)"}),
        {"dev/web"},
    ),
    (
        policy(CALICO, "GlobalNetworkPolicy", {"selector": "has(tier) && projectcalico.org/namespace == 'prod'"}),
        {"prod/web"},
    ),
    (policy(CALICO, "GlobalNetworkPolicy", {"namespaceSelector": "projectcalico.org/name == 'dev'"}), {"dev/web"}),
    (
        policy("crd.projectcalico.org/v1", "GlobalNetworkPolicy", {"selector": "app not in {'db'}"}),
        {"prod/web", "dev/web"},
    ),
    (policy(AWS, "ClusterNetworkPolicy", {"subject": {"namespaces": DEV}}), {"dev/web"}),
    (
        policy(AWS, "ClusterNetworkPolicy", {"subject": {"pods": {"namespaceSelector": DEV, "podSelector": WEB}}}),
        {"dev/web"},
    ),
    (policy(AWS, "ApplicationNetworkPolicy", {"podSelector": WEB, "egress": []}, "prod"), {"prod/web"}),
    (policy(ANTREA, "NetworkPolicy", {"appliedTo": [{"podSelector": WEB}]}, "prod"), {"prod/web"}),
    (policy(ANTREA, "ClusterNetworkPolicy", {"appliedTo": [{"podSelector": WEB}]}), {"prod/web", "dev/web"}),
    (
        policy(ANTREA, "ClusterNetworkPolicy", {"appliedTo": [{"podSelector": WEB}, {"namespaceSelector": DEV}]}),
        EVERYBODY,
    ),
]


@pytest.mark.parametrize(("manifest", "concerned"), READ)
def test_what_it_is_for_is_in_doubt(manifest: dict[str, object], concerned: set[str]) -> None:
    snapshot = snapshot_with(manifest)
    assert in_doubt(snapshot) == concerned
    (unknown,) = snapshot.unknown
    assert unknown.full_name.startswith(str(manifest["kind"]))
    assert {name for name in PODS if Unreadable(snapshot).touches([snapshot.endpoint(name)])} >= concerned
    assert sum(snapshot.ignored.values()) == 1


NOT_READ = [
    policy(CILIUM, "CiliumNetworkPolicy", {"ingress": "deny"}, "prod"),
    policy(CILIUM, "CiliumClusterwideNetworkPolicy", {"nodeSelector": {}}),
    policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(matchLabels={"reserved:host": ""})),
    policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(matchLabels={"io.cilium.k8s.policy.cluster": "x"})),
    policy(CILIUM, "CiliumClusterwideNetworkPolicy", expressions("app", "Like", "w")),
    *(policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(matchExpressions=each)) for each in (5, True, "ab")),
    *(
        policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(matchExpressions=[each]))
        for each in ({"key": "app", "operator": "In", "values": values} for values in ("web", {"web": 1}, [5]))
    ),
    policy(CALICO, "GlobalNetworkPolicy", {"selector": "app == 'web' || app == 'db'"}),
    policy(CALICO, "GlobalNetworkPolicy", {"selector": "app starts with 'w'"}),
    policy(CALICO, "GlobalNetworkPolicy", {"selector": "projectcalico.org/orchestrator == 'k8s'"}),
    policy(AWS, "ClusterNetworkPolicy", {"tier": "Admin"}),
    policy(AWS, "ApplicationNetworkPolicy", {"egress": []}, "prod"),
    policy(ANTREA, "ClusterNetworkPolicy", {"appliedTo": [{"group": "g"}]}),
]
NOT_IN_FORCE = [
    policy(CALICO, kind, {"selector": "all()"}, "prod")
    for kind in ("StagedGlobalNetworkPolicy", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy")
]


@pytest.mark.parametrize("manifest", [*NOT_READ, *NOT_IN_FORCE])
def test_what_can_not_be_read_or_is_not_in_force_is_counted_alone(manifest: dict[str, object]) -> None:
    snapshot = snapshot_with(manifest)
    assert snapshot.unknown == ()
    assert sum(snapshot.ignored.values()) == 1


def test_what_has_a_spec_and_further_ones_is_for_the_pods_of_all() -> None:
    both = {
        **policy(CILIUM, "CiliumNetworkPolicy", endpoints(matchLabels={"app": "db"}), "prod"),
        "specs": [endpoints(**WEB)],
    }
    assert in_doubt(snapshot_with(both)) == {"prod/web", "prod/db"}
    unread = {**both, "specs": [{"nodeSelector": {}}]}
    assert snapshot_with(unread).unknown == ()


def test_one_of_the_same_name_as_a_standard_one_leaves_that_in_force() -> None:
    subject = {"subject": {"namespaces": {}}}
    rules = {"tier": "Admin", "priority": 1, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}
    standard = policy("policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy", {**subject, **rules})
    snapshot = snapshot_with(standard, policy(AWS, "ClusterNetworkPolicy", subject))
    assert [each.full_name for each in snapshot.admin_policies] == ["ClusterNetworkPolicy guard"]
    assert [each.full_name for each in snapshot.unknown] == ["ClusterNetworkPolicy of networking.k8s.aws guard"]


def test_it_is_found_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_bytes(text())
    (tmp_path / "cilium.yaml").write_bytes(
        msgspec.yaml.encode(policy(CILIUM, "CiliumClusterwideNetworkPolicy", endpoints(**WEB)))
    )
    snapshot = read_snapshot(load_sources([str(tmp_path)]), hosts=OUTSIDE)
    assert in_doubt(snapshot) == {"prod/web", "dev/web"}
