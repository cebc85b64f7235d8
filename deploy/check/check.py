"""Judges the chart, the manifests made from it and the files for one host, as strictly as can be done without a cluster.

`check.py EXECUTABLE` prints a line for each check and exits with 1 when one failed. `check.py --write` renews what is
generated. `check.py --objects FOLDER` writes the objects that the scenarios run, as JSON.
"""

import base64
import contextlib
import ipaddress
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

import chart
import cluster
from chart import CHART, DEPLOY, MANIFESTS, VERSIONS, objects, templates, values_files

SERVICES = {"frontend": 3000, "canvas-api": 3001, "websocket-gateway": 3002}
OPS_PORT = 3009
SINGLE = DEPLOY / "single"
DOCS = DEPLOY.parent / "docs"
CHECKS = []
# What the scenarios run; their painters paint as fast as they can.
UNLIMITED = {name: {"extraArgs": ["--rate-limit=off"]} for name in ("canvasApi", "websocketGateway")}
SCENARIOS = {"default": UNLIMITED, "redis-tls": UNLIMITED | {"redis": {"tls": {"existingSecret": "redis-tls"}}}}
# Secrets of others that examples name.
FOREIGN_SECRETS = {"host", "guests", "redis", "redis-password", "redis-tls", "registry"}
# What checkov asks for and we decline.
CHECKOV_DECLINED = {
    "CKV_K8S_14": "the image's tag is the release, imported by that name",
    "CKV_K8S_15": "Always would need a registry",
    "CKV_K8S_21": "the namespace is chosen at the installation",
    "CKV_K8S_35": "where an external Redis is may stand in a Secret beside its password, which is read from a file",
    "CKV_K8S_40": "Redis' images have the user 999",
    "CKV_K8S_43": "digests are the operator's to pin, in image.tag and redis.image",
}
ELSEWHERE = {"redis": {"enabled": False}, "externalRedis": {"existingSecret": "redis"}}
KEDA = {"enabled": True, "prometheusAddress": "http://prometheus:9090"}
# Values that contradict each other or themselves, and words of the sentence that says what to write.
REFUSED = [
    ({"imag": {}}, "additional properties 'imag' not allowed"),
    ({"image": {"tag": 1.5}}, "/image/tag': got number, want string"),
    ({"redis": {"image": "redis:7", "enabled": "yes"}}, "want boolean"),
    ({"frontend": {"replicas": 0}}, "minimum"),
    ({"networkPolicy": {"monitoring": []}}, "minItems"),
    ({"canvasApi": {"extraArgs": ["debug"]}}, "does not match pattern '^--'"),
    ({"canvasApi": {"extraArgs": ["--log-filter debug"]}}, "as --log-filter=debug"),
    ({"canvasApi": {"extraArgs": ["--log-filter=info", "--log-filter=debug"]}}, "--log-filter twice: leave one"),
    ({"canvasApi": {"extraArgs": ["--durability=fsync"]}}, "which the chart sets: write durability, a value of its own"),
    ({"frontend": {"extraArgs": ["--log-fliter=debug"]}}, "which nobody knows: write one of rate-limit"),
    ({"config": 'tls-cert-file = "/cert"\n'}, "TLS ends at the ingress, so write ingress.tls"),
    ({"config": "rate-limits = 1\n[[canvas]]\nid = \"main\"\n"}, "or canvases as [[canvas]] tables"),
    ({"config": "guests-per-address = 1\nguests-per-address = 2\n"}, "guests-per-address twice: leave one"),
    ({"config": '[[canvas]]\nid = "main"\n[[canvas]]\nid = "main"\n'}, "give one another id"),
    ({"config": 'rate-limit = "off"\naddress-rate-limit = "9/s"\n'}, "and that is 9/s: leave one of both out"),
    (
        {"config": 'address-rate-limit = "9/s"\n', "canvasApi": {"extraArgs": ["--rate-limit=off"]}},
        "and that is 9/s: leave one of both out",
    ),
    ({"image": {"repository": "registry.example.org/pixels:1.0"}}, "the tag or digest into image.tag"),
    ({"image": {"repository": "Pixels"}}, "in small letters"),
    ({"image": {"tag": "sha256:0"}}, "or one with its digest, as 0.1.0@sha256:"),
    ({"externalRedis": {"existingSecret": "redis"}}, "set redis.enabled=false"),
    ({"redis": {"enabled": False}}, "set externalRedis.existingSecret to a Secret with the key url"),
    ({"externalRedis": {"passwordKey": "password"}}, "leave it empty, or set redis.enabled=false"),
    ({"externalRedis": {"peers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}}, "leave it empty, or set redis.enabled=false"),
    (ELSEWHERE | {"redis": {"enabled": False, "auth": {"existingSecret": "a"}}}, "set externalRedis.passwordKey"),
    (ELSEWHERE | {"redis": {"enabled": False, "tls": {"existingSecret": "a"}}}, "set externalRedis.caKey"),
    (ELSEWHERE | {"externalRedis": {"existingSecret": "a", "passwordKey": "url"}}, "under keys of their own"),
    (ELSEWHERE | {"externalRedis": {"existingSecret": "a", "caKey": "ca/crt"}}, "does not match pattern"),
    (ELSEWHERE | {"externalRedis": {"existingSecret": "a", "peers": [{}]}}, "minProperties"),
    (ELSEWHERE | {"externalRedis": {"existingSecret": "a", "peers": [{"ipBlock": {}}]}}, "as 10.1.2.3/32"),
    (ELSEWHERE | {"externalRedis": {"existingSecret": "a", "peers": [{"ipBlock": {"cidr": "10.1.0.0/33"}}]}}, "as 10.1.2.3/32"),
    ({"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}}, "make two peers of it"),
    ({"durability": "fsnc"}, "write fsync, as-configured, or replicated:N"),
    ({"durability": "replicated:1"}, "write durability=fsync, or use an external Redis"),
    ({"logRetention": "16 MB"}, "or one with KiB, MiB or GiB"),
    ({"logRetention": "512KiB"}, "write 1MiB or more"),
    ({"logRetention": "65MiB"}, "write half of it at most"),
    ({"config": "rate-limit = \"off\"\nlog-retention-seconds = 69\n"}, "log-retention-seconds is 69: write 70 or more"),
    ({"canvasApi": {"extraArgs": ["--log-retention-seconds=9"]}}, "log-retention-seconds is 9: write 70 or more"),
    ({"monitoring": {"prometheusRule": {"runbookBase": "git.example.org"}}}, "does not match pattern '^(https?"),
    ({"trustedProxies": ["traefik"]}, "write a network, as 10.42.0.0/16"),
    ({"trustedProxies": ["10.42.0.0/64"]}, "write a network, as 10.42.0.0/16"),
    ({"trustedProxies": ["10.42.0.256"]}, "write a network, as 10.42.0.0/16"),
    ({"trustedProxies": ["fd00::/129"]}, "write a network, as 10.42.0.0/16"),
    ({"allowedOrigins": ["https://example.org/"]}, "without a path, as https://example.org"),
    ({"ingress": {"host": "192.168.1.10"}}, "or nothing for every host and address"),
    ({"ingress": {"host": "Pixels.example.org"}}, "write a name in small letters"),
    ({"httpRoute": {"hostnames": ["pixels.example.org:443"]}}, "write a name in small letters"),
    ({"websocketGateway": {"replicas": 11}}, "raise the first or lower the second"),
    ({"websocketGateway": {"replicas": 11, "autoscaling": {"enabled": False}}, "keda": KEDA}, "raise the first or lower the second"),
    ({"frontend": {"resources": {"requests": {"cpu": None}}}}, "set it, or frontend.autoscaling.enabled=false"),
    (
        {"websocketGateway": {"resources": {"requests": {"cpu": None}}, "autoscaling": {"enabled": False}}, "keda": KEDA},
        "set it, or keda.enabled=false",
    ),
    ({"frontend": {"resources": {"requests": {"cpu": "201m"}}}}, "(201m) is more than frontend.resources.limits.cpu (200m)"),
    ({"canvasApi": {"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "0.5"}}}}, "lower the first or raise the second"),
    ({"websocketGateway": {"resources": {"requests": {"memory": "1G"}, "limits": {"memory": "900Mi"}}}}, "lower the first"),
    ({"websocketGateway": {"resources": {"limits": {"memory": "65536k"}}}}, "requests.memory (64Mi) is more than"),
    ({"redis": {"resources": {"requests": {"memory": "0.5Gi"}}}}, "(0.5Gi) is more than redis.resources.limits.memory"),
    ({"frontend": {"resources": {"limits": {"memory": "256m"}}}}, "write 256Mi"),
    ({"frontend": {"resources": {"limits": {"cpu": "200Mi"}}}}, "as 2 or 0.5, or thousandths, as 200m"),
    ({"redis": {"storage": {"size": "1024m"}}}, "write it as 1Gi"),
    ({"ingress": {"tls": [{"secretName": "pixels-tls"}]}}, "set ingress.host"),
    (
        {"ingress": {"host": "a.example.org", "tls": [{"secretName": "b", "hosts": ["b.example.org", "*.a.example.org"]}]}},
        "add it to their hosts",
    ),
    ({"httpRoute": {"enabled": True}}, "set httpRoute.parentRefs"),
    ({"keda": {"enabled": True}}, "set keda.prometheusAddress"),
    ({"redis": {"maxmemory": "128Mi"}}, "write it as 128mb or 2gb"),
    ({"redis": {"maxmemory": "200mb"}}, "make the limit twice as much"),
    ({"redis": {"resources": {"limits": {"memory": "190000000"}}}}, "make the limit twice as much"),
]
# What looks like these and is good.
TAKEN = [
    {"websocketGateway": {"replicas": 12, "autoscaling": {"enabled": False}}},
    {"frontend": {"resources": {"requests": {"cpu": 1.5, "memory": "1Gi"}, "limits": {"cpu": "1500m", "memory": "1024Mi"}}}},
    {"frontend": {"resources": {"requests": {"cpu": "0.5"}, "limits": {"cpu": 1}}, "autoscaling": {"enabled": False}}},
    {"canvasApi": {"resources": {"requests": {"ephemeral-storage": "1M"}, "limits": {"cpu": None, "ephemeral-storage": "1Mi"}}}},
    {"trustedProxies": ["10.0.0.0/8", "fd00::"]},
    {"trustedProxies": ["::1", "fd00::/8", "10.0.0.0/8", "192.168.1.255", "::ffff:0:0/96"]},
    {"ingress": {"host": "a.example.org", "tls": [{"secretName": "b", "hosts": ["*.example.org"]}]}},
    {"image": {"repository": "localhost:5000/pixels/playground", "tag": "1.0@sha256:" + "0" * 64}},
    {"logRetention": "64MiB"},
    {"frontend": {"podAnnotations": {"co.elastic.logs/enabled": "false", "a": "1"}}, "redis": {"podAnnotations": {"a": "1"}}},
    {"config": 'rate-limit = "off" # for painters\n\n[[canvas]]\nid = "a"\nname = "rate-limit = 1"\n[[canvas]]\nid = "b"\n'},
    {"canvasApi": {"extraArgs": ["--rate-limit=off", "--address-rate-limit=off"]}},
]


def check(function):
    CHECKS.append(function)
    return function


def found(problems):
    """Fails with what was found, if anything."""
    problems = list(problems)
    assert not problems, "\n  ".join(["", *map(str, problems)])


def rendered():
    """Every example's objects, by name."""
    return {name: objects(values) for name, values in values_files().items()}


def tool(name):
    """A program that came with a Python package, wherever that was put."""
    places = [Path(folder) / "bin" / name for folder in [*sys.path, sys.prefix] if folder]
    return str(next(place for place in places if place.exists()))


def run(*command, stderr_too=False, **options):
    """Runs a program; what it said is the failure."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + (done.stderr if stderr_too else "")


# The chart


@check
def helm_lints_every_example_without_a_warning():
    for name, values in values_files().items():
        for version in VERSIONS:
            report = helm.lint(CHART, values, strict=True, namespace="pixels", kube_version=f"v{version}")
            found(f"{name}, {version}: {line}" for line in report["messages"] if line["severity"] > 1)


@check
def the_chart_is_of_the_workspaces_version():
    description = yaml.safe_load((CHART / "Chart.yaml").read_text())
    manifest = (DEPLOY.parent / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"$', manifest, re.MULTILINE)[1]
    assert description["version"] == description["appVersion"] == version, (description, version)
    for path in DEPLOY.glob("*/compose*.yaml"):
        assert f"image: pixel-playground:{version}\n" in path.read_text(), path


@check
def the_schema_is_one_and_knows_every_value_and_no_other():
    schema = CHART / "values.schema.json"
    run(tool("check-jsonschema"), "--check-metaschema", str(schema))
    schema = json.loads(schema.read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema, values, path):
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        if not isinstance(values, dict) or "properties" not in schema:
            return
        if schema.get("additionalProperties") is not False:
            yield f"{path or 'the root'} takes properties that nobody knows"
        optional = {"global", "ephemeral-storage"}
        for key in set(schema["properties"]) ^ set(values):
            if key not in optional:
                yield f"{path}.{key} is in one of schema and values alone"
        for key in set(schema["properties"]) & set(values):
            yield from compare(schema["properties"][key], values[key], f"{path}.{key}".lstrip("."))

    whole = schema
    found(compare(schema, defaults, ""))


@check
def every_value_is_described():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    described = {key for key, _, _ in chart.described_values()}

    def undescribed(values, path):
        for key, value in values.items():
            key = f"{path}.{key}".lstrip(".")
            if key not in described:
                if isinstance(value, dict) and value:
                    yield from undescribed(value, key)
                else:
                    yield key

    found(undescribed(defaults, ""))


@check
def wrong_values_are_refused_with_a_sentence():
    for values, sentence in REFUSED:
        try:
            chart.render(values)
        except helm.HelmError as error:
            assert sentence in str(error), f"{values}: {error}"
        else:
            raise AssertionError(f"{values} was taken")
    for values in TAKEN:
        for thing in filter(is_of_kubernetes, objects(values)):
            kubernetes_validate.validate(thing, VERSIONS[-1], strict=True)


@check
def the_chart_knows_every_key_of_the_executable():
    keys = set(re.findall(r"^ +--([a-z-]+)", run(sys.argv[1], "--help"), re.MULTILINE)) - {"help", "version"}
    template = (CHART / "templates/_check.tpl").read_text()
    taken = template.partition('"pixel-playground.taken" -}}\n')[2].partition("{{- end")[0]
    taken = {line.partition(":")[0] for line in taken.splitlines()}
    free = set(re.findall(r'"([a-z-]+)"', re.search(r"\$free := list (.*) -}}", template)[1]))
    assert not taken & free and taken | free == keys, (taken | free) ^ keys


@check
def what_is_generated_is_as_the_chart_says():
    stale = (path for path, text in chart.generated().items() if not path.exists() or path.read_text() != text)
    found(f"{path} is not as the chart says: run `cargo xtask chart`" for path in stale)


# What Kubernetes would say


@check
def kubernetes_takes_every_object_of_every_example():
    for name, things in rendered().items():
        for thing in filter(is_of_kubernetes, things):
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(thing, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{name}, {version}, {title(thing)}: {error}") from error


@check
def a_name_of_digits_is_a_name():
    digits, secret = "1234567", {"existingSecret": "1234567"}
    common = {
        "image": {"tag": digits},
        # As whoever indents it in a file of values may write it.
        "config": "  rate-limit = \"10/s burst 100\"\n[[canvas]]\nid = \"main\"\n",
        "identityKey": secret,
        "adminToken": secret,
        "frontend": {"priorityClassName": digits},
        "ingress": {"className": digits, "host": digits, "tls": [{"secretName": digits}]},
    }
    storage = {"className": digits, "size": "1073741824"}
    own = {"redis": {"image": digits, "priorityClassName": digits, "auth": secret, "tls": secret, "storage": storage}}
    external = {"redis": {"enabled": False}, "externalRedis": secret | {"passwordKey": digits, "caKey": "7654321"}}
    for redis in (own, external):
        for thing in filter(is_of_kubernetes, objects(common | redis, release=digits)):
            try:
                kubernetes_validate.validate(thing, VERSIONS[-1], strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{title(thing)}: {error}") from error


@check
def kubernetes_takes_what_watches_beside_the_chart():
    things = list(yaml.safe_load_all((DEPLOY / "watching/kubernetes.yaml").read_text()))
    for thing in things:
        for version in VERSIONS:
            kubernetes_validate.validate(thing, version, strict=True)
    # Those two are made from the chart's files, by the commands at its head.
    made = {thing["metadata"]["name"] for thing in things if thing["kind"] == "ConfigMap"} | {"prometheus-rules", "grafana-dashboards"}
    pods = [pod["spec"] for _, pod in templates(things)]
    assert len(pods) == 2
    for spec in pods:
        named = {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume}
        assert named <= made, named - made
        mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


@check
def custom_resources_have_the_fields_that_their_owners_define():
    things = [thing for things in rendered().values() for thing in things if not is_of_kubernetes(thing)]
    things += [thing for path in (DEPLOY / "examples").glob("*.yaml") for thing in yaml.safe_load_all(path.read_text())]
    assert {thing["kind"] for thing in things} >= {"HTTPRoute", "ServiceMonitor", "ScaledObject"}
    run("node", "custom-resources.mjs", input=json.dumps(things), cwd=Path(__file__).parent)


@check
def grafana_is_told_where_prometheus_and_the_dashboard_are():
    beside = {(thing["kind"], thing["metadata"]["name"]): thing for thing in yaml.safe_load_all((DEPLOY / "watching/kubernetes.yaml").read_text())}
    files = beside["ConfigMap", "grafana"]["data"]
    mounts = beside["Deployment", "grafana"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {mount["subPath"] for mount in mounts if mount["name"] == "settings"} == set(files)
    [served] = beside["Service", "prometheus"]["spec"]["ports"]
    pods = (files, {mount["mountPath"] for mount in mounts}, ("prometheus", served["port"]))
    compose = yaml.safe_load((DEPLOY / "watching/compose.yaml").read_text())["services"]
    volumes = [volume.split(":") for volume in compose["grafana"]["volumes"]]
    texts = {Path(of).name.removeprefix("grafana-"): (DEPLOY / "watching" / of).read_text() for of, *_ in volumes if of.endswith(".yml")}
    [published] = compose["prometheus"]["ports"]
    host = (texts, {str(Path(at).parent) for _, at, _ in volumes}, ("prometheus", int(published.rsplit(":", 1)[1])))
    for texts, folders, (name, port) in (pods, host):
        texts = {file.replace("yml", "yaml"): yaml.safe_load(text) for file, text in texts.items()}
        [source] = texts["datasources.yaml"]["datasources"]
        assert source["type"] == "prometheus" and source["url"] == f"http://{name}:{port}", source
        [provider] = texts["dashboards.yaml"]["providers"]
        assert provider["type"] == "file" and provider["options"]["path"] in folders, (provider, folders)
        assert {text["apiVersion"] for text in texts.values()} == {1}


@check
def prometheus_keeps_and_judges_what_the_examples_that_watch_name():
    """The real one, as both examples start it, over a real process in the place of theirs. Debian builds it without an eye for
    Kubernetes: what that would find is handed to it, a target for each port of each pod."""
    beside = list(yaml.safe_load_all((DEPLOY / "watching/kubernetes.yaml").read_text()))
    named = {(thing["kind"], thing["metadata"]["name"]): thing for thing in beside}
    settings = yaml.safe_load(named["ConfigMap", "prometheus"]["data"]["prometheus.yml"])
    flags = named["Deployment", "prometheus"]["spec"]["template"]["spec"]["containers"][0]["args"]
    [job] = settings["scrape_configs"]
    [search] = job.pop("kubernetes_sd_configs")
    assert search == {"role": "pod", "namespaces": {"names": ["pixels"]}}
    compose = yaml.safe_load((DEPLOY / "watching/prometheus.yml").read_text())
    ours = f"127.77.0.1:{OPS_PORT}"
    # Nobody listens at the others' address.
    found_ports = [
        {
            "targets": [ours if (name, port["name"]) == ("canvas-api", "ops") else f"127.77.0.2:{port['containerPort']}"],
            "labels": {
                "__meta_kubernetes_namespace": "pixels",
                "__meta_kubernetes_pod_name": f"{name}-0",
                "__meta_kubernetes_pod_container_port_name": port["name"],
            },
        }
        for owner, pod in templates(objects({}))
        if owner["kind"] != "Pod"
        for name in [owner["metadata"]["name"]]
        for port in pod["spec"]["containers"][0]["ports"]
    ]
    assert len(found_ports) == 7, found_ports
    job["static_configs"] = found_ports
    assert compose["scrape_configs"][0]["static_configs"] == [{"targets": [f"playground:{OPS_PORT}"]}]
    compose["scrape_configs"][0]["static_configs"] = [{"targets": [ours]}]
    examples = [
        (settings, {"frontend-0": "down", "canvas-api-0": "up", "websocket-gateway-0": "down"}, {"pixels"}),
        (compose, {ours: "up"}, {None}),
    ]
    for example, healths, namespaces in examples:
        assert [Path(file).name for file in example["rule_files"]] == ["rules.yaml"]
        example["rule_files"] = [str(CHART / "files/rules.yaml")]
        # Both ask every 15 s.
        assert set(example["global"].values()) == {"15s"}
        example["global"] = dict.fromkeys(example["global"], "1s")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "prometheus.yml").write_text(yaml.safe_dump(example))
            door = f"127.0.0.1:{free_port()}"
            words = [flag.replace("/etc/prometheus", folder).replace("=/prometheus", f"={folder}/data") for flag in flags]
            listen = {f"PIXEL_PLAYGROUND_{name}_LISTEN": f"127.77.0.1:{free_port()}" for name in ("FRONTEND", "API", "GATEWAY")}
            with (
                process([sys.argv[1], f"--ops-listen={ours}"], listen, folder),
                process(["prometheus", *words, f"--web.listen-address={door}"], dict(os.environ), folder),
            ):
                ask = lambda path: json.load(urllib.request.urlopen(f"http://{door}/api/v1/{path}", timeout=10))["data"]
                health = lambda: {one["labels"]["instance"]: one["health"] for one in ask("targets")["activeTargets"]}
                eventually(lambda: health() == healths)
                rules = lambda: [rule for group in ask("rules")["groups"] for rule in group["rules"]]
                eventually(lambda: len(rules()) > 20 and {rule["health"] for rule in rules()} == {"ok"})
                sockets = lambda: ask("query?query=namespace:pixel_gateway_sockets:sum")["result"]
                eventually(lambda: [one["value"][1] for one in sockets()] == ["0"])
                assert {one["metric"].get("namespace") for one in sockets()} == namespaces, "alerts are told apart by it"


def is_of_kubernetes(thing):
    group = thing["apiVersion"].rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io")


def title(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


# What strangers rely on


@check
def alerts_lead_to_their_runbooks():
    for name, things in rendered().items():
        base = values_files()[name].get("monitoring", {}).get("prometheusRule", {}).get("runbookBase", "")
        for thing in (thing for thing in things if thing["kind"] == "PrometheusRule"):
            alerts = [rule for group in thing["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
            expected = [f"{base}docs/operations.md#{rule['alert'].lower()}" for rule in alerts]
            assert [rule["annotations"]["runbook_url"] for rule in alerts] == expected, name
    assert "runbookBase" in str(values_files()["production"])


@check
def the_default_objects_have_the_names_that_others_know():
    things = {(thing["kind"], thing["metadata"]["name"]): thing for thing in objects({})}
    hooks = {key for key, thing in things.items() if "helm.sh/hook" in thing["metadata"].get("annotations", {})}
    release = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    kinds = ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"]
    expected = {(kind, name) for kind in kinds for name in SERVICES}
    expected |= {(kind, "redis") for kind in ("StatefulSet", "Service", "ConfigMap", "NetworkPolicy")}
    expected |= {("Ingress", "pixel-playground"), ("Secret", "redis-auth"), ("Secret", "pixel-playground-admin")}
    assert set(things) - hooks == expected, set(things) ^ expected

    for name, port in SERVICES.items():
        deployment, service = things["Deployment", name]["spec"], things["Service", name]["spec"]
        assert deployment["replicas"] == 2
        assert deployment["selector"] == {"matchLabels": {"app": name}}
        assert deployment["template"]["metadata"]["labels"]["app"] == name
        assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert service["type"] == "ClusterIP" and service["selector"] == {"app": name}
        assert [item["port"] for item in service["ports"]] == [port]
        [container] = deployment["template"]["spec"]["containers"]
        assert container["image"] == f"pixel-playground:{release}" and container["imagePullPolicy"] == "IfNotPresent"
        assert container["resources"] == {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "200m", "memory": "256Mi"},
        }
    assert "--durability=fsync" in things["Deployment", "canvas-api"]["spec"]["template"]["spec"]["containers"][0]["args"]

    service, redis = things["Service", "redis"]["spec"], things["StatefulSet", "redis"]["spec"]
    assert service["clusterIP"] == "None" and service["ports"][0]["port"] == 6379
    assert redis["replicas"] == 1 and redis["serviceName"] == "redis"
    # In order, a rollout waits for the pod that it is to mend.
    assert redis["podManagementPolicy"] == "Parallel"
    [claim] = redis["volumeClaimTemplates"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    [container] = redis["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "256Mi"
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in container["volumeMounts"]
    settings = things["ConfigMap", "redis"]["data"]["redis.conf"].splitlines()
    expected = ["appendonly yes", "appendfsync always", "save 60 1", "maxmemory 128mb", "maxmemory-policy noeviction"]
    assert set(settings) >= {*expected, "dir /data", "port 6379"}, settings

    [rule] = things["Ingress", "pixel-playground"]["spec"]["rules"]
    routes = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
    assert routes == {
        "/": {"name": "frontend", "port": {"number": 3000}},
        "/api": {"name": "canvas-api", "port": {"number": 3001}},
        "/ws": {"name": "websocket-gateway", "port": {"number": 3002}},
    }
    assert "annotations" not in things["Ingress", "pixel-playground"]["metadata"]


@check
def the_network_lets_through_exactly_what_is_needed():
    policies = {thing["metadata"]["name"]: thing for thing in objects({}) if thing["kind"] == "NetworkPolicy"}
    traefik, monitoring = "kube-system/app.kubernetes.io/name=traefik", "monitoring/"
    dns = {("kube-system/k8s-app=kube-dns", 53)}
    into = {name: peers(policies[name], "ingress") for name in [*SERVICES, "redis"]}
    assert into == {
        "frontend": {(traefik, 3000), (monitoring, OPS_PORT)},
        "canvas-api": {(traefik, 3001), ("app=websocket-gateway", 3001), (monitoring, OPS_PORT)},
        "websocket-gateway": {(traefik, 3002), (monitoring, OPS_PORT)},
        "redis": {("app=canvas-api", 6379), ("app=websocket-gateway", 6379)},
    }, into
    out = {name: peers(policies[name], "egress") for name in [*SERVICES, "redis"]}
    assert out == {
        "frontend": dns,
        "canvas-api": dns | {("app=redis", 6379)},
        "websocket-gateway": dns | {("app=redis", 6379), ("app=canvas-api", 3001)},
        "redis": dns,
    }, out
    for name in into:
        assert policies[name]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert policies[name]["spec"]["podSelector"] == {"matchLabels": {"app": name}}


def peers(policy, direction):
    """Who may come or be gone to, as (namespace/label=value, port)."""
    side = {"ingress": "from", "egress": "to"}[direction]
    rules = policy["spec"][direction]
    assert all(rule.get(side) and rule.get("ports") for rule in rules), "a rule without a side lets everybody"
    return {(peer(who), port["port"]) for rule in rules for who in rule[side] for port in rule["ports"]}


def peer(who):
    labels = lambda selector: ",".join(f"{key}={value}" for key, value in selector["matchLabels"].items())
    pods = labels(who["podSelector"]) if "podSelector" in who else ""
    if "namespaceSelector" not in who:
        return pods
    return f"{who['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}/{pods}"


# What an API server, a kubelet or a controller would object to, or silently not do


@check
def every_pod_meets_the_restricted_standard():
    for name, things in rendered().items():
        found(f"{name}, {title(owner)}: {problem}" for owner, pod in templates(things) for problem in laxity(pod["spec"]))


def laxity(spec):
    security = spec["securityContext"]
    for allowed in [
        security["runAsNonRoot"] is True,
        security["runAsUser"] > 0,
        security["seccompProfile"] == {"type": "RuntimeDefault"},
        spec["automountServiceAccountToken"] is False,
        spec["enableServiceLinks"] is False,
    ]:
        if not allowed:
            yield spec
    for container in spec.get("initContainers", []) + spec["containers"]:
        security = container["securityContext"]
        if security["allowPrivilegeEscalation"] or not security["readOnlyRootFilesystem"]:
            yield security
        if security["capabilities"] != {"drop": ["ALL"]}:
            yield security
        for kind in ("requests", "limits"):
            if set(container["resources"][kind]) != {"cpu", "memory"}:
                yield container["resources"]


@check
def whatever_is_named_is_there():
    for name, things in rendered().items():
        found(f"{name}: {problem}" for problem in dangling(things))


def dangling(things):
    made = {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}
    pods = [pod for _, pod in templates(things)]
    claims = lambda owner: [claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])]

    for owner, pod in templates(things):
        spec, where = pod["spec"], title(owner)
        volumes = [volume["name"] for volume in spec.get("volumes", [])] + claims(owner)
        if len(set(volumes)) < len(volumes):
            yield f"{where}: volumes of one name"
        for volume in spec.get("volumes", []):
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in made:
                yield f"{where}: no ConfigMap {volume['configMap']['name']}"
            if "secret" in volume:
                yield from secret(made, where, volume["secret"]["secretName"], volume["secret"].get("items", []))
        used = set()
        for container in spec.get("initContainers", []) + spec["containers"]:
            used |= {mount["name"] for mount in container.get("volumeMounts", [])}
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            if len(set(ports.values())) < len(ports):
                yield f"{where}: ports of one number"
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if container.get(kind, {}).get("httpGet", {}).get("port", "ops") not in {"ops", *ports}:
                    yield f"{where}: {kind} asks a port that is not there"
            # A kubelet refuses names of more than 15 characters.
            yield from (f"{where}: {port}" for port in ports if len(port) > 15)
            listens = {int(word.rsplit(":", 1)[1]) for word in container.get("args", []) if re.match(r"--\w+-listen=", word)}
            if listens and listens != set(ports.values()):
                yield f"{where}: listens on {listens}, shows {ports}"
            for mount in container.get("volumeMounts", []):
                if mount["name"] != "data" and not mount.get("readOnly"):
                    yield f"{where}: {mount} can be written"
        if used != set(volumes):
            yield f"{where}: mounts {used}, has {set(volumes)}"
        if owner["kind"] != "Pod":
            labels = owner["spec"]["selector"]["matchLabels"]
            if not labels.items() <= pod["metadata"]["labels"].items():
                yield f"{where}: selects {labels}"

    for (kind, name), thing in made.items():
        spec = thing.get("spec", {})
        if kind == "Service":
            shown = [c["ports"] for p in pods if spec["selector"].items() <= p["metadata"]["labels"].items() for c in p["spec"]["containers"]]
            names = {port["name"] for ports in shown for port in ports}
            yield from (f"Service {name}: no port {port}" for port in spec["ports"] if port["targetPort"] not in names)
        elif kind == "Ingress":
            for rule in spec["rules"]:
                backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
                yield from (f"Ingress {name}: {to}" for to in backends if not serves(made, to["name"], to["port"]["number"]))
        elif kind == "HTTPRoute":
            backends = [backend for rule in spec["rules"] for backend in rule["backendRefs"]]
            yield from (f"HTTPRoute {name}: {to}" for to in backends if not serves(made, to["name"], to["port"]))
        elif kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = spec["scaleTargetRef"]
            if (target["kind"], target["name"]) not in made:
                yield f"{kind} {name}: {target}"
        elif kind == "PodDisruptionBudget":
            wanted = spec["selector"]["matchLabels"].items()
            if not any(wanted <= pod["metadata"]["labels"].items() for pod in pods):
                yield f"{kind} {name} is of nobody"
        elif kind == "ServiceMonitor":
            if {port["name"] for p in pods for c in p["spec"]["containers"] for port in c.get("ports", [])}.isdisjoint(
                {endpoint["targetPort"] for endpoint in spec["endpoints"]}
            ):
                yield f"{kind} {name} reads nothing"


def secret(made, where, name, items):
    if ("Secret", name) in made:
        keys = set(made["Secret", name]["data"])
        yield from (f"{where}: Secret {name} has no {item['key']}" for item in items if item["key"] not in keys)
    elif name not in FOREIGN_SECRETS:
        yield f"{where}: no Secret {name}"


def serves(made, name, port):
    return port in [item["port"] for item in made.get(("Service", name), {"spec": {"ports": []}})["spec"]["ports"]]


@check
def an_upgrade_keeps_the_secrets_and_what_the_autoscaler_chose():
    with cluster.running() as (address, things), helm.Config(
        kube_apiserver=address, namespace="pixels", storage_driver="memory"
    ) as config:
        config.install(CHART, "pixels")
        made = {name: things["secrets", name]["data"] for name in ("redis-auth", "pixel-playground-admin")}
        assert all(len(base64.b64decode(value)) == 40 for data in made.values() for value in data.values()), made
        assert things["deployments", "websocket-gateway"]["spec"]["replicas"] == 2
        things["deployments", "websocket-gateway"]["spec"]["replicas"] = 7
        things["deployments", "frontend"]["spec"]["replicas"] = 1
        config.upgrade(CHART, "pixels", {"logRetention": "32MiB"})
        assert {name: things["secrets", name]["data"] for name in made} == made
        assert "--log-retention-bytes=32MiB" in str(things["deployments", "canvas-api"])
        assert things["deployments", "websocket-gateway"]["spec"]["replicas"] == 7
        assert things["deployments", "frontend"]["spec"]["replicas"] == 2, "no autoscaler goes below the least"


@check
def the_drain_fits_into_the_time_that_a_pod_has():
    for name, things in rendered().items():
        for owner, pod in templates(things):
            if owner["kind"] == "Deployment":
                sleep = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
                assert pod["spec"]["terminationGracePeriodSeconds"] >= sleep + 20, (name, title(owner))


@check
def an_upgrade_of_the_chart_alone_rolls_nothing():
    """Pods carry no label that changes with the chart's version: Redis would restart for nothing."""
    for owner, pod in templates(objects({})):
        if owner["kind"] != "Pod":
            assert "helm.sh/chart" not in pod["metadata"]["labels"], title(owner)


@check
def each_services_flags_are_taken_by_the_executable():
    executable = sys.argv[1]
    for name, values in values_files().items():
        for owner, pod in templates(objects(values)):
            if owner["kind"] != "Deployment":
                continue
            [container] = pod["spec"]["containers"]
            with tempfile.TemporaryDirectory() as folder:
                for volume in pod["spec"].get("volumes", []):
                    (Path(folder) / volume["name"]).mkdir()
                    for item in volume.get("secret", {}).get("items", []):
                        (Path(folder) / volume["name"] / item["path"]).write_text("0123456789abcdef" * 4)
                    if "configMap" in volume:
                        (Path(folder) / volume["name"] / "playground.toml").write_text(values["config"])
                flags = [flag.replace("/etc/pixel-playground", folder) for flag in container["args"]]
                environment = {item["name"]: "redis+sentinel://a:26379,b:26379/pixels" for item in container.get("env", [])}
                run(executable, "check-config", *flags, env=environment)


@check
def the_networks_that_are_trusted_are_networks():
    for values in values_files().values():
        for network in values.get("trustedProxies", []):
            ipaddress.ip_network(network)


@check
def checkov_finds_nothing_that_is_not_declined():
    with tempfile.TemporaryDirectory() as folder:
        for name, things in rendered().items():
            # The test's pod ends by itself: nobody probes it.
            lasting = [thing for thing in things if thing["kind"] != "Pod"]
            (Path(folder) / f"{name}.yaml").write_text(yaml.safe_dump_all(lasting))
        words = ["--directory", folder, "--framework", "kubernetes", "--quiet", "--compact", "--output", "json", "--soft-fail"]
        # It asks its makers for news otherwise.
        environment = os.environ | {"CKV_IGNORE_HIDDEN_DIRECTORIES": "false", "LOG_LEVEL": "ERROR"}
        words += ["--skip-check", ",".join(CHECKOV_DECLINED), "--skip-download"]
        said = json.loads(run(sys.executable, "-m", "checkov.main", *words, env=environment))
        assert said["summary"]["passed"] > 500, said["summary"]
        found(f"{line['check_id']} {line['check_name']}: {line['resource']}" for line in said["results"]["failed_checks"])


# Without Helm


@check
def kubectl_builds_the_manifests_with_the_secrets_of_who_applies_them():
    with tempfile.TemporaryDirectory() as folder:
        for path in MANIFESTS.glob("*.yaml"):
            (Path(folder) / path.name).write_text(path.read_text())
        (Path(folder) / "redis-password").write_text("secret")
        (Path(folder) / "admin-token").write_text("token")
        built = list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", folder)))
    by_name = {(thing["kind"], thing["metadata"]["name"]): thing for thing in built}
    hook = lambda thing: "helm.sh/hook" in thing["metadata"].get("annotations", {})
    assert set(by_name) == {(thing["kind"], thing["metadata"]["name"]) for thing in objects({}) if not hook(thing)}
    assert base64.b64decode(by_name["Secret", "redis-auth"]["data"]["password"]) == b"secret"
    for thing in built:
        kubernetes_validate.validate(thing, VERSIONS[-1], strict=True)
    found(dangling(built))


@check
def the_tours_commands_are_commands_about_what_is_there():
    """Each `kubectl` and `loadgen` is asked for its help with the flags that stand there: it refuses those that it does not know."""
    things = {(thing["kind"].lower(), thing["metadata"]["name"]) for thing in objects({})}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    ideas = re.split(r"^## \d+\. ", (DOCS / "tour.md").read_text(), flags=re.MULTILINE)
    assert len(ideas) == 1 + 10, "ten ideas"
    for idea in ideas:
        script = "\n".join(re.findall(r"^```sh\n(.*?)^```", idea, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
        assert script, f"nothing to type: {idea}"
        run("bash", "-n", input=script)
        commands = re.findall(r"(?:^|[;|(]|xargs) *((?:kubectl|cargo run) (?:'[^']*'|\"[^\"]*\"|[^|;&>)#\n'\"])*)", script, re.MULTILINE)
        for words in map(shlex.split, commands):
            if words[0] == "kubectl":
                run(tool("kubectl"), *words[1:], "--help")
            else:
                run(Path(sys.argv[1]).with_name("loadgen"), *words[words.index("--") + 1 :], "--help")
        named = set(re.findall(r"\b(deployment|statefulset|ingress)[ /]([a-z-]+)", script))
        found(f"there is no {kind} {name}" for kind, name in named - things)
        for path in re.findall(r"--set ([\w.]+)=", script):
            value = values
            for key in path.split("."):
                assert key in value, f"there is no value {path}"
                value = value[key]


# One host


@check
def compose_takes_the_examples_that_watch_and_keep_logs():
    for path in (DEPLOY / "watching/compose.yaml", DEPLOY / "logging/compose.yaml"):
        project = json.loads(run(tool("docker-compose"), "--file", str(path), "config", "--format", "json"))
        files = [v["source"] for service in project["services"].values() for v in service.get("volumes", []) if v["type"] == "bind"]
        found(f"{path}: no {file}" for file in files if file.startswith(str(DEPLOY)) and not Path(file).is_file())


@check
def compose_takes_both_files_and_the_executable_their_commands():
    with tempfile.TemporaryDirectory() as folder:
        for path in SINGLE.glob("compose*.yaml"):
            (Path(folder) / path.name).write_text(path.read_text())
            for name in ("redis-password", "admin-token"):
                (Path(folder) / name).write_text("a secret")
            project = json.loads(run(tool("docker-compose"), "--file", f"{folder}/{path.name}", "config", "--format", "json"))
            for name, service in project["services"].items():
                assert service["read_only"] and service["cap_drop"] == ["ALL"], (path.name, name)
                if service["image"].startswith("pixel-playground:"):
                    flags = [flag.replace("/run/secrets", folder) for flag in service["command"]]
                    run(sys.argv[1], "check-config", *flags, env={}, cwd=folder)


@check
def every_redis_wants_its_password_and_says_that_it_is_there():
    with tempfile.TemporaryDirectory() as folder:
        # What a shell and Redis would take apart.
        secret = Path(folder) / "secret"
        secret.mkdir()
        for name in ("password", "redis-password", "admin-token"):
            (secret / name).write_text('a "secret\\ $word\n')
        compose = json.loads(
            run(tool("docker-compose"), "--file", str(SINGLE / "compose.services.yaml"), "config", "--format", "json")
        )["services"]["redis"]
        words = [*compose["command"], compose["healthcheck"]["test"][1]]
        ours = {thing["kind"]: thing for thing in objects({}) if thing["metadata"]["name"] == "redis"}
        (Path(folder) / "redis.conf").write_text(ours["ConfigMap"]["data"]["redis.conf"].replace("/data", folder))
        [container] = ours["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        probes = [container[name]["exec"]["command"] for name in ("readinessProbe", "livenessProbe")]
        of_chart = [*container["command"], *container["args"]], probes[0]
        of_compose = [word.replace("$$", "$") for word in words[:-1]], ["sh", "-c", words[-1].replace("$$", "$")]
        for command, probe in (of_chart, of_compose):
            port = free_port()
            command = [word.replace(" - <<", f" --port {port} --bind 127.0.0.1 - <<") for word in command]
            local = lambda word: (
                word.replace("/etc/redis-auth", str(secret))
                .replace("/run/secrets", str(secret))
                .replace("/etc/redis/", f"{folder}/")
                .replace("/data", folder)
                .replace(" ping", f" -p {port} ping")
            )
            with process([local(word) for word in command], dict(os.environ), folder):
                asked = [local(word) for word in probe]
                eventually(lambda: subprocess.run(asked, capture_output=True).returncode == 0)
                unasked = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True)
                assert "NOAUTH" in unasked.stdout + unasked.stderr, unasked
                (secret / "redis-password").write_text("another")
                (secret / "password").write_text("another")
                assert subprocess.run(asked, capture_output=True).returncode != 0, "another password is as good"
                lives = subprocess.run([local(word) for word in probes[1]], capture_output=True).returncode == 0
                assert lives, "a kubelet would kill a Redis whose Secret changed"
            assert subprocess.run([local(word) for word in probes[1]], capture_output=True).returncode != 0, "it is gone"
            for name in ("password", "redis-password"):
                (secret / name).write_text('a "secret\\ $word\n')


@check
def systemd_takes_the_unit_and_finds_it_well_locked():
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "pixel-playground.service"
        unit.write_text((SINGLE / unit.name).read_text().replace("/usr/local/bin/pixel-playground", sys.argv[1]))
        said = run("systemd-analyze", "verify", str(unit), stderr_too=True)
        assert unit.name not in said, said
        run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))


@check
def the_unit_runs_behind_caddy_with_tls():
    unit = (SINGLE / "pixel-playground.service").read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].split()
    settings = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    inside, outside = free_port(), free_port()
    caddyfile = (SINGLE / "Caddyfile").read_text()
    run(tool("caddy"), "validate", "--adapter", "caddyfile", "--config", "-", input=caddyfile)
    assert "reverse_proxy 127.0.0.1:3000" in caddyfile and "\npixels.example.org {" in caddyfile
    # A name of this host, its own authority, and ports that are free.
    caddyfile = caddyfile.replace("reverse_proxy 127.0.0.1:3000", f"reverse_proxy 127.0.0.1:{inside}")
    caddyfile = caddyfile.replace("\npixels.example.org {", f"\nhttps://localhost:{outside} {{\n\ttls internal")
    caddyfile = caddyfile.replace("{\n", "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n", 1)
    with tempfile.TemporaryDirectory() as folder:
        listen = {f"PIXEL_PLAYGROUND_{name}_LISTEN": f"127.0.0.1:{free_port()}" for name in ("API", "GATEWAY", "OPS")}
        listen["PIXEL_PLAYGROUND_FRONTEND_LISTEN"] = f"127.0.0.1:{inside}"
        settings["PIXEL_PLAYGROUND_STORE"] = settings["PIXEL_PLAYGROUND_STORE"].replace("/var/lib", folder)
        (Path(folder) / "Caddyfile").write_text(caddyfile)
        proxy = [tool("caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]
        with (
            process([sys.argv[1], *command[1:]], settings | listen, folder),
            process(proxy, {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}, folder),
        ):
            authority = Path(folder) / "caddy/pki/authorities/local/root.crt"
            eventually(authority.exists)
            trust = ssl.create_default_context(cafile=authority)
            get = lambda path: urllib.request.urlopen(f"https://localhost:{outside}{path}", context=trust, timeout=10)
            eventually(lambda: get("/health").status == 200)
            assert json.load(get("/api/canvas"))["width"] == 50
            asked = urllib.request.Request(f"https://localhost:{outside}/api/pixel", method="PUT")
            asked.add_header("content-type", "application/json")
            painted = b'{"x": 1, "y": 2, "color": "#ABCDEF"}'
            assert json.load(urllib.request.urlopen(asked, painted, context=trust, timeout=10))["success"]
            assert json.load(get("/api/pixel/1/2"))["color"] == "#ABCDEF"


@contextlib.contextmanager
def process(command, environment, folder):
    """Runs beside what follows, and is ended after it."""
    with open(Path(folder) / f"{Path(command[0]).name}.log", "w+") as log:
        child = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            yield
        except BaseException:
            log.seek(0)
            print(log.read()[-3000:])
            raise
        finally:
            child.terminate()
            child.wait()


def eventually(done, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except OSError as error:
            trouble = error
        else:
            trouble = None
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {trouble}"
        time.sleep(0.05)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main():
    if sys.argv[1:] == ["--write"]:
        for path, text in chart.generated().items():
            path.write_text(text)
        return 0
    if sys.argv[1:2] == ["--objects"]:
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in SCENARIOS.items():
            (folder / f"{name}.json").write_text(json.dumps(objects(values)))
        return 0
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok      {name}", flush=True)
        except Exception:  # noqa: BLE001: whatever went wrong, the others are judged too
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"\n{len(CHECKS) - failed} passed, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
