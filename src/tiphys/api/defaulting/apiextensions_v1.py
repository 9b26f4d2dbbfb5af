"""Defaults of CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.apiextensions_v1 import CustomResourceConversion, CustomResourceDefinition

WEBHOOK_PORT: Final = 443


def _definition(obj: CustomResourceDefinition) -> None:
    spec = obj.spec
    if not spec.names.singular:
        spec.names.singular = spec.names.kind.lower()
    if not spec.names.list_kind and spec.names.kind:
        spec.names.list_kind = f"{spec.names.kind}List"
    if spec.conversion is None:
        spec.conversion = CustomResourceConversion(strategy="None")
    webhook = spec.conversion.webhook
    if webhook is not None and webhook.client_config is not None and webhook.client_config.service is not None:
        service = webhook.client_config.service
        if service.port is None:
            service.port = WEBHOOK_PORT
    if spec.preserve_unknown_fields is False:
        spec.preserve_unknown_fields = None


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {CustomResourceDefinition: _definition}
