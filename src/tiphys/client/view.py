"""What a request is about: a resource of the API and the struct its objects are decoded into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import msgspec

from tiphys.api.scheme import Resource, by_kind
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.api.types.model import Model

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """A resource seen as `struct`: the kind's own struct, a part of it (`PartialObject`) or ``dict[str, Any]``.

    Every client and informer call that takes a kind takes a View instead, so that custom resources and parts of
    objects use the same paths.
    """

    resource: Resource
    struct: type[T]


_VIEWS: dict[Any, View[Any]] = {}


def view_of(kind: type[T] | View[T]) -> View[T]:
    """The view a kind stands for; raises KeyError for a type that is not served."""
    if isinstance(kind, View):
        return kind
    found = _VIEWS.get(kind)
    if found is None:
        found = _VIEWS[kind] = View(by_kind(cast(Any, kind)), kind)
    return found


def unstructured(resource: Resource) -> View[dict[str, Any]]:
    """The resource's objects as plain data."""
    return View(resource, dict[str, Any])


class PartialMeta(Model):
    """The metadata that ownership and deletion are decided on; same names as `meta_v1.ObjectMeta`."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = msgspec.field(default=None, name="resourceVersion")
    creation_timestamp: str | None = msgspec.field(default=None, name="creationTimestamp")
    deletion_timestamp: str | None = msgspec.field(default=None, name="deletionTimestamp")
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = msgspec.field(default=(), name="ownerReferences")


class PartialObject(Model):
    """An object of any kind of which only metadata is kept; the rest is skipped while decoding."""

    kind: str = msgspec.field(default_factory=str)
    api_version: str = msgspec.field(default_factory=str, name="apiVersion")
    metadata: PartialMeta = msgspec.field(default_factory=PartialMeta)


def metadata_only(resource: Resource) -> View[PartialObject]:
    """The resource's objects as `PartialObject`."""
    return View(resource, PartialObject)
