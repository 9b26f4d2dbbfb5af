"""Defaults of device claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.resource_v1 import (
    DeviceClaim,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimTemplate,
)


def _claim(obj: ResourceClaim) -> None:
    _devices(obj.spec.devices)


def _claim_template(obj: ResourceClaimTemplate) -> None:
    _devices(obj.spec.spec.devices)


def _devices(devices: DeviceClaim | None) -> None:
    if devices is not None:
        for request in devices.requests:
            if request.exactly is not None:
                _request(request.exactly)
            for alternative in request.first_available:
                _request(alternative)


def _request(request: ExactDeviceRequest | DeviceSubRequest) -> None:
    if not request.allocation_mode:
        request.allocation_mode = "ExactCount"
    if request.allocation_mode == "ExactCount" and not request.count:
        request.count = 1
    for toleration in request.tolerations:
        if not toleration.operator:
            toleration.operator = "Equal"


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    ResourceClaim: _claim,
    ResourceClaimTemplate: _claim_template,
}
