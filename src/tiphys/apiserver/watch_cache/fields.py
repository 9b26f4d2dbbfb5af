"""The fields that field selectors may name, kind by kind, and how they are read out of an object's bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tiphys.api.scheme import Resource

_OBJECT_REFERENCE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

# (group, plural) -> {selector label: (path in the object, value when absent)}
_FIELDS: Final[Mapping[tuple[str, str], Mapping[str, tuple[str, str]]]] = {
    ("", "pods"): {
        "spec.nodeName": ("spec.nodeName", ""),
        "spec.restartPolicy": ("spec.restartPolicy", ""),
        "spec.schedulerName": ("spec.schedulerName", ""),
        "spec.serviceAccountName": ("spec.serviceAccountName", ""),
        "spec.hostNetwork": ("spec.hostNetwork", "false"),
        "status.phase": ("status.phase", ""),
        "status.podIP": ("status.podIP", ""),
        "status.podIPs": ("status.podIP", ""),
        "status.nominatedNodeName": ("status.nominatedNodeName", ""),
    },
    ("", "nodes"): {"spec.unschedulable": ("spec.unschedulable", "false")},
    ("", "namespaces"): {"status.phase": ("status.phase", ""), "name": ("metadata.name", "")},
    ("", "secrets"): {"type": ("type", "")},
    ("", "services"): {"spec.clusterIP": ("spec.clusterIP", ""), "spec.type": ("spec.type", "")},
    ("", "replicationcontrollers"): {"status.replicas": ("status.replicas", "0")},
    ("apps", "replicasets"): {"status.replicas": ("status.replicas", "0")},
    ("batch", "jobs"): {"status.successful": ("status.succeeded", "0")},
    ("certificates.k8s.io", "certificatesigningrequests"): {"spec.signerName": ("spec.signerName", "")},
    ("", "events"): {
        **{f"involvedObject.{name}": (f"involvedObject.{name}", "") for name in _OBJECT_REFERENCE},
        "reason": ("reason", ""),
        "reportingComponent": ("reportingComponent", ""),
        "source": ("source.component", ""),
        "type": ("type", ""),
    },
}
_COMMON: Final = ("metadata.name", "metadata.namespace")


class FieldReader:
    """Reads a resource's selectable fields out of its objects' JSON.

    `known` holds every label a selector may name; name and namespace are answered from the key.
    """

    __slots__ = ("_decode", "_paths", "known")

    def __init__(self, resource: Resource) -> None:
        table = _FIELDS.get(("" if resource.plural == "events" else resource.group, resource.plural), {})
        self.known = frozenset((*_COMMON, *table))
        self._paths = {label: (tuple(path.split(".")), absent) for label, (path, absent) in table.items()}
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            _probe([path for path, _ in self._paths.values()])
        ).decode

    def read(self, value: bytes) -> dict[str, str]:
        """Label to value for all kind-specific fields of an object's JSON."""
        probe = self._decode(value)
        return {label: _value(probe, path, absent) for label, (path, absent) in self._paths.items()}


def _value(probe: Any, path: tuple[str, ...], absent: str) -> str:
    for step in path:
        if probe is None:
            return absent
        probe = getattr(probe, step)
    if probe is None or probe == "":
        return absent
    return ("false", "true")[probe] if isinstance(probe, bool) else str(probe)


def _probe(paths: list[tuple[str, ...]]) -> type[Any]:
    """A struct type that decodes just the given paths."""
    children: dict[str, list[tuple[str, ...]]] = {}
    for step, *rest in paths:
        children.setdefault(step, [])
        if rest:
            children[step].append(tuple(rest))
    fields = [(step, (_probe(rest) if rest else str | int | bool) | None, None) for step, rest in children.items()]
    return msgspec.defstruct("FieldProbe", fields, gc=False)
