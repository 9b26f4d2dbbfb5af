"""The Pod Security Standards: what a pod may ask for at the levels privileged, baseline and restricted. Pure.

Source: Kubernetes documentation, "Pod Security Standards". `violations` says what of a pod's spec a level forbids, in
upstream's words and order: baseline's controls, then restricted's, each by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.api.pod_security.baseline import CONTROLS as BASELINE_CONTROLS
from tiphys.api.pod_security.containers import Violation
from tiphys.api.pod_security.restricted import CONTROLS as RESTRICTED_CONTROLS
from tiphys.api.types.core_v1 import PodSpec

__all__ = ["BASELINE", "LEVELS", "PRIVILEGED", "RESTRICTED", "Violation", "summary", "violations"]

PRIVILEGED: Final = "privileged"
BASELINE: Final = "baseline"
RESTRICTED: Final = "restricted"
LEVELS: Final = (PRIVILEGED, BASELINE, RESTRICTED)

# What restricted asks more strictly itself.
_REPLACED: Final = frozenset({"capabilities", "hostPathVolumes", "seccompProfile"})


def violations(level: str, spec: PodSpec, annotations: Mapping[str, str]) -> list[Violation]:
    """What `level` forbids of a pod with this spec; `annotations` are the pod's."""
    if level == PRIVILEGED:
        return []
    restricted = level == RESTRICTED
    controls = [check for name, check in BASELINE_CONTROLS.items() if not (restricted and name in _REPLACED)]
    if restricted:
        controls += RESTRICTED_CONTROLS.values()
    return [found for found in (check(spec, annotations) for check in controls) if found is not None]


def summary(found: list[Violation]) -> str:
    """As messages list them: ``reason (detail), reason (detail)``."""
    return ", ".join(f"{one.reason} ({one.detail})" if one.detail else one.reason for one in found)
