"""How messages name kinds."""

from __future__ import annotations

from tiphys.api.scheme import Resource


def qualified_kind(resource: Resource) -> str:
    """``Pod`` or ``Deployment.apps``: how Invalid answers name the kind."""
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind
