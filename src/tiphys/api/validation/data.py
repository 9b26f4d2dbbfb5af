"""Checks of ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, refuse, required, too_long
from tiphys.api.go_json import syntax_error
from tiphys.api.types.core_v1 import ConfigMap, Secret
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

SIZE_MAXIMUM_BYTES: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable when `immutable` is set"
_ACCOUNT: Final = "kubernetes.io/service-account.name"
_REDACTED: Final = "<secret contents redacted>"
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def validate_config_map(obj: ConfigMap) -> list[FieldError]:
    """A new ConfigMap."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_config_map(obj, errors)
    return errors


def _check_config_map(obj: ConfigMap, errors: list[FieldError]) -> None:
    size = 0
    for key, value in obj.data.items():
        refuse(names.config_key(key), key, f"data[{key}]", errors)
        if key in obj.binary_data:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value)
    for key, value in obj.binary_data.items():
        refuse(names.config_key(key), key, f"binaryData[{key}]", errors)
        size += len(value) * 3 // 4
    if size > SIZE_MAXIMUM_BYTES // 4:
        size = sum(len(value.encode()) for value in obj.data.values())
        size += sum(len(_decoded(value)) for value in obj.binary_data.values())
        if size > SIZE_MAXIMUM_BYTES:
            errors.append(too_long("[]", SIZE_MAXIMUM_BYTES))


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return b""


def validate_config_map_update(new: ConfigMap, old: ConfigMap) -> list[FieldError]:
    """A ConfigMap that replaces `old`, which may be immutable."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if old.immutable:
        if not new.immutable:
            errors.append(forbidden("immutable", _IMMUTABLE))
        if new.data != old.data:
            errors.append(forbidden("data", _IMMUTABLE))
        if new.binary_data != old.binary_data:
            errors.append(forbidden("binaryData", _IMMUTABLE))
    _check_config_map(new, errors)
    return errors


def validate_secret(obj: Secret) -> list[FieldError]:
    """A new Secret: keys, size, and what its type needs."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_secret(obj, errors)
    return errors


def _check_secret(obj: Secret, errors: list[FieldError]) -> None:
    size = 0
    for key, value in obj.data.items():
        refuse(names.config_key(key), key, f"data[{key}]", errors)
        size += len(value) * 3 // 4
    if size > SIZE_MAXIMUM_BYTES and sum(len(_decoded(value)) for value in obj.data.values()) > SIZE_MAXIMUM_BYTES:
        errors.append(too_long("data", SIZE_MAXIMUM_BYTES))
    kind = obj.type
    if kind == "Opaque":
        return
    if kind == "kubernetes.io/service-account-token":
        if not obj.metadata.annotations.get(_ACCOUNT):
            errors.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in obj.data and "password" not in obj.data:
            errors.append(required("data[username]"))
            errors.append(required("data[password]"))
    else:
        for key in _NEEDED.get(kind or "", ()):
            if key not in obj.data or (key == "ssh-privatekey" and not obj.data[key]):
                errors.append(required(f"data[{key}]"))
            elif key.startswith(".docker"):
                problem = syntax_error(_decoded(obj.data[key]))
                if problem:
                    errors.append(invalid(f"data[{key}]", _REDACTED, problem))


def validate_secret_update(new: Secret, old: Secret) -> list[FieldError]:
    """A Secret that replaces `old`: of the same type, and perhaps immutable."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.type, old.type, "type", errors)
    if old.immutable:
        if not new.immutable:
            errors.append(forbidden("immutable", _IMMUTABLE))
        if new.data != old.data:
            errors.append(forbidden("data", _IMMUTABLE))
    _check_secret(new, errors)
    return errors
