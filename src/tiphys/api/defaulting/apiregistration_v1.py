"""Defaults of API services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.apiregistration_v1 import APIService

SERVICE_PORT: Final = 443


def _api_service(obj: APIService) -> None:
    if obj.spec.service is not None and obj.spec.service.port is None:
        obj.spec.service.port = SERVICE_PORT


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {APIService: _api_service}
