"""Defaults of certificate signing requests: none but what zero values mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.certificates_v1 import CertificateSigningRequest


def _request(obj: CertificateSigningRequest) -> None:
    if obj.spec.uid == "":
        obj.spec.uid = None
    if obj.spec.username == "":
        obj.spec.username = None


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {CertificateSigningRequest: _request}
