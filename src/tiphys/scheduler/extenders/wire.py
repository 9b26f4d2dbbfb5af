"""The protocol's JSON. Its fields have Go's names, for their types carry no others; what comes back may be in any case.

{"Pod": …, "Nodes": {"items": […]} or null, "NodeNames": […] or null}          ──filter, prioritize──►
◄── {"Nodes": …, "NodeNames": …, "FailedNodes": {name: why}, "FailedAndUnresolvableNodes": {…}, "Error": ""}
◄── [{"Host": name, "Score": 0..10}]                                                    (prioritize)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, Pod

_T = TypeVar("_T")
_NODES_AT_ONCE: Final = 50
"""Encoded before others have their turn."""


class FilterResult(NamedTuple):
    """What an extender's filter said."""

    passed: Sequence[str]
    failed: Mapping[str, str]
    """By node, why not."""
    unresolvable: Mapping[str, str]
    """The same, where removing pods does not help; goes before `failed`."""
    error: str


class _Named(msgspec.Struct):
    name: str = ""


class _NodeOfList(msgspec.Struct):
    metadata: _Named = msgspec.field(default_factory=_Named)


class _NodeList(msgspec.Struct):
    items: list[_NodeOfList] | None = None


async def arguments(pod: Pod, nodes: Sequence[Node], *, names_only: bool) -> bytes:
    """ExtenderArgs. Thousands of nodes are megabytes: between some of them the event loop belongs to others."""
    body = b'{"Pod":' + codec.encode(pod)
    if names_only:
        names = [node.metadata.name or "" for node in nodes]
        return body + b',"Nodes":null,"NodeNames":' + msgspec.json.encode(names) + b"}"
    items: list[bytes] = []
    for index, node in enumerate(nodes):
        items.append(codec.encode(node))
        if index % _NODES_AT_ONCE == _NODES_AT_ONCE - 1:
            await asyncio.sleep(0)
    return body + b',"Nodes":{"metadata":{},"items":[' + b",".join(items) + b']},"NodeNames":null}'


def binding_arguments(namespace: str, name: str, uid: str, node_name: str) -> bytes:
    """ExtenderBindingArgs."""
    return msgspec.json.encode({"PodName": name, "PodNamespace": namespace, "PodUID": uid, "Node": node_name})


def filter_result(body: bytes, *, by_name: bool) -> FilterResult:
    """ExtenderFilterResult; `by_name`: names count if there are any, and not nodes. Raises msgspec.DecodeError."""
    fields = _fields(body)
    names = _get(fields, "nodenames", list[str])
    nodes = _get(fields, "nodes", _NodeList)
    if by_name and names is not None:
        passed = names
    else:
        passed = [node.metadata.name for node in nodes.items or ()] if nodes is not None else []
    return FilterResult(
        passed,
        _get(fields, "failednodes", dict[str, str]) or {},
        _get(fields, "failedandunresolvablenodes", dict[str, str]) or {},
        _get(fields, "error", str) or "",
    )


def priorities(body: bytes) -> dict[str, int]:
    """HostPriorityList, by host. Raises msgspec.DecodeError."""
    found: dict[str, int] = {}
    for entry in msgspec.json.decode(body, type=list[msgspec.Raw] | None) or ():
        fields = _fields(bytes(entry))
        found[_get(fields, "host", str) or ""] = _get(fields, "score", int) or 0
    return found


def binding_error(body: bytes) -> str:
    """Of an ExtenderBindingResult; "" if it is bound. Raises msgspec.DecodeError."""
    return _get(_fields(body), "error", str) or ""


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    found = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | None) or {}
    return {name.lower(): value for name, value in found.items()}


def _get(fields: Mapping[str, msgspec.Raw], name: str, kind: type[_T]) -> _T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    wanted: Any = kind | None
    found: _T | None = msgspec.json.decode(raw, type=wanted)
    return found


def managed(pod: Pod, names: Iterable[str]) -> bool:
    """Whether a container of the pod requests or limits one of these resources."""
    wanted = frozenset(names)
    return any(
        not wanted.isdisjoint(container.resources.requests) or not wanted.isdisjoint(container.resources.limits)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
    )
