"""What `lifecycle` must know of a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Body:
    """One kind's smallest valid object, and what may be done to it.

    manifest: without apiVersion, kind and metadata's name and namespace; may have other metadata.
    change: a merge patch of the object (not of metadata) that an update may bring; empty if nothing else may change.
    counted: whether metadata.generation counts changes of what is asked for.
    status: a merge patch of status that the subresource takes; empty if there is no such subresource.
    name: makes the name of the object from a word that is unique.
    prepare: completes the manifest of an object from its name and namespace, if it must name them.
    """

    manifest: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    counted: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    name: Callable[[str], str] = str
    prepare: Callable[[dict[str, Any], str, str], None] | None = None
