{{- /* Written by tools/write-manifests. */}}
{{- define "netpol-audit.rules.read" -}}
# The cluster as it is, and what changes in it during a run.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [nodes, services]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch]
# Policies of administrators, where their CRDs are installed.
- apiGroups: [policy.networking.k8s.io]
  resources: [adminnetworkpolicies, baselineadminnetworkpolicies, clusternetworkpolicies]
  verbs: [list, watch]
# Whether a Service would send traffic to a probe pod, and whether one did.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# What a probe pod must not disturb, and what must have room for it.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list]
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list]
# Policies of other kinds are not evaluated: the report counts them, and what they are for is in doubt.
- apiGroups: [cilium.io]
  resources: [ciliumnetworkpolicies, ciliumclusterwidenetworkpolicies]
  verbs: [list]
- apiGroups: [crd.projectcalico.org, projectcalico.org]
  resources: [networkpolicies, globalnetworkpolicies]
  verbs: [list]
- apiGroups: [crd.antrea.io]
  resources: [networkpolicies, clusternetworkpolicies]
  verbs: [list]
- apiGroups: [networking.k8s.aws]
  resources: [clusternetworkpolicies, applicationnetworkpolicies]
  verbs: [list]
# What leads in from outside, for expect, explain and snapshot: without it they say so and go on.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, grpcroutes, httproutes, referencegrants, tcproutes, tlsroutes, udproutes]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [list]
{{- end }}

{{- define "netpol-audit.rules.probe" -}}
# Lock, sign of life, and owner of the rest; those of dead runs are found and deleted.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, delete, get, list, update]
# The agent's source.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, deletecollection]
# The agent is started and spoken to by exec. Which of the two verbs the API server asks for depends on its version.
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [create, get]
{{- end }}

{{- define "netpol-audit.rules.in-place" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, delete, get, list, update]
# Whether the container that joins a pod runs.
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
- apiGroups: [""]
  resources: [pods/ephemeralcontainers]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [create, get]
{{- end }}

{{- define "netpol-audit.rules.reports" -}}
# Of the two APIs the one that is installed is used. Each run's take the place of the last one's.
- apiGroups: [openreports.io]
  resources: [reports]
  verbs: [create, get, update]
- apiGroups: [wgpolicyk8s.io]
  resources: [policyreports]
  verbs: [create, get, update]
{{- end }}

{{- define "netpol-audit.rules.cluster-reports" -}}
# Of the two APIs the one that is installed is used. Each run's take the place of the last one's.
- apiGroups: [openreports.io]
  resources: [clusterreports]
  verbs: [create, get, update]
- apiGroups: [wgpolicyk8s.io]
  resources: [clusterpolicyreports]
  verbs: [create, get, update]
{{- end }}

{{- define "netpol-audit.rules.history" -}}
# RBAC can't restrict by name what may be created.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "netpol-audit.name" . }}-history]
  verbs: [get, update]
{{- end }}

{{- define "netpol-audit.rules.conformance" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
# Labels of its own namespaces and pods are changed, too: a CNI must follow.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [create, delete, list, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [create, get]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, update]
# Without this right or the next, what is said of policies through Services is left out, loudly.
- apiGroups: [""]
  resources: [services]
  verbs: [create]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, delete, get, list, update]
{{- end }}
