"""Bootstrap tokens as bearer tokens: who joins a cluster is ``system:bootstrap:<id>`` until it has a certificate."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from tiphys.api import bootstrap_tokens
from tiphys.api.types.core_v1 import Secret
from tiphys.apiserver.authentication.user import User, authenticated
from tiphys.base.clock import Clock, parse_rfc3339

TOKEN_BYTES: Final = 23

SecretOf = Callable[[str, str], Secret | None]
"""(namespace, name) to the Secret, from memory."""


class BootstrapTokens:
    """Looks a token up at each request: a deleted or changed Secret counts at once."""

    def __init__(self, secret_of: SecretOf, clock: Clock) -> None:
        self._secret_of = secret_of
        self._clock = clock

    def user(self, token: bytes) -> User | None:
        """Whose token it is; None if it is no bootstrap token, unknown, expired, or not for authentication."""
        if len(token) != TOKEN_BYTES:
            return None
        halves = bootstrap_tokens.split(token.decode("latin-1"))
        if halves is None:
            return None
        name = bootstrap_tokens.secret_name(halves[0])
        secret = self._secret_of(bootstrap_tokens.NAMESPACE, name)
        known = bootstrap_tokens.of_secret(secret) if secret is not None else None
        if known is None or not hmac.compare_digest(known.secret.encode(), halves[1].encode()):
            return None
        if not known.authenticates or self._expired(known.expiration):
            return None
        groups = authenticated((bootstrap_tokens.BOOTSTRAPPERS, *known.groups))
        return User(f"{bootstrap_tokens.USER_PREFIX}{known.id}", "", groups)

    def _expired(self, expiration: str) -> bool:
        if not expiration:
            return False
        try:
            return parse_rfc3339(expiration) <= self._clock.now()
        except ValueError:
            return True
