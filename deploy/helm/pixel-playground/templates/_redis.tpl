{{/* A command that asks Redis how it is, and looks for a pattern in its answer: call with (list $ pattern). */}}
{{- define "pixel-playground.redisAnswers" -}}
{{- $tls := ternary " --tls --cacert /etc/redis-tls/ca.crt" "" (ne (index . 0).Values.redis.tls.existingSecret "") -}}
{{- $cli := printf `"$(command -v valkey-cli || command -v redis-cli)"%s` $tls -}}
{{- list "sh" "-ec" (printf `REDISCLI_AUTH="$(cat /etc/redis-auth/password)" %s ping 2>/dev/null | grep -q %s` $cli (index . 1)) | toJson -}}
{{- end }}
{{- define "pixel-playground.redisConf" -}}
# Every write is synced before it is answered, and a snapshot is taken every 60 s.
dir /data
appendonly yes
appendfsync always
save 60 1
# A full store refuses placements and goes on serving; one that evicts would lose pixels.
maxmemory {{ .Values.redis.maxmemory }}
maxmemory-policy noeviction
{{- if .Values.redis.tls.existingSecret }}
port 0
tls-port 6379
tls-cert-file /etc/redis-tls/tls.crt
tls-key-file /etc/redis-tls/tls.key
tls-ca-cert-file /etc/redis-tls/ca.crt
tls-auth-clients no
{{- else }}
port 6379
{{- end }}
{{- end }}
