"""How servers of aggregated groups know this server and the users it speaks for: a ConfigMap they all may read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.aggregation.identity import EXTRA_PREFIX, GROUP, UID, USER
from tiphys.apiserver.config import ApiServerConfig

_BUNDLES: Final = ("client-ca-file", "requestheader-client-ca-file")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
NAMESPACE: Final = "kube-system"
NAME: Final = "extension-apiserver-authentication"


def published(config: ApiServerConfig) -> ConfigMap:
    """The ConfigMap, as this server's settings make it. Only settings it has are in it."""
    data: dict[str, str] = {}
    if config.client_ca:
        data["client-ca-file"] = config.client_ca.decode("ascii")
    if config.requestheader_client_ca:
        data |= {
            "requestheader-allowed-names": json.dumps(list(config.requestheader_allowed_names)),
            "requestheader-client-ca-file": config.requestheader_client_ca.decode("ascii"),
            "requestheader-extra-headers-prefix": json.dumps([EXTRA_PREFIX]),
            "requestheader-group-headers": json.dumps([GROUP]),
            "requestheader-uid-headers": json.dumps([UID]),
            "requestheader-username-headers": json.dumps([USER]),
        }
    return ConfigMap(metadata=ObjectMeta(name=NAME, namespace=NAMESPACE), data=data)


def merged(stored: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What to keep: the settings are ours, but authorities other apiservers named stay trusted."""
    result = {**stored, **own}
    for name in _BUNDLES:
        blocks = [block.strip() for text in (stored, own) for block in _CERTIFICATE.findall(text.get(name, ""))]
        if blocks:
            result[name] = "".join(f"{block}\n" for block in dict.fromkeys(blocks))
    return result
