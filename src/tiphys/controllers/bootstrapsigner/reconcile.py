"""The signatures that cluster-info should carry. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tiphys.api.bootstrap_tokens import KUBECONFIG_KEY, SIGNATURE_PREFIX, Token, signature
from tiphys.api.types.core_v1 import ConfigMap


def signed(cluster_info: ConfigMap, tokens: Iterable[Token]) -> ConfigMap | None:
    """The ConfigMap with one signature a token that signs, and no others; None if it is so already, or has no
    kubeconfig to sign. Expired tokens are the caller's to leave out."""
    content = cluster_info.data.get(KUBECONFIG_KEY)
    if content is None:
        return None
    data = {key: value for key, value in cluster_info.data.items() if not key.startswith(SIGNATURE_PREFIX)}
    for token in tokens:
        if token.signs:
            data[SIGNATURE_PREFIX + token.id] = signature(content, token.id, token.secret)
    return None if data == cluster_info.data else msgspec.structs.replace(cluster_info, data=data)
