"""Operations that are about no resource: discovery, the version, the keys that verify tokens, the log files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.api.scheme import Resource
from tiphys.apiserver.openapi.operations import META, Operation

LISTS: Final = f"{META}.APIResourceList"
GROUP: Final = f"{META}.APIGroup"
GROUPS: Final = f"{META}.APIGroupList"
VERSIONS: Final = f"{META}.APIVersions"
INFO: Final = "io.k8s.apimachinery.pkg.version.Info"


def camel_group(group: str) -> str:
    """``RbacAuthorization`` for ``rbac.authorization.k8s.io``; ``Core`` for the core group."""
    return "".join(part[:1].upper() + part[1:] for part in group.removesuffix(".k8s.io").split(".")) or "Core"


def general(groups: Iterable[str]) -> dict[str, list[Operation]]:
    """Documents' roots (``apis/apps``) to their operations."""
    issuer, keys = ".well-known/openid-configuration", "openid/v1/jwks"
    found = {
        ".well-known/openid-configuration": [_text(issuer, "getServiceAccountIssuerOpenIDConfiguration", "WellKnown")],
        "api": [_get("/api/", "getCoreAPIVersions", VERSIONS, "core")],
        "apis": [_get("/apis/", "getAPIVersions", GROUPS, "apis")],
        "logs": [
            _text("logs/", "logFileListHandler", "logs"),
            _text("logs/{logpath}", "logFileHandler", "logs"),
        ],
        "openid/v1/jwks": [_text(keys, "getServiceAccountIssuerOpenIDKeyset", "openid")],
        "version": [_get("/version/", "getCodeVersion", INFO, "version")],
    }
    for group in dict.fromkeys(groups):
        if group:
            name = camel_group(group)
            tag = group.removesuffix(".k8s.io").replace(".", "_")
            found[f"apis/{group}"] = [_get(f"/apis/{group}/", f"get{name}APIGroup", GROUP, tag)]
    return found


def of_version(resource: Resource) -> Operation:
    """The operation that lists the resources of a resource's group version."""
    version = f"{resource.version[:1].upper()}{resource.version[1:]}"
    group = resource.group.split(".", 1)[0] or "core"
    root = f"/apis/{resource.group}" if resource.group else "/api"
    word = f"get{camel_group(resource.group)}{version}APIResources"
    return _get(f"{root}/{resource.version}/", word, LISTS, f"{group}_{resource.version}")


def version_info() -> Mapping[str, object]:
    """The one schema that the schema facts have not: the version's."""
    required = ("buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion", "major", "minor")
    more = ("emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")
    texts = {name: {"type": "string", "default": ""} for name in sorted((*required, *more, "platform"))}
    return {"type": "object", "required": [*required, "platform"], "properties": texts}


def _get(path: str, word: str, answer: str, tag: str) -> Operation:
    return Operation(path, "get", "", word, {}, (), "", answer, False, tag)


def _text(path: str, word: str, tag: str) -> Operation:
    return Operation(f"/{path}", "get", "", word, {}, (), "", "", False, tag)
