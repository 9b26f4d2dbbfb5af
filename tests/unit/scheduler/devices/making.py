"""Slices, classes and claims, made short."""

from __future__ import annotations

from typing import Any

from tiphys.api import codec
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice

DRIVER = "gpu.example.com"


def device(name: str, **attributes: Any) -> dict[str, Any]:
    """A device with attributes of these values; `capacity`, `taints` … are the device's own fields."""
    own: dict[str, Any] = {
        key: attributes.pop(key) for key in ("capacity", "taints", "consumesCounters") if key in attributes
    }
    kinds = {bool: "bool", int: "int", str: "string"}
    return {"name": name, "attributes": {k: {kinds[type(v)]: v} for k, v in attributes.items()}, **own}


def slice_of(name: str, *devices: dict[str, Any], node: str = "", **more: Any) -> ResourceSlice:
    """A slice that is its pool's only one; without a node its devices are for all."""
    pool = {"name": more.pop("pool", name), "generation": more.pop("generation", 1)}
    pool["resourceSliceCount"] = more.pop("slices", 1)
    where = {"nodeName": node} if node else {} if "nodeSelector" in more else {"allNodes": True}
    spec = {"driver": more.pop("driver", DRIVER), "pool": pool, "devices": list(devices), **where, **more}
    return codec.from_dict(ResourceSlice, {"metadata": {"name": name}, "spec": spec})


def device_class(name: str = "gpu", expression: str = "", **spec: Any) -> DeviceClass:
    rule = expression or f'device.driver == "{DRIVER}"'
    body = {"selectors": [{"cel": {"expression": rule}}], **spec}
    return codec.from_dict(DeviceClass, {"metadata": {"name": name}, "spec": body})


def request(name: str = "r", count: int = 1, *expressions: str, **more: Any) -> dict[str, Any]:
    exactly: dict[str, Any] = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count}
    exactly["selectors"] = [{"cel": {"expression": expression}} for expression in expressions]
    if more.get("allocationMode") == "All":
        del exactly["count"]
    return {"name": name, "exactly": {**exactly, **more}}


def claim(name: str, *requests: dict[str, Any], **devices: Any) -> ResourceClaim:
    spec = {"devices": {"requests": list(requests) or [request()], **devices}}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return codec.from_dict(ResourceClaim, {"metadata": meta, "spec": spec})


def template(name: str, *requests: dict[str, Any], **devices: Any) -> ResourceClaimTemplate:
    spec = {"devices": {"requests": list(requests) or [request()], **devices}}
    body = {"metadata": {"name": name, "namespace": "default"}, "spec": {"spec": spec}}
    return codec.from_dict(ResourceClaimTemplate, body)


def pod_with(name: str, *claims: str, templates: tuple[str, ...] = ()) -> Pod:
    """A pod that uses claims, and claims made from templates."""
    used = [{"name": f"c{i}", "resourceClaimName": n} for i, n in enumerate(claims)]
    used += [{"name": f"t{i}", "resourceClaimTemplateName": n} for i, n in enumerate(templates)]
    container = {"name": "c", "image": "i", "resources": {"claims": [{"name": each["name"]} for each in used]}}
    body = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "resourceClaims": used},
    }
    return codec.from_dict(Pod, body)
