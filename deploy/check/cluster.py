"""As much of a Kubernetes API server as Helm asks: it keeps what it is given, and gives it back."""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The kinds that the chart makes, by group and version: (kind, plural).
RESOURCES = {
    "v1": [("Service", "services"), ("Secret", "secrets"), ("ConfigMap", "configmaps"), ("Pod", "pods")],
    "apps/v1": [("Deployment", "deployments"), ("StatefulSet", "statefulsets")],
    "autoscaling/v2": [("HorizontalPodAutoscaler", "horizontalpodautoscalers")],
    "policy/v1": [("PodDisruptionBudget", "poddisruptionbudgets")],
    "networking.k8s.io/v1": [("Ingress", "ingresses"), ("NetworkPolicy", "networkpolicies")],
}
PATH = re.compile(r"/(?:api|apis)/(?P<api>.+?)/namespaces/(?P<namespace>[^/]+)/(?P<plural>\w+)(?:/(?P<name>[^/?]+))?(?:\?.*)?$")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def missing(self):
        self.reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def do_GET(self):
        if thing := self.server.things.get(self.key()):
            return self.reply(thing)
        path = self.path.partition("?")[0]
        if path == "/version":
            return self.reply({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
        if path == "/api":
            return self.reply({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            groups = [api.split("/") for api in RESOURCES if "/" in api]
            version = lambda group, version: {"groupVersion": f"{group}/{version}", "version": version}
            named = [{"name": g, "versions": [version(g, v)], "preferredVersion": version(g, v)} for g, v in groups]
            return self.reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": named})
        if path == "/openapi/v3":
            where = {root(api): {"serverRelativeURL": f"/openapi/v3/{root(api)}?hash=0"} for api in RESOURCES}
            return self.reply({"paths": where})
        if path.startswith("/openapi/v3/"):
            api = path.removeprefix("/openapi/v3/").removeprefix("apis/").removeprefix("api/")
            return self.reply({"openapi": "3.0.0", "info": {"title": api, "version": "0"}, "paths": field_validation(api)})
        api = path.removeprefix("/apis/").removeprefix("/api/")
        if api in RESOURCES:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            kinds = [{"kind": k, "name": p, "namespaced": True, "verbs": verbs} for k, p in RESOURCES[api]]
            return self.reply({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": kinds})
        return self.missing()

    def write(self):
        thing = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.key() or self.key(thing["metadata"]["name"])
        before = self.server.things.get(key)
        if self.headers["content-type"].endswith("merge-patch+json") and before:
            thing = merged(before, thing)
        thing["metadata"].setdefault("uid", "0")
        self.server.things[key] = thing
        self.reply(thing, 200 if before else 201)

    do_POST = do_PUT = do_PATCH = write

    def key(self, name=None):
        found = PATH.match(self.path)
        name = name or (found and found["name"])
        return (found["plural"], name) if found and name else None


def root(api):
    return f"apis/{api}" if "/" in api else f"api/{api}"


def field_validation(api):
    """Says that the server judges fields itself, so that a client needs no schemas."""
    group, _, version = api.rpartition("/")
    of = lambda kind: {"group": group, "version": version, "kind": kind}
    operation = lambda kind: {
        "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
        "x-kubernetes-group-version-kind": of(kind),
        "responses": {},
    }
    return {f"/{root(api)}/namespaces/{{namespace}}/{plural}/{{name}}": {"patch": operation(kind)} for kind, plural in RESOURCES[api]}


def merged(before, patch):
    """RFC 7386, which suffices for what is read back."""
    if not isinstance(before, dict) or not isinstance(patch, dict):
        return patch
    both = {key: merged(before.get(key), value) for key, value in patch.items() if value is not None}
    return {key: value for key, value in before.items() if key not in patch} | both


@contextlib.contextmanager
def running():
    """A server without objects: its address, and its objects by (plural, name)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.things = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.things
    finally:
        server.shutdown()
        server.server_close()
