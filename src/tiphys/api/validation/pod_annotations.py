"""Checks of the annotations that say something of a Pod's spec, as fields did not at the time."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api.field_errors import FieldError, forbidden, invalid
from tiphys.api.types.core_v1 import PodSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.validation.formats import check_descending_path
from tiphys.api.validation.security import containers_by_path

MIRROR: Final = "kubernetes.io/config.mirror"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_PREFIX: Final = "localhost/"
_SECCOMP_DEFAULTS: Final = ("runtime/default", "docker/default")
_match_cost: Final = re.compile(r"0|-?[1-9]\d*").fullmatch


def check_pod_annotations(annotations: dict[str, str], spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    """What is said must be something the spec can bear."""
    if MIRROR in annotations and not spec.node_name:
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{path}[{MIRROR}]", annotations[MIRROR], detail))
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_match_cost(cost) and -(2**31) <= int(cost) < 2**31):
        errors.append(invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            _check_seccomp(value, f"{path}.{key}", errors)
        elif key.startswith(_APP_ARMOR):
            name = key.removeprefix(_APP_ARMOR)
            if all(container.name != name for _, container in containers_by_path(spec, "")):
                errors.append(invalid(f"{path}[{key}]", name, "container not found"))
            if value not in ("", "runtime/default", "unconfined") and not value.startswith(_PREFIX):
                errors.append(invalid(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"'))


def _check_seccomp(profile: str, path: str, errors: list[FieldError]) -> None:
    if profile in _SECCOMP_DEFAULTS or profile == "unconfined":
        return
    if profile.startswith(_PREFIX):
        check_descending_path(profile.removeprefix(_PREFIX), path, errors)
    else:
        errors.append(invalid(path, profile, "must be a valid seccomp profile"))


def check_profiles_agree(meta: ObjectMeta, spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    """Who says it both ways says the same."""
    annotations = meta.annotations
    pod = spec.security_context
    if pod is not None and pod.seccomp_profile is not None and _SECCOMP_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        profile = pod.seccomp_profile
        _check_agreement(annotations[_SECCOMP_POD], profile.type, profile.localhost_profile, where, "seccomp", errors)
    containers = containers_by_path(spec, path)
    for place, container in containers:
        own = container.security_context.seccomp_profile if container.security_context is not None else None
        text = annotations.get(_SECCOMP_CONTAINER + container.name)
        if own is not None and text is not None:
            where = f"{place}.securityContext.seccompProfile"
            _check_agreement(text, own.type, own.localhost_profile, where, "seccomp", errors)
    if spec.os is not None and spec.os.name == "windows":
        return
    for place, container in containers:
        armor = container.security_context.app_armor_profile if container.security_context is not None else None
        armor = armor or (pod.app_armor_profile if pod is not None else None)
        text = annotations.get(_APP_ARMOR + container.name)
        if armor is not None and text is not None:
            where = f"{place}.securityContext.appArmorProfile"
            _check_agreement(text, armor.type, armor.localhost_profile, where, "apparmor", errors)


def _check_agreement(text: str, kind: str, profile: str | None, path: str, what: str, errors: list[FieldError]) -> None:
    defaults = _SECCOMP_DEFAULTS if what == "seccomp" else _SECCOMP_DEFAULTS[:1]
    if kind == "Localhost" and text.startswith(_PREFIX):
        if profile is None or text.removeprefix(_PREFIX) != profile:
            detail = f"{what} profile in annotation and field must match"
            errors.append(forbidden(f"{path}.localhostProfile", detail))
        return
    same = {"Unconfined": text == "unconfined", "RuntimeDefault": text in defaults, "Localhost": False}.get(kind, True)
    if not same:
        errors.append(forbidden(f"{path}.type", f"{what} type in annotation and field must match"))


def check_annotation_changes(new: dict[str, str], old: dict[str, str], path: str, errors: list[FieldError]) -> None:
    """Whose pod it is, and how it is confined, is said once."""
    for key in old:
        if new.get(key) != old[key]:
            _forbid(key, "remove or update", path, errors)
    for key in new:
        if key not in old:
            _forbid(key, "add", path, errors)


def _forbid(key: str, what: str, path: str, errors: list[FieldError]) -> None:
    if key.startswith(_APP_ARMOR):
        errors.append(forbidden(f"{path}[{key}]", f"may not {what} AppArmor annotations"))
    elif key == MIRROR:
        errors.append(forbidden(f"{path}[{key}]", f"may not {what} mirror pod annotation"))
