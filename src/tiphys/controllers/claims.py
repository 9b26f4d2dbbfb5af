"""Which pods use which claims. Pure."""

from __future__ import annotations

from typing import Final

from tiphys.api.persistent_volumes import claim_name_of
from tiphys.api.types.core_v1 import Pod

BY_CLAIM: Final = "persistent-volume-claim"
"""Pod index: ``namespace/name`` of each claim that one of its volumes is."""


def claim_keys(pod: Pod) -> tuple[str, ...]:
    """An indexer for `BY_CLAIM`."""
    namespace = pod.metadata.namespace or ""
    return tuple(f"{namespace}/{name}" for volume in pod.spec.volumes if (name := claim_name_of(pod, volume)))
