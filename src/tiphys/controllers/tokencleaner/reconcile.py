"""When a bootstrap token goes. Pure."""

from __future__ import annotations

import base64
import binascii

from tiphys.api.bootstrap_tokens import NAMESPACE, SECRET_TYPE
from tiphys.api.types.core_v1 import Secret
from tiphys.controllers.pods import seconds_of


def goes_at(secret: Secret) -> float | None:
    """Seconds since the epoch at which a token's Secret is to be deleted: at once (0) if its expiration cannot be
    read; None for other Secrets and for tokens that last."""
    if secret.type != SECRET_TYPE or secret.metadata.namespace != NAMESPACE:
        return None
    try:
        text = base64.b64decode(secret.data.get("expiration", "")).decode()
        return seconds_of(text) if text else None
    except (binascii.Error, ValueError):
        return 0.0
