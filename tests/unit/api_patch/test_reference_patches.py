"""Every step of the recorded patches, at the level of documents: what patching and field tracking alone decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import codec, defaulting, errors, scheme
from tiphys.api.errors import ApiError
from tiphys.api.patch import (
    Tracked,
    json_patch,
    merge_patch,
    of_custom,
    of_definition,
    of_structural_schema,
    server_side_apply,
    strategic_merge,
    update_managed_fields,
)

_FILE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "patches.json"
_GROUPS: list[dict[str, Any]] = json.loads(_FILE.read_text()) if _FILE.exists() else []
_NOW = "2026-01-02T03:04:05Z"
_WIDGET = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
}
# Decided by decoding, validation or the endpoint, not by the patch.
_ELSEWHERE = ("422 merge", "400 merge", "422 apply", "415 application/json", "415 text/plain", "415 strategic")

Map = dict[str, Any]


class _Endpoint:
    """What the registry does around a patch, as far as these steps need it."""

    def __init__(self, path: str) -> None:
        parts = path.split("/")
        group, version, plural = ("", parts[2], parts[-1]) if parts[1] == "api" else (parts[2], parts[3], parts[-1])
        self.api_version = f"{group}/{version}" if group else version
        self.resource = scheme.by_path(group, version, plural)
        self.kind = self.resource.kind if self.resource else "Widget"
        self.live: Map | None = None

    @property
    def known(self) -> Tracked | None:
        if self.resource is not None:
            return None
        return of_custom(of_structural_schema(_WIDGET, "widget"), "", has_status=False)

    def finished(self, document: Map) -> Map:
        if self.resource is None:
            document = codec.without_nulls(document)
            return {**document, "metadata": {**document["metadata"], "namespace": "gold"}}
        obj = codec.from_dict(self.resource.struct, document)
        result = codec.to_dict(defaulting.default(obj))
        result["metadata"].setdefault("namespace", "gold")
        return result

    def update(self, document: Map, manager: str, subresource: str = "") -> Map:
        new = self.finished(document)
        entries = update_managed_fields(
            self.live, new, manager=manager, now=_NOW, subresource=subresource, known=self.known
        )
        new["metadata"].pop("managedFields", None)
        if entries:
            new["metadata"]["managedFields"] = entries
        self.live = new
        return new

    def patched(self, step: Map, query: dict[str, str]) -> Map:
        kind, patch = step["type"], step["patch"]
        if kind == "apply":
            applied = server_side_apply(
                self.live,
                patch,
                manager=query["fieldManager"],
                now=_NOW,
                force=query.get("force") == "true",
                api_version=self.api_version,
                kind=self.kind,
                known=self.known,
            )
            self.live = self.finished(applied)
            return self.live
        assert self.live is not None
        manager = query.get("fieldManager", "python-requests")
        if kind == "merge":
            return self.update(merge_patch(self.live, patch), manager, query.get("subresource", ""))
        if kind == "json":
            return self.update(json_patch(self.live, patch), manager)
        assert self.resource is not None
        return self.update(strategic_merge(self.live, patch, of_definition(self.resource.definition)), manager)


def _comparable(obj: Map) -> Map:
    obj = json.loads(json.dumps(obj))
    metadata = obj.get("metadata", {})
    for key in ("generation", "resourceVersion", "uid", "creationTimestamp"):
        metadata.pop(key, None)
    for entry in metadata.get("managedFields", []):
        if "time" in entry:
            entry["time"] = "*"
    details = obj.get("details") or {}
    if "causes" in details:
        details["causes"].sort(key=lambda cause: (cause["field"], cause["message"]))
    return obj


def _query(text: str) -> tuple[str, dict[str, str]]:
    path, _, query = text.partition("?")
    return path.strip("/"), dict(pair.split("=") for pair in query.split("&") if pair)


@pytest.mark.skipif(not _GROUPS, reason="the reference recordings are not here")
@pytest.mark.parametrize("group", _GROUPS, ids=[group["name"] for group in _GROUPS])
def test_recorded_steps(group: Map) -> None:
    endpoint = _Endpoint(group["path"])
    if group["create"] is not None:
        endpoint.update(group["create"], "creator")
    for step in group["steps"]:
        label = f"{step['code']} {step['type']}"
        if any(label == elsewhere for elsewhere in _ELSEWHERE):
            continue
        subresource, query = _query(step["query"])
        if subresource:
            assert endpoint.live is not None
            endpoint.update(merge_patch(endpoint.live, step["patch"]), query["fieldManager"], subresource)
            continue
        try:
            answer = endpoint.patched(step, query)
        except ApiError as error:
            answer = codec.to_dict(error.status)
        assert _comparable(answer) == _comparable(step["response"]), step


def test_refusals_are_statuses() -> None:
    with pytest.raises(errors.ApiError) as caught:
        json_patch({}, {})
    assert caught.value.message == "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
