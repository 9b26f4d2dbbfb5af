"""Service account tokens for pods: asked for once, renewed before they expire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tiphys.api.types.authentication_v1 import BoundObjectReference
from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import Clock, parse_rfc3339
from tiphys.client.client import Client

RENEW_AT_SHARE: Final = 0.8
"""A token is renewed when so much of its life is over…"""
RENEW_AFTER_SECONDS: Final = 24 * 3600.0
"""…or when it is this old."""
DEFAULT_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    renew_at: float
    expires: str = ""
    """As the API said it (RFC 3339)."""


class Tokens:
    """The tokens of the node's pods, by pod, audience and lifetime."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[tuple[str, str, int], Token] = {}

    async def get(self, pod: Pod, audience: str, expiration_seconds: int) -> Token:
        """A token bound to the pod, with time left to live. Raises ApiError."""
        uid = pod.metadata.uid or ""
        key = (uid, audience, expiration_seconds)
        kept = self._kept.get(key)
        now = self._clock.now()
        if kept is not None and now < kept.renew_at:
            return kept
        answer = await self._client.create_token(
            pod.metadata.namespace or "",
            pod.spec.service_account_name or "default",
            audiences=(audience,) if audience else (),
            expiration_seconds=expiration_seconds,
            bound_object=BoundObjectReference(kind="Pod", api_version="v1", name=pod.metadata.name, uid=uid),
        )
        expires = parse_rfc3339(answer.status.expiration_timestamp or "")
        life = max(expires - now, 0.0)
        token = Token(
            answer.status.token or "",
            now + min(life * RENEW_AT_SHARE, RENEW_AFTER_SECONDS),
            answer.status.expiration_timestamp or "",
        )
        self._kept[key] = token
        return token

    def release(self, uid: str) -> None:
        """Forget a pod's tokens."""
        for key in [k for k in self._kept if k[0] == uid]:
            del self._kept[key]
