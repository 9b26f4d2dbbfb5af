"""Which service accounts a namespace lacks. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tiphys.api.types.core_v1 import Namespace, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta

NAMES: Final = ("default",)


def missing(namespace: Namespace, present: Collection[str]) -> tuple[ServiceAccount, ...]:
    """The accounts to create; none in a namespace that is being deleted."""
    if namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating":
        return ()
    return tuple(
        ServiceAccount(metadata=ObjectMeta(name=name, namespace=namespace.metadata.name))
        for name in NAMES
        if name not in present
    )
