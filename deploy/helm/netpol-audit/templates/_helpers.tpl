{{- define "netpol-audit.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "netpol-audit.account" -}}
{{- .Values.serviceAccount.name | default (include "netpol-audit.name" .) }}
{{- end }}

{{- define "netpol-audit.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "netpol-audit.labels" -}}
{{ include "netpol-audit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "netpol-audit.image" -}}
{{- $repository := required "image.repository: say where the image is that was built with the Containerfile" .Values.image.repository }}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}
{{- else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The use that a run makes of its rights, which is also what its role is called. */}}
{{- define "netpol-audit.use" -}}
{{- if .Values.conformance }}conformance{{ else if .Values.inPlace }}in-place{{ else }}probe{{ end }}
{{- end }}

{{- /* Where records are kept, if anywhere. */}}
{{- define "netpol-audit.history" -}}
{{- if .Values.history.enabled }}{{ if .Values.history.configMap }}configmap{{ else }}volume{{ end }}{{ end }}
{{- end }}

{{- define "netpol-audit.check" -}}
{{- if and .Values.allNamespaces (or .Values.namespaces .Values.peerNamespaces) }}
{{- fail "allNamespaces goes without namespaces and peerNamespaces: leave one or the other out" }}
{{- end }}
{{- if .Values.conformance }}
{{- range list "allNamespaces" "namespaces" "peerNamespaces" "inPlace" "reports" "intent" "suppressions" }}
{{- if index $.Values . }}
{{- fail (printf "conformance goes without %s: it audits namespaces of its own; install a second release for it" .) }}
{{- end }}
{{- end }}
{{- else if not (or .Values.allNamespaces .Values.namespaces) }}
{{- fail "say what is audited: namespaces, or allNamespaces" }}
{{- end }}
{{- end }}

{{- define "netpol-audit.binding" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ include "netpol-audit.account" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
