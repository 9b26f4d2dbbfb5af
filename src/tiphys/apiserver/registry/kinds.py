"""How messages name kinds."""

from __future__ import annotations

from typing import Any

from tiphys.api.scheme import Resource, by_kind


def qualified_kind(resource: Resource) -> str:
    """``Pod`` or ``Deployment.apps``: how Invalid answers name the kind."""
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind


def resource_of(kind: Any) -> Resource:
    """The resource whose objects are `kind` structs. Raises KeyError."""
    return by_kind(kind)
