{{/* Refuses values that contradict each other, with a sentence that says what to write instead. */}}
{{- define "pixel-playground.check" -}}
{{- include "pixel-playground.check.images" . -}}
{{- include "pixel-playground.check.store" . -}}
{{- include "pixel-playground.check.settings" . -}}
{{- include "pixel-playground.check.resources" . -}}
{{- include "pixel-playground.check.scaling" . -}}
{{- include "pixel-playground.check.network" . -}}
{{- include "pixel-playground.check.routes" . -}}
{{- end -}}

{{- define "pixel-playground.check.images" -}}
{{- $image := .Values.image -}}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+$" $image.repository) -}}
{{- fail (printf "image.repository is %q: write the name alone, in small letters, and the tag or digest into image.tag" $image.repository) -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?)?$" $image.tag) -}}
{{- fail (printf "image.tag is %q: write a tag, as 0.1.0, or one with its digest, as 0.1.0@sha256: and 64 hex digits" $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "pixel-playground.check.store" -}}
{{- $redis := .Values.redis -}}
{{- $external := .Values.externalRedis -}}
{{- if and $redis.enabled $external.existingSecret -}}
{{- fail "both a Redis of the chart's own and an external one are asked for: set redis.enabled=false, or leave externalRedis.existingSecret empty" -}}
{{- end -}}
{{- if not (or $redis.enabled $external.existingSecret) -}}
{{- fail "there is no store: set externalRedis.existingSecret to a Secret with the key url, or redis.enabled=true" -}}
{{- end -}}
{{- range $name := list "passwordKey" "caKey" "peers" -}}
{{- if and $redis.enabled (get $external $name) -}}
{{- fail (printf "externalRedis.%s says something of a Redis that the chart does not use: leave it empty, or set redis.enabled=false and externalRedis.existingSecret" $name) -}}
{{- end -}}
{{- end -}}
{{- if not $redis.enabled -}}
{{- if $redis.auth.existingSecret -}}
{{- fail "redis.auth.existingSecret is for the chart's own Redis: leave it empty, and set externalRedis.passwordKey to the key of externalRedis.existingSecret that holds the password" -}}
{{- end -}}
{{- if $redis.tls.existingSecret -}}
{{- fail "redis.tls.existingSecret is for the chart's own Redis: leave it empty, write rediss in the URL, and set externalRedis.caKey to the key of externalRedis.existingSecret that holds the authority" -}}
{{- end -}}
{{- $keys := compact (list "url" $external.passwordKey $external.caKey) -}}
{{- if ne (len $keys) (len (uniq $keys)) -}}
{{- fail (printf "one key of externalRedis.existingSecret cannot be two things (%s): put URL, password and authority under keys of their own, as url, password and ca.crt" (join ", " $keys)) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^(as-configured|fsync|replicated:[1-9][0-9]?)$" .Values.durability) -}}
{{- fail (printf "durability is %q: write fsync, as-configured, or replicated:N where N replicas follow an external Redis" .Values.durability) -}}
{{- end -}}
{{- if and $redis.enabled (hasPrefix "replicated:" .Values.durability) -}}
{{- fail "the chart's own Redis has no replicas: write durability=fsync, or use an external Redis" -}}
{{- end -}}
{{- if not (regexMatch "^[1-9][0-9]*(KiB|MiB|GiB)?$" .Values.logRetention) -}}
{{- fail (printf "logRetention is %q: write a number of bytes, or one with KiB, MiB or GiB, as 16MiB" .Values.logRetention) -}}
{{- end -}}
{{- $log := include "pixel-playground.number" (trimSuffix "B" .Values.logRetention) | float64 -}}
{{- if lt $log 1048576.0 -}}
{{- fail (printf "logRetention is %s: write 1MiB or more, as 16MiB" .Values.logRetention) -}}
{{- end -}}
{{- if $redis.enabled -}}
{{- if not (regexMatch "^[1-9][0-9]*(mb|gb)$" $redis.maxmemory) -}}
{{- fail (printf "redis.maxmemory is %q: write it as 128mb or 2gb" $redis.maxmemory) -}}
{{- end -}}
{{- $most := include "pixel-playground.number" ($redis.maxmemory | upper | replace "B" "i") | float64 -}}
{{- if gt (mulf 2 $log) $most -}}
{{- fail (printf "logRetention (%s) is kept for each canvas and leaves too little of redis.maxmemory (%s) for pixels: write half of it at most" .Values.logRetention $redis.maxmemory) -}}
{{- end -}}
{{- with dig "limits" "memory" "" $redis.resources -}}
{{- if lt (include "pixel-playground.number" . | float64) (mulf 1.5 $most) -}}
{{- fail (printf "redis.maxmemory (%s) leaves too little of redis.resources.limits.memory (%s) for the fork that rewrites its log: make the limit twice as much" $redis.maxmemory .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What config and extraArgs may not set, since the chart does; and what to write instead. */}}
{{- define "pixel-playground.taken" -}}
target: each service has its own
frontend-listen: write listenAddress
api-listen: write listenAddress
gateway-listen: write listenAddress
ops-listen: write listenAddress
api-url: services find each other by their names
gateway-url: services find each other by their names
store: write redis or externalRedis
store-password-file: write redis.auth.existingSecret or externalRedis.passwordKey
store-ca-file: write redis.tls.existingSecret or externalRedis.caKey
durability: write durability, a value of its own
log-retention-bytes: write logRetention
admin-token-file: write adminToken.existingSecret
identity-key-file: write identityKey.existingSecret
trusted-proxies: write trustedProxies
allowed-origins: write allowedOrigins
tls-cert-file: TLS ends at the ingress, so write ingress.tls
tls-key-file: TLS ends at the ingress, so write ingress.tls
backup-folder: that is for a store in a folder; `pixel-playground backup` makes one of any
backup-interval-seconds: that is for a store in a folder; `pixel-playground backup` makes one of any
backups-kept: that is for a store in a folder; `pixel-playground backup` makes one of any
config: write config, a value of its own
{{- end -}}

{{- define "pixel-playground.check.settings" -}}
{{- $taken := include "pixel-playground.taken" . | fromYaml -}}
{{- $free := list "rate-limit" "address-rate-limit" "guests-per-address" "address-connections" "sweep-interval-ms" "frame-ancestors" "log-retention-seconds" "log-filter" "log-format" -}}
{{- $inFile := dict -}}
{{- $canvases := list -}}
{{- $table := false -}}
{{- range $line := splitList "\n" .Values.config -}}
{{- if regexMatch "^\\s*\\[" $line -}}
{{- $table = true -}}
{{- end -}}
{{- $key := regexFind "^\\s*[a-z_-]+\\s*=" $line | trimSuffix "=" | trim -}}
{{- $value := regexReplaceAll "^[^=]*=\\s*\"?([^\"#]*)\"?.*$" $line "${1}" | trim -}}
{{- if and $table (eq $key "id") -}}
{{- if has $value $canvases -}}
{{- fail (printf "config describes the canvas %q twice: make one [[canvas]] of both, or give one another id" $value) -}}
{{- end -}}
{{- $canvases = append $canvases $value -}}
{{- else if and $key (not $table) -}}
{{- with get $taken $key -}}
{{- fail (printf "config names %s, which the chart sets: %s" $key .) -}}
{{- end -}}
{{- if not (has $key $free) -}}
{{- fail (printf "config names %q, which nobody knows: write one of %s, or canvases as [[canvas]] tables" $key (join ", " $free)) -}}
{{- end -}}
{{- if hasKey $inFile $key -}}
{{- fail (printf "config names %s twice: leave one of both" $key) -}}
{{- end -}}
{{- $_ := set $inFile $key $value -}}
{{- end -}}
{{- end -}}
{{- range $name := list "frontend" "canvasApi" "websocketGateway" -}}
{{- $flags := dict -}}
{{- range $flag := (get $.Values $name).extraArgs -}}
{{- $key := regexFind "^--[a-z-]+=" $flag | trimPrefix "--" | trimSuffix "=" -}}
{{- if not $key -}}
{{- fail (printf "%s.extraArgs has %q: write a flag with its value in one, as --log-filter=debug" $name $flag) -}}
{{- end -}}
{{- with get $taken $key -}}
{{- fail (printf "%s.extraArgs has --%s, which the chart sets: %s" $name $key .) -}}
{{- end -}}
{{- if not (has $key $free) -}}
{{- fail (printf "%s.extraArgs has --%s, which nobody knows: write one of %s" $name $key (join ", " $free)) -}}
{{- end -}}
{{- if hasKey $flags $key -}}
{{- fail (printf "%s.extraArgs has --%s twice: leave one of both" $name $key) -}}
{{- end -}}
{{- $_ := set $flags $key (trimPrefix (printf "--%s=" $key) $flag) -}}
{{- end -}}
{{- $all := merge $flags $inFile -}}
{{- with get $all "log-retention-seconds" -}}
{{- if lt (int64 .) 70 -}}
{{- fail (printf "log-retention-seconds is %s: write 70 or more, so that the log reaches back to the oldest copy that an edge may serve (10 s), and a minute more" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq (get $all "rate-limit") "off") (ne (get $all "address-rate-limit" | default "off") "off") -}}
{{- fail (printf "rate-limit is off, which lifts address-rate-limit too, and that is %s: leave one of both out" (get $all "address-rate-limit")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity as a plain number, in bytes or processors. */}}
{{- define "pixel-playground.number" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]*[.]?[0-9]+(e[+][0-9]+)?" $text -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- printf "%f" (mulf (float64 $number) (get $units (trimPrefix $number $text))) -}}
{{- end -}}

{{- define "pixel-playground.check.resources" -}}
{{- range $name := list "frontend" "canvasApi" "websocketGateway" "redis" -}}
{{- $resources := (get $.Values $name).resources -}}
{{- range $kind := list "requests" "limits" -}}
{{- $quantities := get $resources $kind | default dict -}}
{{- with get $quantities "cpu" -}}
{{- if not (regexMatch "^[0-9.]+m?$" (toString .)) -}}
{{- fail (printf "%s.resources.%s.cpu is %v: write processors, as 2 or 0.5, or thousandths, as 200m" $name $kind .) -}}
{{- end -}}
{{- end -}}
{{- range $what := list "memory" "ephemeral-storage" -}}
{{- with get $quantities $what -}}
{{- if hasSuffix "m" . -}}
{{- fail (printf "%s.resources.%s.%s is %s, which is thousandths of a byte: write %si" $name $kind $what . (trimSuffix "m" . | printf "%sM")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $what := list "cpu" "memory" "ephemeral-storage" -}}
{{- $asked := dig "requests" $what "" $resources -}}
{{- $most := dig "limits" $what "" $resources -}}
{{- if and $asked $most -}}
{{- if gt (include "pixel-playground.number" $asked | float64) (include "pixel-playground.number" $most | float64) -}}
{{- fail (printf "%s.resources.requests.%s (%v) is more than %s.resources.limits.%s (%v): lower the first or raise the second" $name $what $asked $name $what $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if hasSuffix "m" .Values.redis.storage.size -}}
{{- fail (printf "redis.storage.size is %s, which is thousandths of a byte: write it as 1Gi" .Values.redis.storage.size) -}}
{{- end -}}
{{- end -}}

{{- define "pixel-playground.check.scaling" -}}
{{- $values := .Values -}}
{{- range $name := list "frontend" "canvasApi" "websocketGateway" -}}
{{- $service := get $values $name -}}
{{- $byKeda := and $values.keda.enabled (eq $name "websocketGateway") -}}
{{- if or $service.autoscaling.enabled $byKeda -}}
{{- if lt (int $service.autoscaling.maxReplicas) (int $service.replicas) -}}
{{- fail (printf "%s.autoscaling.maxReplicas (%v) is less than %s.replicas (%v): raise the first or lower the second" $name $service.autoscaling.maxReplicas $name $service.replicas) -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $service.resources) -}}
{{- fail (printf "%s scales by processor time, which needs %s.resources.requests.cpu: set it, or %s" $name $name (ternary "keda.enabled=false" (printf "%s.autoscaling.enabled=false" $name) $byKeda)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.keda.enabled (not $values.keda.prometheusAddress) -}}
{{- fail "keda scales by what Prometheus counts: set keda.prometheusAddress, as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- end -}}

{{/* Networks as the services and the API server take them: no octet over 255, no prefix longer than the address. */}}
{{- define "pixel-playground.isNetwork" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $four := printf "%s([.]%s){3}(/(3[0-2]|[12]?[0-9]))?" $octet $octet -}}
{{- $six := "[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?" -}}
{{- if regexMatch (printf "^(%s|%s)$" $four $six) . -}}yes{{- end -}}
{{- end -}}

{{- define "pixel-playground.check.network" -}}
{{- $values := .Values -}}
{{- range $values.trustedProxies -}}
{{- if not (include "pixel-playground.isNetwork" .) -}}
{{- fail (printf "trustedProxies names %q: write a network, as 10.42.0.0/16, or an address" .) -}}
{{- end -}}
{{- end -}}
{{- range $values.allowedOrigins -}}
{{- if not (regexMatch "^https?://[^/ ]+$" .) -}}
{{- fail (printf "allowedOrigins names %q: write scheme and host without a path, as https://example.org" .) -}}
{{- end -}}
{{- end -}}
{{- $policy := $values.networkPolicy -}}
{{- $peers := dict "networkPolicy.ingressController" $policy.ingressController "networkPolicy.monitoring" $policy.monitoring "networkPolicy.dns" $policy.dns "externalRedis.peers" $values.externalRedis.peers -}}
{{- range $where, $them := $peers -}}
{{- range $peer := $them -}}
{{- if hasKey $peer "ipBlock" -}}
{{- if gt (len $peer) 1 -}}
{{- fail (printf "%s has a peer with an ipBlock and a selector: make two peers of it" $where) -}}
{{- end -}}
{{- $cidr := dig "cidr" "" $peer.ipBlock -}}
{{- if not (and (contains "/" $cidr) (include "pixel-playground.isNetwork" $cidr)) -}}
{{- fail (printf "%s has an ipBlock with the cidr %q: write a network, as 10.1.0.0/16, or one address, as 10.1.2.3/32" $where $cidr) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pixel-playground.check.routes" -}}
{{- $values := .Values -}}
{{- range compact (concat (list $values.ingress.host) $values.httpRoute.hostnames) -}}
{{- $labels := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" -}}
{{- if or (not (regexMatch (printf "^([*][.])?%s([.]%s)*$" $labels $labels) .)) (regexMatch "^[0-9]+([.][0-9]+){3}$" .) -}}
{{- fail (printf "%q is no host that routes know: write a name in small letters, as pixels.example.org, or nothing for every host and address" .) -}}
{{- end -}}
{{- end -}}
{{- if $values.ingress.enabled -}}
{{- $host := $values.ingress.host -}}
{{- $covered := not $values.ingress.tls -}}
{{- range $values.ingress.tls -}}
{{- if not (or .hosts $host) -}}
{{- fail "ingress.tls needs to know whose certificate it is: set ingress.host, or hosts in ingress.tls" -}}
{{- end -}}
{{- range .hosts | default (list $host) -}}
{{- if or (not $host) (eq . $host) (and (hasPrefix "*." .) (eq (trimPrefix "*" .) (regexReplaceAll "^[^.]+" $host ""))) -}}
{{- $covered = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $covered -}}
{{- fail (printf "no certificate of ingress.tls is for ingress.host (%s): add it to their hosts, or leave hosts out" $host) -}}
{{- end -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute needs a Gateway to hang on: set httpRoute.parentRefs to [{name: GATEWAY, namespace: NAMESPACE}]" -}}
{{- end -}}
{{- end -}}
