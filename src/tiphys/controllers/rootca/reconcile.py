"""The ConfigMap of one namespace as it should be. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api.types.core_v1 import ConfigMap, Namespace
from tiphys.api.types.meta_v1 import ObjectMeta

NAME: Final = "kube-root-ca.crt"
KEY: Final = "ca.crt"
_DESCRIPTION_KEY: Final = "kubernetes.io/description"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def decide(namespace: Namespace, current: ConfigMap | None, root_ca: str) -> ConfigMap | None:
    """The ConfigMap to create or update, or None if all is well or the namespace is being deleted."""
    if namespace.metadata.deletion_timestamp is not None:
        return None
    data = {KEY: root_ca}
    if current is None:
        meta = ObjectMeta(name=NAME, namespace=namespace.metadata.name, annotations={_DESCRIPTION_KEY: _DESCRIPTION})
        return ConfigMap(metadata=meta, data=data)
    described = current.metadata.annotations.get(_DESCRIPTION_KEY) == _DESCRIPTION
    if current.data == data and described:
        return None
    annotations = {**current.metadata.annotations, _DESCRIPTION_KEY: _DESCRIPTION}
    meta = msgspec.structs.replace(current.metadata, annotations=annotations)
    return msgspec.structs.replace(current, metadata=meta, data=data)
