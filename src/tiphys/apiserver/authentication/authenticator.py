"""Requests to users: front proxies and client certificates first, then bearer tokens, then anonymous."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

from tiphys.api import errors
from tiphys.apiserver.authentication.bootstrap_tokens import BootstrapTokens
from tiphys.apiserver.authentication.front_proxy import FrontProxies, told
from tiphys.apiserver.authentication.service_account_tokens import (
    Claims,
    InvalidToken,
    NotOurs,
    TokenKey,
    looks_like_ours,
)
from tiphys.apiserver.authentication.token_requests import BoundObjects, check_bound
from tiphys.apiserver.authentication.user import ANONYMOUS, CREDENTIAL_ID, User, authenticated
from tiphys.base.clock import Clock
from tiphys.base.http.messages import PeerIdentity, Request

# How long a verified token is believed before what it is bound to is looked at again (upstream: 10 s).
TRUST_SECONDS: Final = 10.0
MAX_REMEMBERED: Final = 4096
_WEBSOCKET_PREFIX: Final = b"base64url.bearer.authorization.k8s.io."


class _Verified(NamedTuple):
    user: User
    claims: Claims
    trusted_until: float


class Authenticator:
    """Tells who makes a request. Costs a dictionary look-up for a certificate or a token seen before.

    `key` and `objects` verify service account tokens (none without a key); `static_tokens` maps tokens to users;
    `bootstrap` knows the tokens by which nodes join, `front_proxies` the certificates by which others are asked for.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        key: TokenKey | None = None,
        objects: BoundObjects | None = None,
        static_tokens: Mapping[str, User] | None = None,
        allow_anonymous: bool = True,
        bootstrap: BootstrapTokens | None = None,
        front_proxies: FrontProxies | None = None,
    ) -> None:
        self._clock = clock
        self._key = key
        self._objects = objects
        self._static = {token.encode(): user for token, user in (static_tokens or {}).items()}
        self._allow_anonymous = allow_anonymous
        self._bootstrap = bootstrap
        self._front_proxies = front_proxies
        self._certificates: dict[PeerIdentity, User] = {}
        self._tokens: dict[bytes, _Verified] = {}
        self._not_ours: set[bytes] = set()

    def authenticate(self, request: Request) -> User:
        """The user. Raises ApiError 401 for a bad token, or none where anonymous requests are not served."""
        peer = request.peer_certificate
        if peer is not None:
            if peer.not_after <= self._clock.now():
                raise errors.unauthorized()
            if (user := self._of_certificate(peer, request)) is not None:
                return user
        token = bearer_token(request)
        if token:
            user = self.of_token(token)
            if user is None:
                raise errors.unauthorized()
            return user
        if not self._allow_anonymous or self._is_nobodys(peer):
            raise errors.unauthorized()
        return ANONYMOUS

    def _is_nobodys(self, peer: PeerIdentity | None) -> bool:
        """Whether a certificate was shown that only front proxies have. Who shows it is not anonymous."""
        return peer is not None and self._front_proxies is not None and not self._front_proxies.is_user(peer)

    def _of_certificate(self, peer: PeerIdentity, request: Request) -> User | None:
        # In process there is no certificate and so no fingerprint: the whole identity is the key.
        user = self._certificates.get(peer)
        if user is None:
            if self._front_proxies is not None and self._front_proxies.trusts(peer):
                # Never remembered as a user: its next request may be for another one.
                return told(request.headers) or self._named(peer)
            user = self._named(peer)
            if user is None:
                return None
            if len(self._certificates) >= MAX_REMEMBERED:
                self._certificates.clear()
            self._certificates[peer] = user
        return user

    def _named(self, peer: PeerIdentity) -> User | None:
        """The user a certificate names; None if it is only a front proxy's, or names none."""
        if not peer.common_name or self._is_nobodys(peer):
            return None
        extra = {CREDENTIAL_ID: (f"X509SHA256={peer.fingerprint_sha256}",)}
        return User(peer.common_name, "", authenticated(peer.organizations), extra)

    def of_token(self, token: bytes) -> User | None:
        """Whose token it is, for use at the API itself; None if it is nobody's."""
        verified = self._tokens.get(token)
        now = self._clock.now()
        if verified is not None and now < verified.trusted_until:
            return verified.user
        for known, user in self._static.items():
            if hmac.compare_digest(known, token):
                return user
        if self._bootstrap is not None and (joining := self._bootstrap.user(token)) is not None:
            return joining
        try:
            claims = self._verified(token) if verified is None else self._again(verified.claims, now)
        except InvalidToken:
            self._tokens.pop(token, None)
            return None
        user = claims.user() if verified is None else verified.user
        if len(self._tokens) >= MAX_REMEMBERED:
            self._tokens.clear()
        self._tokens[token] = _Verified(user, claims, min(now + TRUST_SECONDS, claims.expires))
        return user

    def _verified(self, token: bytes) -> Claims:
        """As `verify`; a client that shows the same forged token again and again costs one signature check."""
        digest = hashlib.sha256(token).digest()
        if digest in self._not_ours:
            raise NotOurs("seen before")
        try:
            return self.verify(token)
        except NotOurs:
            if len(self._not_ours) >= MAX_REMEMBERED:
                self._not_ours.clear()
            self._not_ours.add(digest)
            raise

    def _again(self, claims: Claims, now: float) -> Claims:
        if now >= claims.expires:
            raise InvalidToken("expired")
        if self._objects is not None:
            check_bound(claims, self._objects, now)
        return claims

    def verify(self, token: bytes, audiences: tuple[str, ...] | None = None) -> Claims:
        """The claims of a service account token valid for one of `audiences` (the API's own by default), what it is
        bound to checked. Raises InvalidToken."""
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise InvalidToken("not ASCII") from None
        if self._key is None or not looks_like_ours(text):
            raise InvalidToken("not a service account token")
        now = self._clock.now()
        claims = self._key.verify(text, now=now, audiences=audiences)
        if self._objects is not None:
            check_bound(claims, self._objects, now)
        return claims

    @property
    def audiences(self) -> tuple[str, ...]:
        """The API's own audiences."""
        return self._key.audiences if self._key is not None else ()


def bearer_token(request: Request) -> bytes:
    """The token of the Authorization header, or of the WebSocket subprotocol browsers must use; b"" without one."""
    value = request.headers.get(b"authorization")
    if value:
        scheme, _, token = value.strip().partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    if b"sec-websocket-protocol" in request.headers and request.headers.get(b"upgrade").lower() == b"websocket":
        for listed in request.headers.get_all(b"sec-websocket-protocol"):
            for protocol in listed.split(b","):
                if protocol.strip().startswith(_WEBSOCKET_PREFIX):
                    return _decoded(protocol.strip()[len(_WEBSOCKET_PREFIX) :])
    return b""


def _decoded(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""
