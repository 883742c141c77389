{{- define "kubefoundry.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end }}

{{- define "kubefoundry.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "kubefoundry.name" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "kubefoundry.selector" -}}
app.kubernetes.io/name: kubefoundry
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kubefoundry.labels" -}}
{{ include "kubefoundry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kubefoundry
{{- end }}

{{- define "kubefoundry.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* Nine tenths of the memory limit, in MiB: the rest is what the Go runtime does not count. */ -}}
{{- define "kubefoundry.goMemoryLimit" -}}
{{- $limit := .Values.resources.limits.memory -}}
{{- $mebi := trimSuffix "Mi" $limit | float64 -}}
{{- if hasSuffix "Gi" $limit }}{{ $mebi = mulf 1024.0 (trimSuffix "Gi" $limit | float64) }}{{ end -}}
{{- mulf 0.9 $mebi | floor | int64 }}MiB
{{- end }}

{{- /* The server, as the subject of a binding. */ -}}
{{- define "kubefoundry.subject" -}}
- kind: ServiceAccount
  name: {{ include "kubefoundry.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What is read of each namespace. */ -}}
{{- define "kubefoundry.namespacedReads" -}}
- apiGroups: [""]
  resources: [pods, events]
  verbs: [get, list, watch]
- apiGroups: [apps] # the runtimes' operators
  resources: [deployments]
  verbs: [get, list, watch]
{{ include "kubefoundry.runtimes" (list "get" "list" "watch") }}
{{- end }}

{{- /* A rule for each runtime's custom resource, with the verbs that are given. */ -}}
{{- define "kubefoundry.runtimes" -}}
{{- $verbs := join ", " . -}}
- apiGroups: [kaito.sh]
  resources: [workspaces]
  verbs: [{{ $verbs }}]
- apiGroups: [ray.io]
  resources: [rayservices]
  verbs: [{{ $verbs }}]
- apiGroups: [nvidia.com]
  resources: [dynamographdeployments]
  verbs: [{{ $verbs }}]
{{- end }}

{{- /* What is wrong with the values and a schema cannot tell. */ -}}
{{- define "kubefoundry.check" -}}
{{- if and .Values.nats.url .Values.nats.listen.enabled }}
{{- fail "nats.listen.enabled opens the NATS server inside the pod, which nats.url replaces: subscribe to the external NATS, and leave nats.listen.enabled out" }}
{{- end }}
{{- if and .Values.nats.listen.enabled (gt (int .Values.replicas) 1) }}
{{- fail "nats.listen.enabled with more than one replica: each has a NATS server of its own, and a subscriber would get the events of whichever it reaches; set nats.url to an external NATS, or replicas to 1" }}
{{- end }}
{{- if and .Values.certificates.caBundle (not .Values.certificates.secretName) }}
{{- fail "certificates.caBundle belongs to certificates.secretName; without that the server writes the CA of its own certificate" }}
{{- end }}
{{- if not .Values.nats.url }}
{{- range $name := list "credentials" "ca" "clientCertificate" }}
{{- if (index $.Values.nats $name).secretName }}
{{- fail (printf "nats.%s is for an external NATS: set nats.url" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
