"""What the API fills in when an object says nothing: the same for everybody who reads it afterwards.

`default` changes a freshly decoded object in place (nobody shares it yet) and returns it. It is idempotent: an object
that was defaulted before does not change. What depends on the cluster (the service account, a priority class, an
address) is admission's or the registry's, not ours.

A module here is named as the module of the types it knows; it lists them in ``DEFAULTS`` and is imported at first use.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

from tiphys.api.types.model import Model

T = TypeVar("T", bound=Model)

_known: Final[dict[type, Callable[[Any], None] | None]] = {}
_WITH_DEFAULTS: Final = frozenset(
    {
        "admissionregistration_v1",
        "apiextensions_v1",
        "apiregistration_v1",
        "apps_v1",
        "autoscaling_v1",
        "autoscaling_v2",
        "batch_v1",
        "core_v1",
        "discovery_v1",
        "flowcontrol_v1",
        "networking_v1",
        "policy_v1",
        "rbac_v1",
        "resource_v1",
        "scheduling_v1",
        "storage_v1",
    }
)


def default(obj: T) -> T:
    """`obj` itself, with everything filled in that upstream's scheme fills in for its kind.

    Kinds without defaults (and custom resources, which carry theirs in a schema) are returned as they are.
    """
    kind = type(obj)
    try:
        fill = _known[kind]
    except KeyError:
        fill = _known[kind] = _find(kind)
    if fill is not None:
        fill(obj)
    return obj


def _find(kind: type) -> Callable[[Any], None] | None:
    module = kind.__module__.rpartition(".")[2]
    if module not in _WITH_DEFAULTS:
        return None
    table: dict[type, Callable[[Any], None]] = import_module(f"{__name__}.{module}").DEFAULTS
    return table.get(kind)
