"""The chart as its users see it: rendered objects, and what is generated from it."""

import json
import re
from pathlib import Path

import helm_python as helm
import yaml

DEPLOY = Path(__file__).resolve().parent.parent
CHART = DEPLOY / "helm/pixel-playground"
MANIFESTS = DEPLOY / "kubernetes"
# What the chart promises to run on.
VERSIONS = [f"1.{minor}.0" for minor in range(30, 38)]

# For `kubectl apply -k`, where nothing makes and keeps a Secret.
MANIFEST_VALUES = {
    "redis": {"auth": {"existingSecret": "redis-auth"}},
    "adminToken": {"existingSecret": "pixel-playground-admin"},
}
TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)


def values_files():
    """Every example of values, by name; the defaults are the first."""
    examples = {path.stem.removesuffix("-values"): path for path in sorted((CHART / "ci").glob("*.yaml"))}
    # The rules and the dashboard are files of the chart, for whoever has an operator or a sidecar to read them.
    watched = {"monitoring": {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}}
    shipped = {"watched": watched} if (CHART / "files").is_dir() else {}
    return {"default": {}} | shipped | {name: yaml.safe_load(path.read_text()) for name, path in examples.items()}


def render(values, release="pixels"):
    """The text of every template that renders to something, by the template's name."""
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(values, name=release, namespace="pixels")
    return {name.removeprefix("pixel-playground/templates/"): text for name, text in rendered.items() if text.strip()}


def objects(values, release="pixels"):
    """Every object that these values make, those of `helm test` among them."""
    texts = [text for name, text in render(values, release).items() if name != "NOTES.txt"]
    return [thing for text in texts for thing in yaml.load_all(text, Loader=Strict) if thing]


class Strict(yaml.SafeLoader):
    """Refuses a field that is there twice, as an API server does that is asked to be strict."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a field is there twice: {keys}"
        return super().construct_mapping(node, deep)


def templates(things):
    """Every pod that is made, as (the object that makes it, the pod's metadata and spec)."""
    for thing in things:
        if thing["kind"] == "Pod":
            yield thing, thing
        elif thing["kind"] in ("Deployment", "StatefulSet"):
            yield thing, thing["spec"]["template"]


def generated():
    """What is written from the chart, by path."""
    files = {CHART / "README.md": readme()}
    for name, text in manifests().items():
        files[MANIFESTS / name] = text
    return files


def readme():
    """The README with the table of values."""
    rows = [f"| `{key}` | {shown(default)} | {meaning} |" for key, default, meaning in described_values()]
    table = "\n".join(["", "| key | default | meaning |", "|---|---|---|", *rows, "", ""])
    return TABLE.sub(lambda _: table, (CHART / "README.md").read_text())


def shown(default):
    if default in ("", None, {}, []):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def described_values():
    """Each value that has a description, in the order of the file: its key, its default and what it means."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    path, meaning = [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if comment := re.match(r" *# (-- )?(.*)", line):
            if comment[1] or meaning:
                meaning.append(comment[2])
            continue
        if key := re.match(r"( *)([A-Za-z]+):", line):
            path[len(key[1]) // 2 :] = [key[2]]
            if meaning:
                default = defaults
                for part in path:
                    default = default[part]
                yield ".".join(path), default, " ".join(meaning)
        meaning = []


def manifests():
    """The chart's objects as plain files, without what is Helm's own. Autoscalers say how many pods there are."""
    files = {}
    for name, text in render(MANIFEST_VALUES).items():
        things = [thing for thing in yaml.safe_load_all(text) if thing] if name.endswith(".yaml") else []
        things = [plain(thing) for thing in things if "helm.sh/hook" not in thing["metadata"].get("annotations", {})]
        if things:
            head = "# Generated from the Helm chart by `cargo xtask chart`.\n"
            files[name] = head + yaml.dump_all(things, Dumper=Readable, sort_keys=False, width=120)
    return files


class Readable(yaml.SafeDumper):
    """Several lines stay several lines."""


Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def plain(thing):
    labels = thing["metadata"]["labels"]
    for label in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
        labels.pop(label)
    if thing["kind"] == "Deployment":
        del thing["spec"]["replicas"]
    return thing
