{{/* Refuses values that contradict each other, with a sentence that says what to write instead. */}}
{{- define "pixel-playground.check" -}}
{{- $values := .Values -}}
{{- if and $values.redis.enabled $values.externalRedis.existingSecret -}}
{{- fail "both a Redis of the chart's own and an external one are asked for: set redis.enabled=false, or leave externalRedis.existingSecret empty" -}}
{{- end -}}
{{- if not (or $values.redis.enabled $values.externalRedis.existingSecret) -}}
{{- fail "there is no store: set externalRedis.existingSecret to a Secret with the key url, or redis.enabled=true" -}}
{{- end -}}
{{- if not (regexMatch "^(as-configured|fsync|replicated:[1-9][0-9]?)$" $values.durability) -}}
{{- fail (printf "durability is %q: write fsync, as-configured, or replicated:N where N replicas follow an external Redis" $values.durability) -}}
{{- end -}}
{{- if and $values.redis.enabled (hasPrefix "replicated:" $values.durability) -}}
{{- fail "the chart's own Redis has no replicas: write durability=fsync, or use an external Redis" -}}
{{- end -}}
{{- if not (regexMatch "^[1-9][0-9]*(KiB|MiB|GiB)?$" $values.logRetention) -}}
{{- fail (printf "logRetention is %q: write a number of bytes, or one with KiB, MiB or GiB, as 16MiB" $values.logRetention) -}}
{{- end -}}
{{- range $line := splitList "\n" $values.config | concat $values.canvasApi.extraArgs $values.websocketGateway.extraArgs -}}
{{- with regexFind "^ *(--)?log-retention-seconds *= *[0-9]+" $line | regexFind "[0-9]+$" -}}
{{- if lt (int64 .) 70 -}}
{{- fail (printf "log-retention-seconds is %s: write 70 or more, so that the log reaches back to the oldest copy that an edge may serve (10 s), and a minute more" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "frontend" "canvasApi" "websocketGateway" -}}
{{- $service := get $values $name -}}
{{- if lt (int $service.autoscaling.maxReplicas) (int $service.replicas) -}}
{{- fail (printf "%s.autoscaling.maxReplicas (%v) is less than %s.replicas (%v): raise the first or lower the second" $name $service.autoscaling.maxReplicas $name $service.replicas) -}}
{{- end -}}
{{- $cpu := dig "requests" "cpu" "" $service.resources -}}
{{- if and $service.autoscaling.enabled (not $cpu) -}}
{{- fail (printf "%s scales by processor time, which needs %s.resources.requests.cpu: set it, or %s.autoscaling.enabled=false" $name $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $values.trustedProxies -}}
{{- if not (regexMatch "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$" .) -}}
{{- fail (printf "trustedProxies names %q: write a network, as 10.42.0.0/16, or an address" .) -}}
{{- end -}}
{{- end -}}
{{- range $values.allowedOrigins -}}
{{- if not (regexMatch "^https?://[^/ ]+$" .) -}}
{{- fail (printf "allowedOrigins names %q: write scheme and host without a path, as https://example.org" .) -}}
{{- end -}}
{{- end -}}
{{- range compact (concat (list $values.ingress.host) $values.httpRoute.hostnames) -}}
{{- $labels := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" -}}
{{- if or (not (regexMatch (printf "^([*][.])?%s([.]%s)*$" $labels $labels) .)) (regexMatch "^[0-9]+([.][0-9]+){3}$" .) -}}
{{- fail (printf "%q is no host that routes know: write a name in small letters, as pixels.example.org, or nothing for every host and address" .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.ingress.enabled $values.ingress.tls (not $values.ingress.host) -}}
{{- range $values.ingress.tls -}}
{{- if not .hosts -}}
{{- fail "ingress.tls needs to know whose certificate it is: set ingress.host, or hosts in ingress.tls" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute needs a Gateway to hang on: set httpRoute.parentRefs to [{name: GATEWAY, namespace: NAMESPACE}]" -}}
{{- end -}}
{{- if and $values.keda.enabled (not $values.keda.prometheusAddress) -}}
{{- fail "keda scales by what Prometheus counts: set keda.prometheusAddress, as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if $values.redis.enabled -}}
{{- if not (regexMatch "^[1-9][0-9]*(mb|gb)$" $values.redis.maxmemory) -}}
{{- fail (printf "redis.maxmemory is %q: write it as 128mb or 2gb" $values.redis.maxmemory) -}}
{{- end -}}
{{- $most := mul (regexFind "^[0-9]+" $values.redis.maxmemory | int64) (ternary 1024 1 (hasSuffix "gb" $values.redis.maxmemory)) -}}
{{- $limit := dig "limits" "memory" "" $values.redis.resources -}}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $limit -}}
{{- $have := mul (regexFind "^[0-9]+" $limit | int64) (ternary 1024 1 (hasSuffix "Gi" $limit)) -}}
{{- if lt (mul 2 $have) (mul 3 $most) -}}
{{- fail (printf "redis.maxmemory (%s) leaves too little of redis.resources.limits.memory (%s) for the fork that rewrites its log: make the limit twice as much" $values.redis.maxmemory $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
