"""Defaults of role bindings: the API group of who and what they bind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.rbac_v1 import ClusterRoleBinding, RoleBinding

GROUP: Final = "rbac.authorization.k8s.io"


def _binding(obj: RoleBinding | ClusterRoleBinding) -> None:
    if not obj.role_ref.api_group:
        obj.role_ref.api_group = GROUP
    for subject in obj.subjects:
        if not subject.api_group:
            subject.api_group = GROUP if subject.kind in ("User", "Group") else None


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {ClusterRoleBinding: _binding, RoleBinding: _binding}
