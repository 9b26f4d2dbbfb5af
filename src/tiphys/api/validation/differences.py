"""How a refused update shows what was changed: a unified diff of the two specs, dumped much as upstream does."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any, Final

from msgspec import Struct, structs

from tiphys.api.types.core_v1 import PodSpec

_POD_ORDER: Final = (
    "volumes",
    "initContainers",
    "containers",
    "ephemeralContainers",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "nodeSelector",
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeName",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "setHostnameAsFQDN",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "priority",
    "preemptionPolicy",
    "dnsConfig",
    "readinessGates",
    "runtimeClassName",
    "overhead",
    "enableServiceLinks",
    "topologySpreadConstraints",
    "os",
    "schedulingGates",
    "resourceClaims",
    "resources",
    "hostnameOverride",
    "schedulingGroup",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "shareProcessNamespace",
)
_TEXTS: Final = frozenset(
    {"nodeName", "hostname", "subdomain", "priorityClassName", "serviceAccountName", "workingDir", "subPath"}
)
_FALSE: Final = frozenset({"stdin", "stdinOnce", "tty", "readOnly", "hostNetwork", "hostPID", "hostIPC"})
_INITIALS: Final = {"dns": "DNS", "os": "OS", "tty": "TTY", "ip": "IP"}


def describe_difference(new: Struct, old: Struct) -> str:
    """The hunks of the diff from `old` to `new`, three lines of context each."""
    lines = unified_diff(_dump(old), _dump(new), n=3, lineterm="")
    return "".join(f"{line}\n" for line in list(lines)[2:])


def _dump(spec: Struct) -> list[str]:
    fields = _fields(spec)
    order = _POD_ORDER if isinstance(spec, PodSpec) else tuple(fields)
    ordered = {_go_name(name): fields[name] for name in order}
    return json.dumps(ordered, indent=1, ensure_ascii=False).splitlines()


def _fields(value: Struct) -> dict[str, Any]:
    return {
        field.encode_name: _plain(getattr(value, field.name), field.encode_name)
        for field in structs.fields(type(value))
    }


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Struct):
        return {_go_name(key): inner for key, inner in _fields(value).items()}
    if isinstance(value, tuple):
        return [_plain(item, "") for item in value] or None
    if isinstance(value, dict):
        return {key: str(item) for key, item in sorted(value.items())} or None
    if value is None and name in _TEXTS:
        return ""
    if value is None and name in _FALSE:
        return False
    return value


def _go_name(name: str) -> str:
    for wire, initials in _INITIALS.items():
        if name == wire or (name.startswith(wire) and name[len(wire)].isupper()):
            return initials + name[len(wire) :]
    return name[:1].upper() + name[1:]
