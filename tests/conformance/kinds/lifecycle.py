"""The life of one object of any kind, through the official dynamic client: every verb, and who may change what."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds.bodies import Body
from tiphys.api.scheme import Resource

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON: Final = "application/json-patch+json"
# Some kinds leave what they made behind unless they are told otherwise, and wait for somebody to see to it.
_AT_ONCE: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


class Life:
    """One kind's objects in one namespace of a running server."""

    def __init__(self, server: RunningServer, dynamic: DynamicClient, resource: Resource, body: Body, space: str):
        self.server = server
        self.resource = resource
        self.body = body
        self.namespace = space if resource.namespaced else None
        self.api: Any = dynamic.resources.get(api_version=resource.api_version, kind=resource.kind)
        self.scope: dict[str, Any] = {"namespace": self.namespace} if self.namespace else {}
        self._label = {"life": f"{resource.kind.lower()}-{space}"}

    @property
    def selector(self) -> str:
        """Selects the objects of this life."""
        return ",".join(f"{key}={value}" for key, value in self._label.items())

    def manifest(self, word: str) -> dict[str, Any]:
        """A whole object whose name comes from `word`."""
        made = copy.deepcopy(self.body.manifest)
        name = self.body.name(f"{word}-{self._label['life']}")
        meta = {**made.pop("metadata", {}), "name": name}
        meta["labels"] = {**meta.get("labels", {}), **self._label}
        if self.namespace:
            meta["namespace"] = self.namespace
        made = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, "metadata": meta, **made}
        if self.body.prepare is not None:
            self.body.prepare(made, name, self.namespace or "")
        return made

    def path(self, name: str, subresource: str = "") -> str:
        """The URL's path of an object, for what the client has no method for."""
        root = f"/apis/{self.resource.api_version}" if self.resource.group else f"/api/{self.resource.version}"
        space = f"/namespaces/{self.namespace}" if self.namespace else ""
        tail = f"/{subresource}" if subresource else ""
        return f"{root}{space}/{self.resource.plural}/{name}{tail}"

    def create(self, word: str) -> Any:
        return self.api.create(body=self.manifest(word), **self.scope).to_dict()

    def get(self, name: str) -> Any:
        return self.api.get(name=name, **self.scope).to_dict()

    def names(self, **options: Any) -> list[str]:
        """The names a list finds."""
        return [item.metadata.name for item in self.api.get(**self.scope, **options).items]

    def patch(self, name: str, body: Any, content_type: str = MERGE) -> Any:
        return self.api.patch(body=body, name=name, content_type=content_type, **self.scope).to_dict()

    def replace(self, obj: dict[str, Any]) -> Any:
        return self.api.replace(body=obj, name=obj["metadata"]["name"], **self.scope).to_dict()

    def let_go(self, name: str) -> None:
        """Take away what keeps an object whose deletion somebody else would have to finish."""
        obj = self.get(name)
        if obj["metadata"].get("finalizers"):
            self.patch(name, {"metadata": {"finalizers": None}})

    def delete(self, name: str) -> None:
        self.let_go(name)
        self.api.delete(name=name, body=_AT_ONCE, **self.scope)
        if self.resource.kind == "Namespace":
            answer = self.server.raw("PUT", self.path(name, "finalize"), {**self.get(name), "spec": {}})
            assert answer.status == 200, answer.body


def check_create_and_read(life: Life) -> None:
    """What is made is there, once, and found in every way."""
    verbs = life.resource.verbs
    made = life.create("a")
    meta = made["metadata"]
    name = meta["name"]
    assert meta["uid"]
    assert meta["resourceVersion"]
    assert meta["creationTimestamp"]
    assert (made["apiVersion"], made["kind"]) == (life.resource.api_version, life.resource.kind)
    if life.body.counted:
        assert meta["generation"] == 1
    with pytest.raises(ConflictError) as refused:
        life.create("a")
    assert '"reason":"AlreadyExists"' in str(refused.value.body).replace(" ", "")
    assert life.get(name) == made
    if "list" in verbs:
        assert life.names(label_selector=life.selector) == [name]
        assert life.names(field_selector=f"metadata.name={name}") == [name]
        assert life.names(label_selector="life=nobodys") == []
    life.delete(name)
    with pytest.raises(NotFoundError):
        life.get(name)


def check_change(life: Life) -> None:
    """Patches and updates change what they say, by the rules of optimistic concurrency."""
    made = life.create("b")
    name = made["metadata"]["name"]
    labelled = life.patch(name, {"metadata": {"labels": {"step": "merge"}}})
    assert labelled["metadata"]["labels"]["step"] == "merge"
    if life.resource.kind != "EndpointSlice":
        # Whose labels say which Service it is of, and count.
        assert labelled["metadata"].get("generation") == made["metadata"].get("generation")
    noted = life.patch(name, {"metadata": {"annotations": {"step": "strategic"}}}, STRATEGIC)
    assert noted["metadata"]["annotations"]["step"] == "strategic"
    operations = [{"op": "replace", "path": "/metadata/labels/step", "value": "json"}]
    assert life.patch(name, operations, JSON)["metadata"]["labels"]["step"] == "json"
    current = life.get(name)
    assert life.patch(name, {})["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    current["metadata"]["labels"]["step"] = "replace"
    replaced = life.replace(current)
    assert replaced["metadata"]["labels"]["step"] == "replace"
    with pytest.raises(ConflictError):
        life.replace({**current, "metadata": {**current["metadata"], "labels": {"step": "late"}}})
    other = {**replaced, "metadata": {**replaced["metadata"], "uid": "5e1f0000-0000-4000-8000-000000000000"}}
    with pytest.raises(ConflictError):
        life.replace(other)
    if life.body.change:
        changed = life.patch(name, life.body.change)
        assert_contains(changed, life.body.change)
        before = replaced["metadata"].get("generation")
        assert changed["metadata"].get("generation") == (before + 1 if life.body.counted else before)
    life.delete(name)


def assert_contains(whole: Any, part: Any) -> None:
    """Every value of `part` is in `whole`; of lists, the first items."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, key
            assert_contains(whole[key], value)
    elif isinstance(part, list):
        for have, value in zip(whole, part, strict=False):
            assert_contains(have, value)
    else:
        assert whole == part


def check_status(life: Life) -> None:
    """Status is changed through its subresource only, and nothing else is."""
    made = life.create("c")
    name = made["metadata"]["name"]
    path = life.path(name, "status")
    spec_change = {key: value for key, value in life.body.change.items() if key == "spec"}
    answer = life.server.raw(
        "PATCH",
        path,
        {"status": life.body.status, **spec_change},
        {"Content-Type": MERGE, "Accept": "application/json"},
    )
    assert answer.status == 200, answer.body
    after = answer.json
    assert_contains(after["status"], life.body.status)
    assert after.get("spec") == made.get("spec")
    assert after["metadata"].get("generation") == made["metadata"].get("generation")
    assert life.get(name) == after
    if life.resource.kind != "Node":
        # A node's kubelet registers with its status; everybody else's main resource leaves it alone.
        ignored = life.patch(name, {"status": None})
        assert ignored["status"] == after["status"]
    read = life.server.raw("GET", path)
    assert read.status == 200
    assert read.json["metadata"]["uid"] == made["metadata"]["uid"]
    life.delete(name)


def check_watch(life: Life) -> None:
    """A watch tells of the object's coming, changing and going."""
    start = life.api.get(**life.scope, label_selector=life.selector).metadata.resourceVersion
    name = life.create("d")["metadata"]["name"]
    life.patch(name, {"metadata": {"labels": {"step": "watched"}}})
    life.delete(name)
    seen: list[str] = []
    stream = life.api.watch(resource_version=start, label_selector=life.selector, timeout=10, **life.scope)
    for event in stream:
        assert event["raw_object"]["metadata"]["name"] == name
        if not seen or seen[-1] != event["type"]:
            seen.append(event["type"])
        if event["type"] == "DELETED":
            break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def check_collection(life: Life) -> None:
    """A collection is deleted by selector, and no other."""
    names = sorted(life.create(word)["metadata"]["name"] for word in ("e", "f"))
    assert sorted(life.names(label_selector=life.selector)) == names
    life.api.delete(label_selector="life=nobodys", body=_AT_ONCE, **life.scope)
    assert sorted(life.names(label_selector=life.selector)) == names
    for name in names:
        life.let_go(name)
    life.api.delete(label_selector=life.selector, body=_AT_ONCE, **life.scope)
    assert life.names(label_selector=life.selector) == []


def check_dry_run(life: Life) -> None:
    """A dry run answers as the real thing and leaves nothing."""
    manifest = life.manifest("g")
    made = life.api.create(body=manifest, dry_run="All", **life.scope).to_dict()
    assert made["metadata"]["uid"]
    with pytest.raises((NotFoundError, ApiException)):
        life.get(manifest["metadata"]["name"])
