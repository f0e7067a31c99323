"""What each use of the auditor needs of a cluster's RBAC: the one definition of it.

``audit rbac`` prints it for what is asked for, and tools/write-manifests writes deploy/ from it. That each right is
needed, and that none is missing, is shown on a real cluster (tests/e2e/test_rights.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Rule:
    """rbac/v1 PolicyRule: ``verbs`` on the ``resources`` of API ``groups`` (``""`` is the core group), and ``why``.

    ``names``: of these objects alone.
    """

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str = ""
    names: tuple[str, ...] = ()


class Role(Enum):
    """A ClusterRole for each use. The value is its name after the service account's: ``netpol-audit-read``."""

    READ = "read"
    SNAPSHOT = "snapshot"
    READ_NAMESPACE = "read-namespace"
    PROBE = "probe"
    IN_PLACE = "in-place"
    CLEANUP = "cleanup"
    CONFORMANCE = "conformance"
    ADMIN_POLICIES = "conformance-admin-policies"
    SERVICES = "services"
    REPORTS = "reports"
    CLUSTER_REPORTS = "cluster-reports"
    HISTORY = "history"


PURPOSES: Mapping[Role, str] = {
    Role.READ: "audit snapshot, expect, explain, lint, intent and preflight; audit run beside one of the roles below",
    Role.SNAPSHOT: "audit snapshot, expect, explain, lint and intent of a whole cluster, for people who run no audits",
    Role.READ_NAMESPACE: "audit snapshot -n, for users who may read single namespaces only; "
    'the built-in role "view" is enough, too',
    Role.PROBE: "audit run",
    Role.IN_PLACE: "audit run --in-place",
    Role.SERVICES: "audit run --services, beside what audit run needs",
    Role.CLEANUP: "audit cleanup",
    Role.CONFORMANCE: "audit conformance",
    Role.ADMIN_POLICIES: "audit conformance --admin-policies, beside what audit conformance needs; and to clean up "
    "after it",
    Role.REPORTS: "audit run --reports: the object of each namespace",
    Role.CLUSTER_REPORTS: "audit run --reports: the object of the whole run",
    Role.HISTORY: "audit run --history configmap://NAMESPACE/NAME, in that namespace",
}

_CORE = ("",)
_POLICIES = ("networking.k8s.io",)
_TIERS = ("policy.networking.k8s.io",)
_LEASES = ("coordination.k8s.io",)

_ADMIN_POLICIES = ("adminnetworkpolicies", "baselineadminnetworkpolicies", "clusternetworkpolicies")
_OTHER_POLICIES = (
    Rule(
        ("cilium.io",),
        ("ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"),
        ("list",),
        "Policies of other kinds are not evaluated: the report counts them, and what they are for is in doubt.",
    ),
    Rule(("crd.projectcalico.org", "projectcalico.org"), ("networkpolicies", "globalnetworkpolicies"), ("list",)),
    Rule(("crd.antrea.io",), ("networkpolicies", "clusternetworkpolicies"), ("list",)),
    Rule(("networking.k8s.aws",), ("clusternetworkpolicies", "applicationnetworkpolicies"), ("list",)),
)


_ENTRIES = Rule(
    ("networking.k8s.io",),
    ("ingresses",),
    ("list",),
    "What leads in from outside, for expect, explain and snapshot: without it they say so and go on.",
)
_ROUTES = Rule(
    ("gateway.networking.k8s.io",),
    ("gateways", "grpcroutes", "httproutes", "referencegrants", "tcproutes", "tlsroutes", "udproutes"),
    ("list",),
)
_ENTRY_CLASSES = (
    Rule(_POLICIES, ("ingressclasses",), ("list",)),
    Rule(("gateway.networking.k8s.io",), ("gatewayclasses",), ("list",)),
)


def _of_reports(resource: str, elder: str) -> tuple[Rule, ...]:
    verbs = ("create", "get", "update")
    why = "Of the two APIs the one that is installed is used. Each run's take the place of the last one's."
    return Rule(("openreports.io",), (resource,), verbs, why), Rule(("wgpolicyk8s.io",), (elder,), verbs)


def history_rules(name: str) -> tuple[Rule, ...]:
    """What keeping records in the ConfigMap ``name`` takes in its namespace."""
    return (
        Rule(_CORE, ("configmaps",), ("create",), "RBAC can't restrict by name what may be created."),
        Rule(_CORE, ("configmaps",), ("get", "update"), names=(name,)),
    )


RULES: Mapping[Role, tuple[Rule, ...]] = {
    Role.READ: (
        Rule(_CORE, ("pods",), ("list", "watch"), "The cluster as it is, and what changes in it during a run."),
        Rule(_CORE, ("namespaces",), ("get", "list", "watch")),
        Rule(_CORE, ("nodes", "services"), ("list",)),
        Rule(_POLICIES, ("networkpolicies",), ("list", "watch")),
        Rule(_TIERS, _ADMIN_POLICIES, ("list", "watch"), "Policies of administrators, where their CRDs are installed."),
        Rule(
            ("discovery.k8s.io",),
            ("endpointslices",),
            ("list",),
            "Whether a Service would send traffic to a probe pod, and whether one did.",
        ),
        Rule(
            ("policy",),
            ("poddisruptionbudgets",),
            ("list",),
            "What a probe pod must not disturb, and what must have room for it.",
        ),
        Rule(_CORE, ("resourcequotas",), ("list",)),
        *_OTHER_POLICIES,
        _ENTRIES,
        _ROUTES,
        *_ENTRY_CLASSES,
    ),
    Role.SNAPSHOT: (
        Rule(_CORE, ("namespaces", "nodes", "pods", "services"), ("list",)),
        Rule(_POLICIES, ("networkpolicies",), ("list",)),
        Rule(_TIERS, _ADMIN_POLICIES, ("list",), "Policies of administrators, where their CRDs are installed."),
        *_OTHER_POLICIES,
        _ENTRIES,
        _ROUTES,
        *_ENTRY_CLASSES,
    ),
    Role.READ_NAMESPACE: (
        Rule(_CORE, ("namespaces",), ("get",)),
        Rule(_CORE, ("pods", "services"), ("list",)),
        Rule(_POLICIES, ("networkpolicies",), ("list",)),
        _ENTRIES,
        _ROUTES,
    ),
    Role.PROBE: (
        Rule(
            _LEASES,
            ("leases",),
            ("create", "delete", "get", "list", "update"),
            "Lock, sign of life, and owner of the rest; those of dead runs are found and deleted.",
        ),
        Rule(_CORE, ("configmaps",), ("create",), "The agent's source."),
        Rule(_CORE, ("pods",), ("create", "deletecollection")),
        Rule(
            _CORE,
            ("pods/exec",),
            ("create", "get"),
            "The agent is started and spoken to by exec. Which of the two verbs the API server asks for depends on its "
            "version.",
        ),
    ),
    Role.IN_PLACE: (
        Rule(_LEASES, ("leases",), ("create", "delete", "get", "list", "update")),
        Rule(_CORE, ("pods",), ("get",), "Whether the container that joins a pod runs."),
        Rule(_CORE, ("pods/ephemeralcontainers",), ("patch",)),
        Rule(_CORE, ("pods/exec",), ("create", "get")),
    ),
    Role.SERVICES: (
        Rule(
            _CORE,
            ("services",),
            ("create",),
            "Each leads to one probe pod, and goes with the Lease that owns it.",
        ),
    ),
    Role.CLEANUP: (
        Rule(_LEASES, ("leases",), ("list", "delete")),
        Rule(_CORE, ("configmaps", "pods"), ("list", "delete")),
    ),
    Role.CONFORMANCE: (
        Rule(_CORE, ("nodes",), ("list",)),
        Rule(
            _CORE,
            ("namespaces",),
            ("create", "delete", "list", "patch"),
            "Labels of its own namespaces and pods are changed, too: a CNI must follow.",
        ),
        Rule(_CORE, ("pods",), ("create", "delete", "list", "patch", "watch")),
        Rule(_CORE, ("pods/exec",), ("create", "get")),
        Rule(_POLICIES, ("networkpolicies",), ("create", "delete", "update")),
        Rule(
            _CORE,
            ("services",),
            ("create",),
            "Without this right or the next, what is said of policies through Services is left out, loudly.",
        ),
        Rule(("discovery.k8s.io",), ("endpointslices",), ("list",)),
        Rule(_LEASES, ("leases",), ("create", "delete", "get", "list", "update")),
    ),
    Role.ADMIN_POLICIES: (
        Rule(
            _TIERS,
            _ADMIN_POLICIES,
            ("create", "delete", "list"),
            "Policies for its own pods alone, where selectors are read rightly. Whoever has this may open and close "
            "the whole cluster.",
        ),
    ),
    Role.REPORTS: _of_reports("reports", "policyreports"),
    Role.CLUSTER_REPORTS: _of_reports("clusterreports", "clusterpolicyreports"),
    Role.HISTORY: history_rules("netpol-audit-history"),
}
