"""The smallest body of each kind, a module a family of groups: ``BODIES`` maps ``apps/v1/Deployment`` to a `Body`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from tests.conformance.kinds.bodies.body import Body

__all__ = ["BODIES", "Body"]


def _collected() -> dict[str, Body]:
    found: dict[str, Body] = {}
    for module in iter_modules(__path__):
        found.update(getattr(import_module(f"{__name__}.{module.name}"), "BODIES", {}))
    return found


BODIES: Final[dict[str, Body]] = _collected()
