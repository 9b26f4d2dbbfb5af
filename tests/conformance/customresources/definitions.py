"""Definitions for tests: each of a kind of its own, deleted in the end."""

from __future__ import annotations

import itertools
import time
from typing import Any

from tests.conformance.api.running import Answer, RunningServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_numbers = itertools.count(1)
_PATIENCE_SECONDS = 10


def version(name: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A served version, by default of a schema that allows anything."""
    return {"name": name, "served": True, "storage": False, "schema": {"openAPIV3Schema": schema or OPEN}, **more}


def definition(*versions: dict[str, Any], group: str = "stable.example.com", **spec: Any) -> dict[str, Any]:
    """A namespaced kind; the first version is kept unless another one says so."""
    number = next(_numbers)
    names = {
        "kind": f"Cog{number}",
        "listKind": f"Cog{number}List",
        "plural": f"cog{number}s",
        "singular": f"cog{number}",
    }
    if not any(one["storage"] for one in versions):
        versions[0]["storage"] = True
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": list(versions), **spec}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{spec['names']['plural']}.{group}"},
        "spec": spec,
    }


class Defined:
    """A definition at a running server, and its objects in one namespace."""

    def __init__(self, server: RunningServer, body: dict[str, Any], namespace: str = "default") -> None:
        self.server = server
        self.name = body["metadata"]["name"]
        self.path = f"{DEFINITIONS}/{self.name}"
        spec = body["spec"]
        self.group, self.kind, self.plural = spec["group"], spec["names"]["kind"], spec["names"]["plural"]
        self.namespace = namespace
        answer = server.raw("POST", DEFINITIONS, body)
        assert answer.status == 201, answer.body

    def condition(self, kind: str) -> dict[str, Any]:
        conditions = self.server.raw("GET", self.path).json.get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def established(self) -> Defined:
        """Itself, once its objects are served."""
        self.wait("Established", "True")
        return self

    def wait(self, kind: str, status: str) -> dict[str, Any]:
        """The condition, once it is so."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while (found := self.condition(kind)).get("status") != status:
            assert time.monotonic() < until, f"{kind} is not {status}: {found}"
            time.sleep(0.01)
        return found

    def change(self, patch: Any) -> Answer:
        """Patch the definition, by merging or (a list) by operations."""
        form = "json-patch" if isinstance(patch, list) else "merge-patch"
        return self.server.raw("PATCH", self.path, patch, {"Content-Type": f"application/{form}+json"})

    def url(self, version: str, name: str = "", tail: str = "") -> str:
        base = f"/apis/{self.group}/{version}/namespaces/{self.namespace}/{self.plural}"
        return base + (f"/{name}" if name else "") + tail

    def body(self, version: str, name: str, spec: Any, **metadata: Any) -> dict[str, Any]:
        meta = {"name": name, **metadata}
        return {"apiVersion": f"{self.group}/{version}", "kind": self.kind, "metadata": meta, "spec": spec}

    def create(self, version: str, name: str, spec: Any, **metadata: Any) -> Answer:
        return self.server.raw("POST", self.url(version), self.body(version, name, spec, **metadata))

    def get(self, version: str, name: str) -> Answer:
        return self.server.raw("GET", self.url(version, name))

    def delete(self) -> None:
        self.server.raw("DELETE", self.path)
