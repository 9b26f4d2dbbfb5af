"""Defaults of EndpointSlices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.discovery_v1 import EndpointSlice


def _endpoint_slice(obj: EndpointSlice) -> None:
    for port in obj.ports:
        if port.name is None:
            port.name = ""
        if port.protocol is None:
            port.protocol = "TCP"


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {EndpointSlice: _endpoint_slice}
