"""What the controls share: a violation, all containers of a pod, and lists of names in messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tiphys.api.field_errors import quote
from tiphys.api.types.core_v1 import Container, EphemeralContainer, PodSecurityContext, PodSpec, SecurityContext

AnyContainer = Container | EphemeralContainer


class Violation(NamedTuple):
    """One control that a pod does not meet."""

    reason: str
    detail: str


def containers(spec: PodSpec) -> list[AnyContainer]:
    """Every container of the pod, those of initialisation first."""
    return [*spec.init_containers, *spec.containers, *spec.ephemeral_containers]


def own(container: AnyContainer) -> SecurityContext:
    """The container's security context, an empty one if it has none."""
    return container.security_context or SecurityContext()


def of_pod(spec: PodSpec) -> PodSecurityContext:
    """The pod's security context, an empty one if it has none."""
    return spec.security_context or PodSecurityContext()


def quoted(values: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(map(quote, values))


def which(names: list[str], kind: str = "container") -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{kind if len(names) == 1 else kind + 's'} {quoted(names)}"


def is_windows(spec: PodSpec) -> bool:
    return spec.os is not None and spec.os.name == "windows"
