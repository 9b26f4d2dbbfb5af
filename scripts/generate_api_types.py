"""Generate src/tiphys/api/types and api/facts from schema facts: names, types, required, list keys, patch strategy.

Input: the OpenAPI definitions in the PyPI package kubernetes-validate (no prose is kept). Run from the root:

    .venv/bin/python scripts/generate_api_types.py
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate

VERSION = "v1.36.0"
ROOT = Path(__file__).resolve().parent.parent / "src" / "tiphys" / "api"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
GROUPS = {
    META: "meta_v1",
    "io.k8s.api.core.v1": "core_v1",
    "io.k8s.api.apps.v1": "apps_v1",
    "io.k8s.api.batch.v1": "batch_v1",
    "io.k8s.api.discovery.v1": "discovery_v1",
    "io.k8s.api.coordination.v1": "coordination_v1",
    "io.k8s.api.events.v1": "events_v1",
    "io.k8s.api.rbac.v1": "rbac_v1",
    "io.k8s.api.networking.v1": "networking_v1",
    "io.k8s.api.policy.v1": "policy_v1",
    "io.k8s.api.autoscaling.v1": "autoscaling_v1",
    "io.k8s.api.autoscaling.v2": "autoscaling_v2",
    "io.k8s.api.storage.v1": "storage_v1",
    "io.k8s.api.scheduling.v1": "scheduling_v1",
    "io.k8s.api.node.v1": "node_v1",
    "io.k8s.api.certificates.v1": "certificates_v1",
    "io.k8s.api.admissionregistration.v1": "admissionregistration_v1",
    "io.k8s.api.flowcontrol.v1": "flowcontrol_v1",
    "io.k8s.api.authentication.v1": "authentication_v1",
    "io.k8s.api.authorization.v1": "authorization_v1",
    "io.k8s.api.resource.v1": "resource_v1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1": "apiextensions_v1",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1": "apiregistration_v1",
}
# Named types that are scalars or free-form on the wire.
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int | str",
    f"{META}.Time": "str",
    f"{META}.MicroTime": "str",
    f"{META}.FieldsV1": "dict[str, Any]",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "Any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "Any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps": "dict[str, Any]",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "Any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "Any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "Any",
}
# Structs that the wire form always carries, even empty (they are not optional pointers).
ALWAYS = {
    "core.v1.Container": {"resources"},
    "core.v1.EphemeralContainer": {"resources"},
    "core.v1.PodTemplateSpec": {"metadata", "spec"},
    "core.v1.PodTemplate": {"template"},
    "core.v1.ContainerStatus": {"state", "lastState"},
    "core.v1.NodeStatus": {"daemonEndpoints", "nodeInfo"},
    "core.v1.NodeDaemonEndpoints": {"kubeletEndpoint"},
    "core.v1.ServiceStatus": {"loadBalancer"},
    "core.v1.PersistentVolumeClaimSpec": {"resources"},
    "core.v1.PersistentVolumeClaimTemplate": {"metadata", "spec"},
    "core.v1.Event": {"source", "involvedObject"},
    "core.v1.ReplicationControllerSpec": set(),
    "apps.v1.DeploymentSpec": {"strategy", "template"},
    "apps.v1.DaemonSetSpec": {"updateStrategy", "template"},
    "apps.v1.StatefulSetSpec": {"updateStrategy", "template"},
    "apps.v1.ReplicaSetSpec": {"template"},
    "batch.v1.JobSpec": {"template"},
    "batch.v1.JobTemplateSpec": {"metadata", "spec"},
    "networking.v1.IngressStatus": {"loadBalancer"},
    "networking.v1.NetworkPolicySpec": {"podSelector"},
    "discovery.v1.Endpoint": {"conditions"},
    "events.v1.Event": {"regarding", "deprecatedSource"},
}
# Quantities that the wire form always carries ("0" when unset).
ZERO_QUANTITIES = {"core.v1.ResourceFieldSelector": {"divisor"}}
# Times that the wire form always carries (null when unset).
NULL_TIMES = {
    "core.v1.PodCondition": {"lastProbeTime", "lastTransitionTime"},
    "core.v1.NodeCondition": {"lastHeartbeatTime", "lastTransitionTime"},
    "core.v1.Event": {"firstTimestamp", "lastTimestamp", "eventTime"},
    "core.v1.ContainerStateTerminated": {"startedAt", "finishedAt"},
    "core.v1.ContainerStateRunning": {"startedAt"},
    "apps.v1.DeploymentCondition": {"lastUpdateTime", "lastTransitionTime"},
    "apps.v1.ReplicaSetCondition": {"lastTransitionTime"},
    "batch.v1.JobCondition": {"lastProbeTime", "lastTransitionTime"},
}
# Field names that would hide a type used in the same class body.
SHADOWED = {"bool", "int", "float", "str", "tuple", "dict"}
SKIP = re.compile(
    r"(List$)|(^io\.k8s\.apimachinery\.pkg\.apis\.meta\.v1\."
    r"(APIGroup|APIResource|APIVersions|GroupVersion|ServerAddress|WatchEvent))"
)
KEEP_PROPERTY = ("$ref", "type", "format", "items", "additionalProperties", "enum", "default")


def snake(name: str) -> str:
    """``clusterIPs`` → ``cluster_ips``; a keyword gets a trailing underscore."""
    text = re.sub(r"(IP|CIDR|ID|URL)s(?![a-z])", lambda m: m.group(1).capitalize() + "s", name)
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text).lower()
    text = re.sub(r"\W", "_", text).lstrip("_")
    return f"{text}_" if keyword.iskeyword(text) or text in SHADOWED else text


def module_of(definition: str) -> str:
    return GROUPS[definition.rsplit(".", 1)[0]]


def short(definition: str) -> str:
    return ".".join(definition.rsplit(".", 3)[1:])


def refs(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rsplit("/", 1)[1]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from refs(schema[key])
    for prop in schema.get("properties", {}).values():
        yield from refs(prop)


class Generator:
    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions

    def type_of(self, schema: dict[str, Any], module: str) -> str:
        if "$ref" in schema:
            target = schema["$ref"].rsplit("/", 1)[1]
            if target in SCALARS:
                return SCALARS[target]
            name = target.rsplit(".", 1)[1]
            other = module_of(target)
            return name if other == module else f"{other}.{name}"
        types = schema.get("type", "object")
        kind = next(t for t in (types if isinstance(types, list) else [types]) if t != "null")
        if kind == "array":
            return f"tuple[{self.type_of(schema['items'], module)}, ...]"
        if kind == "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {self.type_of(values, module) if isinstance(values, dict) else 'Any'}]"
        return {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}[kind]

    def field(self, owner: str, name: str, schema: dict[str, Any], *, required: bool, module: str) -> str:
        definition = self.definitions[owner]
        attribute = snake(name)
        annotation = self.type_of(schema, module)
        gvk = definition.get("x-kubernetes-group-version-kind")
        wire = f', name="{name}"' if attribute != name else ""
        if gvk and name in ("apiVersion", "kind") and len(gvk) == 1:
            group, version, kind = gvk[0]["group"], gvk[0]["version"], gvk[0]["kind"]
            value = kind if name == "kind" else (f"{group}/{version}" if group else version)
            return f'    {attribute}: str = field(default_factory=partial(str, "{value}"){wire})'
        target = schema.get("$ref", "").rsplit("/", 1)[-1]
        is_struct = bool(target) and target not in SCALARS
        top_level = bool(gvk) and name in ("metadata", "spec", "status")
        always = name in ALWAYS.get(short(owner), ()) or top_level
        if is_struct and (required or always):
            return f"    {attribute}: {annotation} = field(default_factory={annotation}{wire})"
        if annotation.startswith("tuple["):
            if required:
                return f"    {attribute}: {annotation} = field(default_factory=tuple{wire})"
            default = f"field(default=(){wire})" if wire else "()"
            return f"    {attribute}: {annotation} = {default}"
        if annotation.startswith("dict["):
            return f"    {attribute}: {annotation} = field(default_factory=dict{wire})"
        if annotation == "Quantity" and (required or name in ZERO_QUANTITIES.get(short(owner), ())):
            return f"    {attribute}: Quantity = field(default_factory=Quantity{wire})"
        if annotation == "Any":
            return f"    {attribute}: Any = field(default=None{wire})"
        if name in NULL_TIMES.get(short(owner), ()):
            return f"    {attribute}: str | None = field(default_factory=NoneType{wire})"
        if required and annotation in ("str", "int", "bool", "float"):
            if target.endswith("Time"):
                return f"    {attribute}: str | None = field(default_factory=NoneType{wire})"
            return f"    {attribute}: {annotation} = field(default_factory={annotation}{wire})"
        if required and annotation == "int | str":
            return f"    {attribute}: int | str = field(default_factory=int{wire})"
        default = f"field(default=None{wire})" if wire else "None"
        return f"    {attribute}: {annotation} | None = {default}"

    def order(self, names: list[str]) -> list[str]:
        done: list[str] = []
        visiting: set[str] = set()

        def visit(name: str) -> None:
            if name in done or name in visiting:
                return
            visiting.add(name)
            for ref in refs(self.definitions[name]):
                if ref in names:
                    visit(ref)
            done.append(name)

        for name in sorted(names):
            visit(name)
        return done

    def module(self, prefix: str) -> str:
        module = GROUPS[prefix]
        own = [n for n in self.definitions if n.rsplit(".", 1)[0] == prefix]
        names = [n for n in own if n not in SCALARS and not SKIP.search(n)]
        body: list[str] = []
        imports: set[str] = set()
        for name in self.order(names):
            definition = self.definitions[name]
            required = set(definition.get("required", ()))
            body += ["", "", f"class {name.rsplit('.', 1)[1]}(Model):"]
            properties = definition.get("properties", {})
            # apiVersion, kind, metadata lead, as everywhere in the field.
            lead = [p for p in ("kind", "apiVersion", "metadata") if p in properties]
            rest = [p for p in properties if p not in lead]
            if name.endswith(".ObjectMeta"):
                lead = ["name", "generateName", "namespace", "uid", "resourceVersion", "generation"]
                rest = [p for p in properties if p not in lead]
            lines = [self.field(name, p, properties[p], required=p in required, module=module) for p in lead + rest]
            body += lines or ["    pass"]
            for ref in refs(definition):
                if ref not in SCALARS and module_of(ref) != module:
                    imports.add(module_of(ref))
        text = "\n".join(body)
        head = ['"""Generated by scripts/generate_api_types.py from schema facts; do not edit."""', ""]
        if "partial(" in text:
            head.append("from functools import partial")
        if "NoneType" in text:
            head.append("from types import NoneType")
        if "Any" in text:
            head.append("from typing import Any")
        head += ["", "from msgspec import field", ""] if "field(" in text else [""]
        if "Quantity" in text:
            head.append("from tiphys.api.quantity import Quantity")
        if imports:
            head.append(f"from tiphys.api.types import {', '.join(sorted(imports))}")
        head.append("from tiphys.api.types.model import Model")
        return "\n".join(head) + text + "\n"

    def facts(self) -> dict[str, Any]:
        """The definitions of the served groups, without prose."""
        kept: dict[str, Any] = {}
        for name, definition in self.definitions.items():
            if name.rsplit(".", 1)[0] in GROUPS or name in SCALARS:
                kept[name] = strip(definition)
        return kept


def strip(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strip(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "description" and isinstance(value, str):
            continue
        if key == "type" and isinstance(value, list):
            value = next(t for t in value if t != "null")
        if key == "$ref":
            value = "#/definitions/" + value.rsplit("/", 1)[1]
        if key == "properties":
            out[key] = {n: strip(s) for n, s in value.items()}
            continue
        if key == "enum" and len(value) == 1:
            continue  # apiVersion and kind pinned by the package, not by the API
        out[key] = strip(value)
    return out


def main() -> None:
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"{VERSION}-local"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    generator = Generator(definitions)
    for prefix, module in GROUPS.items():
        (ROOT / "types" / f"{module}.py").write_text(generator.module(prefix))
    facts = json.dumps(generator.facts(), sort_keys=True, separators=(",", ":"))
    (ROOT / "facts" / "definitions.json").write_text(facts.replace('"io.k8s.', '\n"io.k8s.') + "\n")


if __name__ == "__main__":
    main()
