"""Who asks and whether they may, as the apiserver says: by the front proxy's headers, or by reviews of a token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import msgspec

from tiphys.api.errors import ApiError, forbidden, unauthorized
from tiphys.api.types.authentication_v1 import TokenReview, TokenReviewSpec, UserInfo
from tiphys.api.types.authorization_v1 import (
    NonResourceAttributes,
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.base.clock import Clock
from tiphys.base.http.messages import Request
from tiphys.client.client import Client

NAMESPACE: Final = "kube-system"
CONFIG_MAP: Final = "extension-apiserver-authentication"
#: As upstream's servers: a yes and a no are believed that long.
REMEMBER_SECONDS: Final = 10.0
MAX_REMEMBERED: Final = 1000
_MASTERS: Final = "system:masters"


class FrontProxy(msgspec.Struct, frozen=True):
    """What tells the front proxy from others, and which headers it sends. `ca` is PEM; no `names` allows any."""

    ca: bytes
    names: tuple[str, ...]
    user_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]

    @classmethod
    def of(cls, published: ConfigMap) -> FrontProxy:
        """As the ConfigMap says. Raises ValueError if it does not say all that is needed."""
        data = published.data

        def names(key: str, fallback: tuple[str, ...] = ()) -> tuple[str, ...]:
            return tuple(json.loads(data[key])) if key in data else fallback

        ca = data.get("requestheader-client-ca-file", "")
        if not ca:
            raise ValueError(f"ConfigMap {CONFIG_MAP} names no authority of front proxies")
        return cls(
            ca.encode("ascii"),
            names("requestheader-allowed-names"),
            names("requestheader-username-headers", ("X-Remote-User",)),
            names("requestheader-uid-headers", ("X-Remote-Uid",)),
            names("requestheader-group-headers", ("X-Remote-Group",)),
            names("requestheader-extra-headers-prefix", ("X-Remote-Extra-",)),
        )


class Delegated:
    """Decides by asking the apiserver. Client certificates must be the front proxy's: the server's TLS trusts no
    other authority for them."""

    def __init__(self, client: Client, front_proxy: FrontProxy, clock: Clock) -> None:
        self._client = client
        self._proxy = front_proxy
        self._clock = clock
        self._users: dict[bytes, tuple[float, UserInfo | None]] = {}
        self._decisions: dict[bytes, tuple[float, str | None]] = {}

    async def user(self, request: Request) -> UserInfo:
        """Who asks. Raises ApiError 401."""
        peer = request.peer_certificate
        if peer is not None and (not self._proxy.names or peer.common_name in self._proxy.names):
            found = self._told(request)
            if found is not None:
                return found
        token = _bearer(request)
        reviewed = await self._reviewed(token) if token else None
        if reviewed is None:
            raise unauthorized()
        return reviewed

    async def check(self, user: UserInfo, attributes: ResourceAttributes | NonResourceAttributes) -> None:
        """Return if `user` may. Raises ApiError 403."""
        if _MASTERS in user.groups:
            return
        resource = attributes if isinstance(attributes, ResourceAttributes) else None
        path = attributes if isinstance(attributes, NonResourceAttributes) else None
        spec = SubjectAccessReviewSpec(
            user=user.username,
            uid=user.uid,
            groups=tuple(user.groups),
            extra=user.extra,
            resource_attributes=resource,
            non_resource_attributes=path,
        )
        key = hashlib.sha256(msgspec.json.encode(spec)).digest()
        now = self._clock.monotonic()
        kept = self._decisions.get(key)
        if kept is None or now >= kept[0]:
            review = await self._client.create(SubjectAccessReview(spec=spec))
            refusal = None if review.status.allowed else (review.status.reason or "")
            _make_room(self._decisions)
            kept = self._decisions[key] = (now + REMEMBER_SECONDS, refusal)
        if kept[1] is not None:
            raise _refused(user, attributes, kept[1])

    def _told(self, request: Request) -> UserInfo | None:
        headers = request.headers
        name = _first(headers.get(header.lower().encode()) for header in self._proxy.user_headers)
        if not name:
            return None
        groups = [
            value.decode() for header in self._proxy.group_headers for value in headers.get_all(header.lower().encode())
        ]
        extra: dict[str, tuple[str, ...]] = {}
        prefixes = tuple(prefix.lower().encode() for prefix in self._proxy.extra_prefixes)
        for field, value in headers:
            prefix = next((p for p in prefixes if field.startswith(p)), None)
            if prefix is not None:
                key = unquote(field[len(prefix) :].decode("latin-1")).lower()
                extra[key] = (*extra.get(key, ()), value.decode())
        uid = _first(headers.get(header.lower().encode()) for header in self._proxy.uid_headers)
        return UserInfo(username=name, uid=uid or None, groups=tuple(groups), extra=extra)

    async def _reviewed(self, token: bytes) -> UserInfo | None:
        key = hashlib.sha256(token).digest()
        now = self._clock.monotonic()
        kept = self._users.get(key)
        if kept is None or now >= kept[0]:
            review = await self._client.create(TokenReview(spec=TokenReviewSpec(token=token.decode("latin-1"))))
            user = review.status.user if review.status.authenticated else None
            _make_room(self._users)
            kept = self._users[key] = (now + REMEMBER_SECONDS, user)
        return kept[1]


def _make_room(kept: dict[bytes, tuple[float, UserInfo | None]] | dict[bytes, tuple[float, str | None]]) -> None:
    if len(kept) >= MAX_REMEMBERED:
        kept.clear()


def _first(values: Iterable[bytes]) -> str:
    return next((value.decode() for value in values if value), "")


def _bearer(request: Request) -> bytes:
    scheme, _, token = request.headers.get(b"authorization").strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _refused(user: UserInfo, attributes: ResourceAttributes | NonResourceAttributes, reason: str) -> ApiError:
    if isinstance(attributes, NonResourceAttributes):
        text = f'User "{user.username}" cannot {attributes.verb} path "{attributes.path}"'
        return forbidden("", "", f"{text}: {reason}" if reason else text)
    where = f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    text = (
        f'User "{user.username}" cannot {attributes.verb} resource "{attributes.resource}" '
        f'in API group "{attributes.group or ""}"{where}'
    )
    qualified = f"{attributes.resource}.{attributes.group}"
    return forbidden(qualified, attributes.name or "", f"{text}: {reason}" if reason else text)
