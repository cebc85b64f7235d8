{{/*
One of the three services, whole: Deployment, Service, autoscaler, disruption budget and network policy. Call with
  root: $, name, port, values (its part of the values), flags (YAML list), files (YAML map of Secrets' keys to mount),
  storeUrl (whether it needs PIXEL_PLAYGROUND_STORE), from and to (YAML lists: more network policy rules).
*/}}
{{- define "pixel-playground.service" -}}
{{- $root := .root -}}
{{- $files := .files | default "{}" | fromYaml -}}
{{- $scaled := and .values.autoscaling.enabled (not .scaledElsewhere) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels:
    app: {{ .name }}
    {{- include "pixel-playground.labels" $root | nindent 4 }}
spec:
  {{- /* An upgrade keeps what the autoscaler chose. */}}
  {{- $live := lookup "apps/v1" "Deployment" $root.Release.Namespace .name }}
  {{- if and $live (or $scaled .scaledElsewhere) }}
  replicas: {{ max (int .values.replicas) (min (int $live.spec.replicas) (int .values.autoscaling.maxReplicas)) }}
  {{- else }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  selector:
    matchLabels: { app: {{ .name }} }
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  template:
    metadata:
      labels:
        app: {{ .name }}
        {{- include "pixel-playground.podLabels" $root | nindent 8 }}
      {{- $annotations := dict "kubectl.kubernetes.io/default-container" .name }}
      {{- with $root.Values.config }}
      {{- $_ := set $annotations "checksum/config" (sha256sum .) }}
      {{- end }}
      {{- if $root.Values.logging.filebeatHints }}
      {{- range $hint := list "enabled" "json.keys_under_root" "json.overwrite_keys" "json.expand_keys" "json.add_error_key" }}
      {{- $_ := set $annotations (printf "co.elastic.logs/%s" $hint) "true" }}
      {{- end }}
      {{- end }}
      annotations: {{ merge dict .values.podAnnotations $annotations | toYaml | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- /* A process drains in 8 s at most, and ends within 15. */}}
      terminationGracePeriodSeconds: {{ add $root.Values.preStopSleepSeconds 25 }}
      securityContext: {{ include "pixel-playground.podSecurity" 65532 | nindent 8 }}
      topologySpreadConstraints:
        - topologyKey: kubernetes.io/hostname
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: { matchLabels: { app: {{ .name }} } }
          matchLabelKeys: [pod-template-hash]
      {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
      {{- with get $.values $key }}
      {{ $key }}: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "pixel-playground.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            {{- .flags | nindent 12 }}
            - --ops-listen={{ include "pixel-playground.listen" (list $root 3009) }}
            {{- with $root.Values.trustedProxies }}
            - {{ join "," . | printf "--trusted-proxies=%s" | quote }}
            {{- end }}
            {{- with $root.Values.allowedOrigins }}
            - {{ join "," . | printf "--allowed-origins=%s" | quote }}
            {{- end }}
            {{- if $root.Values.config }}
            - --config=/etc/pixel-playground/config/playground.toml
            {{- end }}
            {{- range .values.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          {{- if and .storeUrl (not $root.Values.redis.enabled) }}
          env:
            - name: PIXEL_PLAYGROUND_STORE
              valueFrom:
                secretKeyRef: { name: {{ $root.Values.externalRedis.existingSecret | quote }}, key: url }
          {{- end }}
          ports:
            - { name: http, containerPort: {{ .port }}, protocol: TCP }
            - { name: ops, containerPort: 3009, protocol: TCP }
          {{- /* Lives without its neighbours; no new work while its store cannot be read, and only then. Half a minute
                 of patience: a Redis that restarts meanwhile takes nobody from those who read. */}}
          startupProbe:
            httpGet: { path: /livez, port: ops }
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /livez, port: ops }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: { path: /readyz, port: ops }
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 6
          lifecycle:
            preStop:
              sleep: { seconds: {{ $root.Values.preStopSleepSeconds }} }
          resources: {{ toYaml .values.resources | nindent 12 }}
          securityContext: {{ include "pixel-playground.containerSecurity" $root | nindent 12 }}
          {{- if or $files $root.Values.config }}
          volumeMounts:
            {{- range $name, $file := $files }}
            - { name: {{ $name }}, mountPath: /etc/pixel-playground/{{ $name }}, readOnly: true }
            {{- end }}
            {{- if $root.Values.config }}
            - { name: config, mountPath: /etc/pixel-playground/config, readOnly: true }
            {{- end }}
          {{- end }}
      {{- if or $files $root.Values.config }}
      volumes:
        {{- range $name, $file := $files }}
        - name: {{ $name }}
          secret:
            secretName: {{ $file.secret | quote }}
            defaultMode: 0440
            items:
              {{- range $file.keys }}
              - { key: {{ . | quote }}, path: {{ . | quote }} }
              {{- end }}
        {{- end }}
        {{- if $root.Values.config }}
        - name: config
          configMap: { name: pixel-playground }
        {{- end }}
      {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels:
    app: {{ .name }}
    {{- include "pixel-playground.labels" $root | nindent 4 }}
spec:
  type: ClusterIP
  selector: { app: {{ .name }} }
  ports:
    - { name: http, port: {{ .port }}, targetPort: http, protocol: TCP }
{{- if $scaled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels:
    app: {{ .name }}
    {{- include "pixel-playground.labels" $root | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ .name }} }
  minReplicas: {{ .values.replicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .values.autoscaling.targetCPUUtilizationPercentage }} }
  behavior: {{ include "pixel-playground.scaling" . | nindent 4 }}
{{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    app: {{ .name }}
    {{- include "pixel-playground.labels" $root | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: { app: {{ .name }} }
{{- if $root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels:
    app: {{ .name }}
    {{- include "pixel-playground.labels" $root | nindent 4 }}
spec:
  podSelector:
    matchLabels: { app: {{ .name }} }
  policyTypes: [Ingress, Egress]
  ingress:
    - from: {{ toYaml $root.Values.networkPolicy.ingressController | nindent 8 }}
      ports: [{ port: {{ .port }}, protocol: TCP }]
    {{- with .from }}
    {{- . | nindent 4 }}
    {{- end }}
    - from: {{ toYaml $root.Values.networkPolicy.monitoring | nindent 8 }}
      ports: [{ port: 3009, protocol: TCP }]
  egress:
    {{- with .to }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- include "pixel-playground.dnsEgress" $root | nindent 4 }}
{{- end }}
{{- end }}

{{/* Up at once, down gently: one pod in two minutes, after five quiet ones; each that goes sends its people elsewhere. */}}
{{- define "pixel-playground.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - { type: Percent, value: 100, periodSeconds: 30 }
    - { type: Pods, value: 2, periodSeconds: 30 }
scaleDown:
  stabilizationWindowSeconds: 300
  selectPolicy: Min
  policies:
    - { type: Pods, value: 1, periodSeconds: 120 }
{{- end }}
