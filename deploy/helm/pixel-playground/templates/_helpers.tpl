{{/* Labels of every object; `app` names the service. */}}
{{- define "pixel-playground.labels" -}}
app.kubernetes.io/name: pixel-playground
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of pods: those that stay the same over versions, so that an upgrade of the chart alone rolls nothing. */}}
{{- define "pixel-playground.podLabels" -}}
app.kubernetes.io/name: pixel-playground
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "pixel-playground.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* ADDRESS:PORT to listen on: call with (list $ port). */}}
{{- define "pixel-playground.listen" -}}
{{- $address := (index . 0).Values.listenAddress -}}
{{ ternary (printf "[%s]" $address) $address (contains ":" $address) }}:{{ index . 1 }}
{{- end }}

{{- define "pixel-playground.redisAuth" -}}
{{ .Values.redis.auth.existingSecret | default "redis-auth" }}
{{- end }}

{{- define "pixel-playground.adminToken" -}}
{{ .Values.adminToken.existingSecret | default "pixel-playground-admin" }}
{{- end }}

{{/* A value of a Secret that is there already, or a fresh one: call with (list $ name key). */}}
{{- define "pixel-playground.keptSecret" -}}
{{- $secret := lookup "v1" "Secret" (index . 0).Release.Namespace (index . 1) -}}
{{- with and $secret (get ($secret.data | default dict) (index . 2)) -}}
{{ . }}
{{- else -}}
{{ randAlphaNum 40 | b64enc }}
{{- end -}}
{{- end }}

{{/* Security contexts as the restricted Pod Security Standard asks. */}}
{{- define "pixel-playground.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "pixel-playground.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Flags that say where the store is. */}}
{{- define "pixel-playground.storeFlags" -}}
{{- if .Values.redis.enabled }}
- --store={{ ternary "rediss" "redis" (ne .Values.redis.tls.existingSecret "") }}://redis-0.redis:6379/0
- --store-password-file=/etc/pixel-playground/redis/password
{{- if .Values.redis.tls.existingSecret }}
- --store-ca-file=/etc/pixel-playground/redis-ca/ca.crt
{{- end }}
{{- else }}
{{- with .Values.externalRedis.passwordKey }}
- --store-password-file=/etc/pixel-playground/redis/{{ . }}
{{- end }}
{{- with .Values.externalRedis.caKey }}
- --store-ca-file=/etc/pixel-playground/redis/{{ . }}
{{- end }}
{{- end }}
- --durability={{ .Values.durability }}
- --log-retention-bytes={{ .Values.logRetention }}
{{- end }}

{{/* The files that they name, as `name: {secret, items, at}`. */}}
{{- define "pixel-playground.storeFiles" -}}
{{- if .Values.redis.enabled }}
redis: { secret: {{ include "pixel-playground.redisAuth" . | quote }}, keys: [password] }
{{- with .Values.redis.tls.existingSecret }}
redis-ca: { secret: {{ . | quote }}, keys: [ca.crt] }
{{- end }}
{{- else if or .Values.externalRedis.passwordKey .Values.externalRedis.caKey }}
redis:
  secret: {{ .Values.externalRedis.existingSecret | quote }}
  keys: {{ compact (list .Values.externalRedis.passwordKey .Values.externalRedis.caKey) | toJson }}
{{- end }}
{{- end }}

{{/* Ports and peers of Redis, as egress rules of api and gateway. */}}
{{- define "pixel-playground.redisEgress" -}}
{{- if .Values.redis.enabled }}
- to: [{ podSelector: { matchLabels: { app: redis } } }]
  ports: [{ port: 6379, protocol: TCP }]
{{- else }}
- ports:
    {{- range .Values.externalRedis.ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
  {{- with .Values.externalRedis.peers }}
  to: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "pixel-playground.dnsEgress" -}}
- to: {{ toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- end }}
