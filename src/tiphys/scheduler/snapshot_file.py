"""A cluster in a file: the objects that placement depends on, one JSON document a line, gzip if the name says so.

Read are also what kubectl prints (``kubectl get nodes,pods -A -o json`` or ``-o yaml``), whole manifests, and any of
these compressed. Kinds that have nothing to do with placement are left out: no Secret is ever written.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from msgspec.structs import replace

from tiphys.api import scheme
from tiphys.api.codec import decode_any, encode, from_dict
from tiphys.api.types import apps_v1, batch_v1, core_v1, node_v1, policy_v1, resource_v1, scheduling_v1, storage_v1
from tiphys.scheduler.gangs.groups import API_GROUPS, PodGroupObject

GZIP_MAGIC: Final = b"\x1f\x8b"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

REQUIRED_KINDS: Final[tuple[type[Any], ...]] = (core_v1.Node, core_v1.Namespace, core_v1.Pod)
OPTIONAL_KINDS: Final[tuple[type[Any], ...]] = (
    core_v1.Service,
    core_v1.ReplicationController,
    core_v1.PersistentVolume,
    core_v1.PersistentVolumeClaim,
    core_v1.LimitRange,
    apps_v1.Deployment,
    apps_v1.ReplicaSet,
    apps_v1.StatefulSet,
    apps_v1.DaemonSet,
    batch_v1.Job,
    policy_v1.PodDisruptionBudget,
    scheduling_v1.PriorityClass,
    node_v1.RuntimeClass,
    storage_v1.StorageClass,
    storage_v1.CSIDriver,
    storage_v1.CSINode,
    storage_v1.CSIStorageCapacity,
    storage_v1.VolumeAttachment,
    resource_v1.DeviceClass,
    resource_v1.ResourceSlice,
    resource_v1.ResourceClaim,
    resource_v1.ResourceClaimTemplate,
)
KINDS: Final[frozenset[type[Any]]] = frozenset((*REQUIRED_KINDS, *OPTIONAL_KINDS, PodGroupObject))
"""What a snapshot holds."""


class SnapshotFileError(Exception):
    """A file cannot be read as objects, or not be written; the text says which and why."""


def dump(objects: Iterable[Any], path: Path) -> int:
    """Write the objects to a new file (0600), compressed if its name ends in ``.gz``. Returns how many.

    What containers run, with which arguments and environment, is left out: it is no matter of placement, and secret.
    Raises SnapshotFileError, also if the file is there already.
    """
    lines = [encode(discreet(obj)) for obj in objects]
    content = b"\n".join((*lines, b""))
    if path.suffix == ".gz":
        # Without a time in it: the same cluster gives the same file.
        content = gzip.compress(content, 5, mtime=0)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise SnapshotFileError(f"{path} is there already: choose another name") from None
    except OSError as error:
        raise SnapshotFileError(f"{path}: {error.strerror}") from error
    return len(lines)


def load(path: Path) -> list[Any]:
    """The objects of a file that placement depends on, typed. Raises SnapshotFileError."""
    return list(of_interest(documents(path), str(path)))


def documents(path: Path) -> list[dict[str, Any]]:
    """Every object of a file of whatever kind, as plain data; Lists are opened. Raises SnapshotFileError."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise SnapshotFileError(f"{path}: {error}") from error
    try:
        return [item for document in _parse(content) for item in _opened(document)]
    except (yaml.YAMLError, msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise SnapshotFileError(f"{path} holds no API objects: {error}") from error


def of_interest(found: Iterable[dict[str, Any]], source: str) -> Iterator[Any]:
    """Those of the documents that are of `KINDS`, typed. `source` is named in the SnapshotFileError."""
    for document in found:
        kind = kind_of(document)
        if kind in KINDS:
            yield typed(kind, document, source)


def kind_of(document: dict[str, Any]) -> type[Any] | None:
    """The type of an object; None if it is none of the kinds that are built in, nor a PodGroup."""
    group, _, version = str(document.get("apiVersion", "")).rpartition("/")
    if document.get("kind") == "PodGroup" and group in API_GROUPS:
        return PodGroupObject
    resource = scheme.by_gvk(group, version, str(document.get("kind", "")))
    return resource.struct if resource is not None else None


def typed(kind: type[Any], document: dict[str, Any], source: str) -> Any:
    """The document as `kind`, without what only the apiserver wants to know. Raises SnapshotFileError."""
    try:
        return without_managed_fields(from_dict(kind, document))
    except (msgspec.ValidationError, ValueError) as error:
        name = (document.get("metadata") or {}).get("name", "")
        raise SnapshotFileError(f"{source}: {document.get('kind')} {name}: {error}") from error


def without_managed_fields(obj: Any) -> Any:
    """The object without ``metadata.managedFields``."""
    if not obj.metadata.managed_fields:
        return obj
    metadata = replace(obj.metadata, managed_fields=())
    return replace(obj, metadata=metadata)


def discreet(obj: Any) -> Any:
    """The object without commands, environments and what kubectl last applied."""
    notes = obj.metadata.annotations
    if _LAST_APPLIED in notes:
        kept = {name: text for name, text in notes.items() if name != _LAST_APPLIED}
        obj = replace(obj, metadata=replace(obj.metadata, annotations=kept))
    if isinstance(obj, core_v1.Pod):
        return replace(obj, spec=_discreet_pod(obj.spec))
    template = getattr(getattr(obj, "spec", None), "template", None)
    if isinstance(template, core_v1.PodTemplateSpec):
        return replace(obj, spec=replace(obj.spec, template=replace(template, spec=_discreet_pod(template.spec))))
    return obj


def _discreet_pod(spec: core_v1.PodSpec) -> core_v1.PodSpec:
    def containers(given: tuple[core_v1.Container, ...]) -> tuple[core_v1.Container, ...]:
        return tuple(replace(one, env=(), env_from=(), command=(), args=()) for one in given)

    return replace(spec, containers=containers(spec.containers), init_containers=containers(spec.init_containers))


def _parse(content: bytes) -> Iterator[Any]:
    if content[:1] not in (b"{", b"["):
        yield from yaml.load_all(content, Loader=_yaml_loader())
        return
    try:
        yield decode_any(content)
    except msgspec.DecodeError:
        # Not one document: one a line.
        for line in content.splitlines():
            if line.strip():
                yield decode_any(line)


def _opened(document: Any) -> Iterator[dict[str, Any]]:
    if document is None:
        return
    if not isinstance(document, dict) or "kind" not in document or "apiVersion" not in document:
        raise TypeError("a document without apiVersion and kind")
    if "items" not in document or not str(document["kind"]).endswith("List"):
        yield document
        return
    # Items of a typed list (PodList) may leave their kind out.
    kind = str(document["kind"]).removesuffix("List")
    for item in document["items"] or ():
        yield {"apiVersion": document["apiVersion"], "kind": kind, **item} if kind else item


def _yaml_loader() -> Any:
    """libyaml if it is there: ten times as fast. Times stay the text they are."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Loader", (base,), {})
    loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in base.yaml_implicit_resolvers.items()
    }
    return loader
