"""Requests at random, a seed deciding all: right in form often enough to get far, wrong in every other way."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.conformance.kinds.bodies import BODIES
from tests.property.random_objects import make
from tiphys.api import codec
from tiphys.api.scheme import RESOURCES, Resource

NAMESPACE: Final = "fuzz"
# What must not be there for as long as the server is asked: who asks would be locked out, or the server be overrun.
_SPARED: Final = {"clusterroles", "clusterrolebindings", "apiservices", "flowschemas", "prioritylevelconfigurations"}
KINDS: Final = tuple(r for r in RESOURCES if {"create", "update"} <= set(r.verbs) and r.plural not in _SPARED)
_NAMES: Final = ("a", "b", "c", "kubernetes", "default", "Bad_Name", "x" * 300, "a.b", "%", "..", "a b", "é", "\x00")
_SCALARS: Final = (None, True, False, 0, -1, 1.5, 2**63, 10**400, "", "a", "x" * 70_000, [], {}, [None], {"a": None})
_PATCHES: Final = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
_OPERATIONS: Final = ("add", "remove", "replace", "move", "copy", "test", "none", "")
_OPTIONS: Final = {
    "dryRun": ("All", "all", "", "x"),
    "fieldManager": ("a", "", "x" * 129, "\n"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "no"),
    "force": ("true", "false", "2"),
    "limit": ("1", "0", "-1", "x", str(2**64)),
    "continue": ("x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0"),
    "resourceVersion": ("0", "1", "x", "-1", str(2**70)),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a=,", "a in (", "é", "x" * 5000),
    "fieldSelector": ("metadata.name=a", "spec.x=1", "a", "metadata.name!=a,metadata.namespace=b"),
    "gracePeriodSeconds": ("0", "-1", "x", str(2**65)),
    "propagationPolicy": ("Foreground", "Background", "Orphan", "x"),
    "orphanDependents": ("true", "x"),
    "pretty": ("1", "x"),
    "sendInitialEvents": ("true", "x"),
    "allowWatchBookmarks": ("true", "x"),
    "timeout": ("1s", "0", "-1s", "x", "99999999h"),
}
_ACCEPTS: Final = (
    "application/json",
    "*/*",
    "application/yaml",
    "text/html",
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    ";;;",
)
_CONTENT_TYPES: Final = (
    "application/json",
    "application/yaml",
    "text/plain",
    "application/vnd.kubernetes.protobuf",
    "",
)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.headers}\n{self.body[:2000]!r}"


class Requests:
    """Makes requests; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> Asked:
        source = self._random
        kind = source.choice(KINDS)
        verb = source.choices(
            ("create", "update", "patch", "get", "list", "watch", "delete", "collection"), (8, 5, 6, 2, 3, 0.1, 2, 1)
        )[0]
        return getattr(self, f"_{verb}")(kind)  # type: ignore[no-any-return]

    def _create(self, kind: Resource) -> Asked:
        return self._asked("POST", self._collection_path(kind), self._object_bytes(kind), self._content_type())

    def _update(self, kind: Resource) -> Asked:
        return self._asked("PUT", self._object_path(kind), self._object_bytes(kind), self._content_type())

    def _patch(self, kind: Resource) -> Asked:
        form = self._random.choice(_PATCHES)
        patch: Any = self._object(kind)
        if form.startswith("json-patch"):
            patch = [self._operation() for _ in range(self._random.choice((0, 1, 3)))]
        elif form.startswith("strategic") and self._random.random() < 0.3:
            patch = {"spec": {"$patch": self._random.choice(("replace", "delete", "x")), "$retainKeys": ["a", 1]}}
        return self._asked("PATCH", self._object_path(kind), self._encoded(patch), f"application/{form}")

    def _get(self, kind: Resource) -> Asked:
        return self._asked("GET", self._object_path(kind))

    def _list(self, kind: Resource) -> Asked:
        return self._asked("GET", self._collection_path(kind))

    def _watch(self, kind: Resource) -> Asked:
        asked = self._asked("GET", self._collection_path(kind))
        joint = "&" if "?" in asked.path else "?"
        return Asked("GET", f"{asked.path}{joint}watch=1&timeoutSeconds=1", b"", asked.headers)

    def _delete(self, kind: Resource) -> Asked:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", **self._mutated({"preconditions": {"uid": "x"}})}
        body = self._encoded(options) if self._random.random() < 0.5 else b""
        return self._asked("DELETE", self._object_path(kind), body, "application/json")

    def _collection(self, kind: Resource) -> Asked:
        return self._asked("DELETE", f"{self._root(kind)}{self._space(kind)}/{kind.plural}")

    def _operation(self) -> Any:
        source = self._random
        paths = (
            "",
            "/",
            "/metadata/labels/a",
            "/spec",
            "/spec/x/0",
            "/spec/-",
            "/metadata/name",
            "x",
            "/~2",
            "/a~1b~0",
        )
        operation = {"op": source.choice(_OPERATIONS), "path": source.choice(paths), "from": source.choice(paths)}
        return source.choice((operation, operation | {"value": source.choice(_SCALARS)}, source.choice(_SCALARS)))

    def _object(self, kind: Resource) -> Any:
        """The smallest right body, one with everything in it, either with something wrong, or something else."""
        source, kept = self._random, BODIES.get(f"{kind.api_version}/{kind.kind}")
        if kept is not None and source.random() < 0.6:
            made: Any = copy.deepcopy(kept.manifest)
        else:
            made = codec.to_dict(make(kind.struct, source, source.choice((0.1, 0.3, 0.6))))
        made = {**made, "apiVersion": kind.api_version, "kind": kind.kind}
        meta = made.get("metadata")
        made["metadata"] = {**(meta if isinstance(meta, dict) else {}), "name": source.choice(_NAMES[:5])}
        made["metadata"].pop("namespace", None)
        for _ in range(source.choice((0, 0, 1, 2))):
            made = self._mutated(made)
        return made if source.random() < 0.98 else source.choice(_SCALARS)

    def _mutated(self, made: Any) -> Any:
        """The same with one value, anywhere in it, replaced, removed or doubled."""
        source = self._random
        if isinstance(made, dict) and made:
            key = source.choice(sorted(made))
            if source.random() < 0.6 and made[key]:
                return {**made, key: self._mutated(made[key])}
            choice = source.random()
            if choice < 0.2:
                return {name: value for name, value in made.items() if name != key}
            if choice < 0.4:
                return {**made, source.choice(("unknown", "", "a.b", key.upper())): made[key]}
            return {**made, key: source.choice(_SCALARS)}
        if isinstance(made, list) and made:
            at = source.randrange(len(made))
            return [*made[:at], self._mutated(made[at]), *made[at + (source.random() < 0.8) :]]
        return source.choice(_SCALARS)

    def _object_bytes(self, kind: Resource) -> bytes:
        return self._encoded(self._object(kind))

    def _encoded(self, value: Any) -> bytes:
        source = self._random
        try:
            data = json.dumps(value, ensure_ascii=source.random() < 0.5).encode(errors="surrogatepass")
        except ValueError:
            return b"{}"
        chance = source.random()
        if chance < 0.02:
            return data[: source.randrange(len(data) + 1)]
        if chance < 0.03:
            return source.choice((b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"---\n--- \n", b"&a [*a]"))
        return data

    def _asked(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Asked:
        source = self._random
        chosen = {
            name: source.choice(_OPTIONS[name]) for name in source.sample(sorted(_OPTIONS), source.choice((0, 1, 1, 3)))
        }
        headers = {"Accept": source.choice(_ACCEPTS)} if source.random() < 0.4 else {}
        if content_type:
            headers["Content-Type"] = content_type
        return Asked(method, f"{path}?{urlencode(chosen)}" if chosen else path, body, headers)

    def _content_type(self) -> str:
        return self._random.choice(_CONTENT_TYPES) if self._random.random() < 0.1 else "application/json"

    def _root(self, kind: Resource) -> str:
        return f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"

    def _space(self, kind: Resource) -> str:
        return f"/namespaces/{NAMESPACE}" if kind.namespaced else ""

    def _collection_path(self, kind: Resource) -> str:
        space = self._space(kind) if self._random.random() < 0.9 else ""
        return f"{self._root(kind)}{space}/{kind.plural}"

    def _object_path(self, kind: Resource) -> str:
        source = self._random
        path = f"{self._root(kind)}{self._space(kind)}/{kind.plural}/{quote(source.choice(_NAMES), safe='')}"
        if source.random() < 0.25 and kind.subresource_names:
            path += f"/{source.choice(sorted(kind.subresource_names))}"
        return path
