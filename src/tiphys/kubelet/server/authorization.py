"""Who may use the node server: the apiserver by its certificate, others as the apiserver's RBAC says. No anonymous."""

from __future__ import annotations

import hashlib
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.authentication_v1 import TokenReview, TokenReviewSpec, UserInfo
from tiphys.api.types.authorization_v1 import (
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from tiphys.base.clock import Clock
from tiphys.base.http.messages import Request
from tiphys.client.client import Client

REMEMBER_SECONDS: Final = 120.0
MAX_REMEMBERED: Final = 1000
_VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Denied(Exception):
    """The request is refused; `status` is 401 (unknown) or 403 (known, not allowed)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NodeAuthorizer:
    """Decides about requests. `trusted` are common names of certificates that may do everything."""

    def __init__(self, client: Client, node_name: str, trusted: frozenset[str], clock: Clock) -> None:
        self._client = client
        self._node_name = node_name
        self._trusted = trusted
        self._clock = clock
        self._users: dict[bytes, tuple[float, UserInfo | None]] = {}
        self._decisions: dict[tuple[str, tuple[str, ...], str, str], tuple[float, bool]] = {}

    async def check(self, request: Request) -> None:
        """Return if the request is allowed; raises Denied."""
        peer = request.peer_certificate
        if peer is not None and peer.not_after <= self._clock.now():
            raise Denied(401, "Unauthorized")
        if peer is not None and (peer.common_name in self._trusted or "system:masters" in peer.organizations):
            return
        user = (
            UserInfo(username=peer.common_name, groups=(*peer.organizations, "system:authenticated"))
            if peer is not None
            else await self._token_user(request)
        )
        if user is None:
            raise Denied(401, "Unauthorized")
        verb, subresources = _VERBS.get(request.method, ""), subresources_of(request.path)
        for subresource in subresources:
            if await self._allowed(user, verb, subresource):
                return
        asked = " ".join(subresources)
        raise Denied(403, f"Forbidden (user={user.username}, verb={verb}, resource=nodes, subresource(s)=[{asked}])")

    async def _token_user(self, request: Request) -> UserInfo | None:
        header = request.headers.get(b"authorization")
        if header[:7].lower() != b"bearer ":
            return None
        token = header[7:].strip()
        key = hashlib.sha256(token).digest()
        now = self._clock.monotonic()
        kept = self._users.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        try:
            review = await self._client.create(TokenReview(spec=TokenReviewSpec(token=token.decode("latin-1"))))
        except (ApiError, OSError):
            return None
        user = review.status.user if review.status.authenticated else None
        if len(self._users) >= MAX_REMEMBERED:
            self._users.clear()
        self._users[key] = (now + REMEMBER_SECONDS, user)
        return user

    async def _allowed(self, user: UserInfo, verb: str, subresource: str) -> bool:
        key = (user.username or "", tuple(user.groups), verb, subresource)
        now = self._clock.monotonic()
        kept = self._decisions.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        attributes = ResourceAttributes(
            verb=verb, version="v1", resource="nodes", subresource=subresource, name=self._node_name
        )
        spec = SubjectAccessReviewSpec(
            user=user.username, uid=user.uid, groups=tuple(user.groups), resource_attributes=attributes
        )
        try:
            review = await self._client.create(SubjectAccessReview(spec=spec))
        except (ApiError, OSError):
            return False
        if len(self._decisions) >= MAX_REMEMBERED:
            self._decisions.clear()
        self._decisions[key] = (now + REMEMBER_SECONDS, review.status.allowed)
        return review.status.allowed


_SUBRESOURCES: Final = (
    ("/stats", ("stats",)),
    ("/metrics", ("metrics",)),
    ("/logs", ("log",)),
    ("/healthz", ("healthz", "proxy")),
    ("/configz", ("configz", "proxy")),
    ("/pods", ("pods", "proxy")),
    ("/runningpods", ("pods", "proxy")),
)


def subresources_of(path: str) -> tuple[str, ...]:
    """Of ``nodes``: any of them allows the request. ``proxy`` is everything, running commands included."""
    for prefix, subresources in _SUBRESOURCES:
        if path == prefix or path.startswith(prefix + "/"):
            return subresources
    return ("proxy",)
