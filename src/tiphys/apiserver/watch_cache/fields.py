"""The fields that field selectors may name, kind by kind, and how they are read out of an object's bytes."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from tiphys.api.scheme import Resource

_OBJECT_REFERENCE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

# (group, plural) -> {selector label: (path in the object, or paths of which the first that is set counts, value when
# absent)}
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
    ("", "namespaces"): {"status.phase": ("status.phase", "")},
    ("", "secrets"): {"type": ("type", "")},
    ("", "services"): {"spec.clusterIP": ("spec.clusterIP", ""), "spec.type": ("spec.type", "")},
    ("", "replicationcontrollers"): {"status.replicas": ("status.replicas", "0")},
    ("batch", "jobs"): {"status.successful": ("status.succeeded", "0")},
    ("certificates.k8s.io", "certificatesigningrequests"): {"spec.signerName": ("spec.signerName", "")},
    ("resource.k8s.io", "resourceslices"): {
        "spec.nodeName": ("spec.nodeName", ""),
        "spec.driver": ("spec.driver", ""),
    },
    ("", "events"): {
        **{f"involvedObject.{name}": (f"involvedObject.{name}", "") for name in _OBJECT_REFERENCE},
        "reason": ("reason", ""),
        "reportingComponent": ("reportingComponent", ""),
        "source": ("source.component|reportingComponent", ""),
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
        table = _table(resource)
        self.known = frozenset((*_COMMON, *table))
        self._paths = {
            label: (tuple(tuple(map(_attribute, path.split("."))) for path in paths.split("|")), absent)
            for label, (paths, absent) in table.items()
        }
        steps = [tuple(path.split(".")) for paths, _ in table.values() for path in paths.split("|")]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(_probe(steps)).decode

    def read(self, value: bytes) -> dict[str, str]:
        """Label to value for all kind-specific fields of an object's JSON."""
        try:
            probe = self._decode(value)
        except msgspec.ValidationError:
            # A custom resource older than its schema has something else where fields should be.
            probe = None
        return {label: _first(probe, paths, absent) for label, (paths, absent) in self._paths.items()}


@lru_cache(maxsize=1024)
def reader_of(resource: Resource) -> FieldReader:
    """The reader of a resource's objects, made once."""
    return FieldReader(resource)


def _table(resource: Resource) -> Mapping[str, tuple[str, str]]:
    if resource.selectable_fields:
        return {label: (label, "") for label in resource.selectable_fields}
    return _FIELDS.get(("" if resource.group == "events.k8s.io" else resource.group, resource.plural), {})


def _attribute(step: str) -> str:
    """A member's name as an attribute's."""
    return step if step.isidentifier() and not keyword.iskeyword(step) else f"x_{step.encode().hex()}"


def _first(probe: Any, paths: tuple[tuple[str, ...], ...], absent: str) -> str:
    for path in paths:
        value = _value(probe, path)
        if value is not None and value != "":
            return ("false", "true")[value] if isinstance(value, bool) else str(value)
    return absent


def _value(probe: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if probe is None:
            return None
        probe = getattr(probe, step)
    return probe


def _probe(paths: list[tuple[str, ...]]) -> type[Any]:
    """A struct type that decodes just the given paths."""
    children: dict[str, list[tuple[str, ...]]] = {}
    for step, *rest in paths:
        children.setdefault(step, [])
        if rest:
            children[step].append(tuple(rest))
    fields: list[Any] = []
    for step, below in children.items():
        kind = _probe(below) | None if below else Any
        fields.append((_attribute(step), kind, msgspec.field(default=None, name=step)))
    return msgspec.defstruct("FieldProbe", fields, gc=False)
