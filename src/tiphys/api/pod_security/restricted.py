"""The controls that level restricted adds: nobody is root, nobody becomes more than they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tiphys.api.field_errors import quote
from tiphys.api.pod_security.containers import Violation, containers, is_windows, of_pod, own, quoted, which
from tiphys.api.types.core_v1 import PodSpec, Volume

Check = Callable[[PodSpec, Mapping[str, str]], Violation | None]

_VOLUMES: Final = frozenset(
    ("config_map", "csi", "downward_api", "empty_dir", "ephemeral", "image", "persistent_volume_claim", "projected")
) | {"secret", "name"}
_CONFINED: Final = ("RuntimeDefault", "Localhost")


def _escalation(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    if is_windows(spec):
        return None
    names = [c.name for c in containers(spec) if own(c).allow_privilege_escalation is not False]
    if not names:
        return None
    text = f"{which(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", text)


def _capabilities(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    if is_windows(spec):
        return None
    undropped, adding, added = [], [], set()
    for container in containers(spec):
        capabilities = own(container).capabilities
        if capabilities is None or "ALL" not in capabilities.drop:
            undropped.append(container.name)
        bad = {one for one in (capabilities.add if capabilities else ()) if one != "NET_BIND_SERVICE"}
        if bad:
            adding.append(container.name)
            added |= bad
    parts = []
    if undropped:
        parts.append(f'{which(undropped)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        parts.append(f"{which(adding)} must not include {quoted(sorted(added))} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(parts)) if parts else None


def _volumes(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    kinds = {volume.name: kind for volume in spec.volumes if (kind := _kind(volume)) not in _VOLUMES}
    if not kinds:
        return None
    shown = sorted({_wire(kind) for kind in kinds.values()})
    verb = "uses" if len(kinds) == 1 else "use"
    noun = "type" if len(shown) == 1 else "types"
    text = f"{which(list(kinds), 'volume')} {verb} restricted volume {noun} {quoted(shown)}"
    return Violation("restricted volume types", text)


def _kind(volume: Volume) -> str:
    fields = volume.__struct_fields__
    return next((name for name in fields if name != "name" and getattr(volume, name) is not None), "empty_dir")


def _wire(attribute: str) -> str:
    names = dict(zip(Volume.__struct_fields__, Volume.__struct_encode_fields__, strict=True))
    return names[attribute]


def _non_root(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    default = of_pod(spec).run_as_non_root
    parts = []
    if default is False:
        parts.append("pod must not set securityContext.runAsNonRoot=false")
    explicit = [c.name for c in containers(spec) if own(c).run_as_non_root is False]
    if explicit:
        parts.append(f"{which(explicit)} must not set securityContext.runAsNonRoot=false")
    if not parts and not default:
        silent = [c.name for c in containers(spec) if own(c).run_as_non_root is None]
        if silent:
            parts.append(f"pod or {which(silent)} must set securityContext.runAsNonRoot=true")
    return Violation("runAsNonRoot != true", "; ".join(parts)) if parts else None


def _user(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    bad = ["pod"] if of_pod(spec).run_as_user == 0 else []
    names = [container.name for container in containers(spec) if own(container).run_as_user == 0]
    if names:
        bad.append(which(names))
    return Violation("runAsUser=0", f"{' and '.join(bad)} must not set runAsUser=0") if bad else None


def _seccomp(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    if is_windows(spec):
        return None
    profile = of_pod(spec).seccomp_profile
    parts = []
    if profile is not None and profile.type not in _CONFINED:
        parts.append(f"pod must not set securityContext.seccompProfile.type to {quote(profile.type)}")
    explicit: dict[str, str] = {}
    silent = []
    for container in containers(spec):
        chosen = own(container).seccomp_profile
        if chosen is None:
            silent.append(container.name)
        elif chosen.type not in _CONFINED:
            explicit[container.name] = chosen.type
    if explicit:
        kinds = quoted(sorted(set(explicit.values())))
        parts.append(f"{which(list(explicit))} must not set securityContext.seccompProfile.type to {kinds}")
    if not parts and profile is None and silent:
        wanted = '"RuntimeDefault" or "Localhost"'
        parts.append(f"pod or {which(silent)} must set securityContext.seccompProfile.type to {wanted}")
    return Violation("seccompProfile", "; ".join(parts)) if parts else None


CONTROLS: Final[dict[str, Check]] = {
    "allowPrivilegeEscalation": _escalation,
    "capabilities": _capabilities,
    "restrictedVolumes": _volumes,
    "runAsNonRoot": _non_root,
    "runAsUser": _user,
    "seccompProfile": _seccomp,
}
"""In the order of messages."""
