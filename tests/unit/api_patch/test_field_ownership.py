from typing import Any

import pytest

from tiphys.api import codec, defaulting
from tiphys.api.errors import ApiError
from tiphys.api.patch import manager_name, server_side_apply, update_managed_fields
from tiphys.api.types.core_v1 import Event

_NOW = "2026-01-01T00:00:00Z"
_LATER = "2026-01-02T00:00:00Z"

Map = dict[str, Any]


def _map(data: Map | None = None, **metadata: Any) -> Map:
    obj: Map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}}
    return obj if data is None else {**obj, "data": data}


def _written(live: Map | None, new: Map, manager: str, now: str = _NOW, subresource: str = "") -> Map:
    entries = update_managed_fields(live, new, manager=manager, now=now, subresource=subresource)
    metadata = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    return {**new, "metadata": {**metadata, "managedFields": entries} if entries else metadata}


def _owners(obj: Map) -> dict[str, Map]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_nothing_new_keeps_time_and_entries() -> None:
    live = _written(None, _map({"a": "1"}), "m")
    assert _written(live, _map({"a": "1"}), "n", _LATER)["metadata"] == live["metadata"]


def test_the_time_is_of_the_last_change() -> None:
    live = _written(None, _map({"a": "1"}), "m")
    changed = _written(live, _map({"a": "2"}), "m", _LATER)
    assert changed["metadata"]["managedFields"][0]["time"] == _LATER


def test_reset_forgets_everyone() -> None:
    live = _written(None, _map({"a": "1"}), "m")
    assert "managedFields" not in _written(live, _map({"a": "2"}, managedFields=[{}]), "n")["metadata"]
    kept = _written(live, _map({"a": "1"}, managedFields=[]), "n")
    assert set(_owners(kept)) == {"m"}


def test_objects_nobody_tracked_stay_untracked_until_applied_to() -> None:
    live = _map({"a": "1"}, uid="u")
    assert update_managed_fields(live, _map({"a": "2"}), manager="m", now=_NOW) is None
    applied = server_side_apply(live, _map({"b": "2"}), manager="m", now=_NOW)
    assert _owners(applied) == {
        "m": {"f:data": {"f:b": {}}},
        "before-first-apply": {"f:data": {".": {}, "f:a": {}}},
    }


def test_status_belongs_to_its_subresource() -> None:
    pod: Map = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n"}}
    live = _written(None, {**pod, "status": {"phase": "Pending"}}, "creator")
    assert _owners(live) == {"creator": {"f:spec": {"f:nodeName": {}}}}
    new = {**live, "spec": {"nodeName": "other"}, "status": {"phase": "Running", "podIP": "10.0.0.1"}}
    after = _written(live, new, "kubelet", subresource="status")
    assert after["metadata"]["managedFields"][1]["subresource"] == "status"
    assert _owners(after)["kubelet"] == {"f:status": {"f:phase": {}, "f:podIP": {}}}


def test_fields_the_wire_form_always_carries_are_owned_only_if_set() -> None:
    event = codec.to_dict(defaulting.default(Event(reason="x")))
    event["metadata"]["name"] = "e"
    assert _owners(_written(None, event, "m")) == {"m": {"f:reason": {}}}


def test_at_most_ten_updaters() -> None:
    live = _written(None, _map({"k": "0"}), "creator")
    for number in range(14):
        data = {**live["data"], f"k{number}": "x"}
        live = _written(live, {**live, "data": data}, f"m{number:02}", f"2026-01-01T00:01:{number:02}Z")
    owners = _owners(live)
    assert len(owners) == 10
    assert "f:k0" in owners["ancient-changes"]["f:data"]
    assert "m13" in owners


def test_kubectl_takes_over_what_its_client_side_apply_left() -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}\n'
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}
    live = _written(None, _map({"a": "1"}, annotations=annotations), "kubectl-client-side-apply")
    with pytest.raises(ApiError):
        server_side_apply(live, _map({"a": "2"}), manager="someone", now=_NOW)
    applied = server_side_apply(live, _map({"a": "2"}), manager="kubectl", now=_NOW)
    assert applied["data"] == {"a": "2"}
    assert '"a":"2"' in applied["metadata"]["annotations"][next(iter(annotations))]


def test_what_kubectl_did_not_apply_still_conflicts() -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}\n'
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}
    live = _written(None, _map({"a": "1", "b": "1"}, annotations=annotations), "kubectl-client-side-apply")
    with pytest.raises(ApiError) as caught:
        server_side_apply(live, _map({"a": "2", "b": "2"}), manager="kubectl", now=_NOW)
    assert [cause.field for cause in caught.value.status.details.causes] == [".data.b"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replicas": "x"}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"bogus": 1, "paused": 3}, "errors:\n  .spec.bogus: field not declared in schema\n  .spec.paused: expected"),
    ],
)
def test_configurations_are_checked(spec: Map, message: str) -> None:
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    with pytest.raises(ApiError) as caught:
        server_side_apply(None, applied, manager="m", now=_NOW)
    assert caught.value.code == 500
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("field_manager", "user_agent", "name"),
    [("m", "kubectl/v1", "m"), ("", "kubectl/v1.37 (linux)", "kubectl"), ("", "", "")],
)
def test_manager_names(field_manager: str, user_agent: str, name: str) -> None:
    assert manager_name(field_manager, user_agent) == name
