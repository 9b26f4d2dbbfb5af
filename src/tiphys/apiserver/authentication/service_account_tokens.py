"""Service account tokens: JSON Web Tokens with upstream's claims, signed by the cluster's own key."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tiphys.apiserver.authentication.user import (
    AUTHENTICATED,
    CREDENTIAL_ID,
    User,
    service_account_groups,
    service_account_name,
)

DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_EXTRA: Final = "authentication.kubernetes.io/"


class InvalidToken(Exception):
    """Not a token of ours, or no longer valid; the message says why (for logs, never for the caller)."""


class NotOurs(InvalidToken):
    """No token that we signed, and so none that will ever be valid."""


class ObjectRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name and the uid it had when the token was made."""

    name: str = ""
    uid: str = ""


class Bound(msgspec.Struct, frozen=True, omit_defaults=True, rename="lower"):
    """The private claims: what the token is bound to, and must still exist."""

    namespace: str = ""
    node: ObjectRef | None = None
    pod: ObjectRef | None = None
    secret: ObjectRef | None = None
    serviceaccount: ObjectRef = ObjectRef()
    warnafter: int = 0


class Claims(msgspec.Struct, frozen=True):
    """A verified token's content. Times are epoch seconds."""

    bound: Bound
    expires: float
    audiences: tuple[str, ...]
    token_id: str = ""

    def user(self) -> User:
        """The service account as a user, in upstream's form."""
        bound = self.bound
        extra: dict[str, tuple[str, ...]] = {}
        if self.token_id:
            extra[CREDENTIAL_ID] = (f"JTI={self.token_id}",)
        for kind, reference in (("node", bound.node), ("pod", bound.pod)):
            if reference is not None:
                extra[f"{_EXTRA}{kind}-name"] = (reference.name,)
                if reference.uid:
                    extra[f"{_EXTRA}{kind}-uid"] = (reference.uid,)
        groups = (*service_account_groups(bound.namespace), AUTHENTICATED)
        return User(
            service_account_name(bound.namespace, bound.serviceaccount.name), bound.serviceaccount.uid, groups, extra
        )


class TokenKey:
    """Signs and verifies. `private_pem` is an ECDSA P-256 or RSA key."""

    def __init__(
        self,
        private_pem: bytes,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] = (),
        *,
        other_public_pems: Sequence[bytes] = (),
    ) -> None:
        """`audiences` are the API's own (the issuer if none are given). Tokens of `other_public_pems` verify too."""
        key = serialization.load_pem_private_key(private_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("service account tokens need an ECDSA or RSA key")
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self._private = key
        others = [serialization.load_pem_public_key(pem) for pem in other_public_pems]
        self._public: dict[str, Any] = {key_id(public): public for public in (key.public_key(), *others)}
        self._key_id = key_id(key.public_key())

    def sign(self, bound: Bound, audiences: Sequence[str], *, now: float, lifetime_seconds: int, token_id: str) -> str:
        """A token good from `now` for `lifetime_seconds`."""
        issued = int(now)
        payload = {
            "aud": list(audiences),
            "exp": issued + lifetime_seconds,
            "iat": issued,
            "iss": self.issuer,
            "jti": token_id,
            "kubernetes.io": msgspec.to_builtins(bound),
            "nbf": issued,
            "sub": service_account_name(bound.namespace, bound.serviceaccount.name),
        }
        return jwt.encode(payload, self._private, algorithm=_algorithm(self._private), headers={"kid": self._key_id})

    def verify(self, token: str, *, now: float, audiences: Sequence[str] | None = None) -> Claims:
        """The claims of a token of ours that is valid at `now` for one of `audiences` (the API's own by default).
        Raises InvalidToken. Whether what it is bound to still exists is for the caller to check."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._public.get(header.get("kid", self._key_id))
            if key is None:
                raise NotOurs("signed by an unknown key")
            payload = jwt.decode(
                token,
                key,
                algorithms=[_algorithm(key)],
                issuer=self.issuer,
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise NotOurs(str(error)) from error
        return _claims(payload, now, self.audiences if audiences is None else audiences)

    def configuration(self, jwks_uri: str) -> bytes:
        """The document at ``/.well-known/openid-configuration``."""
        document = {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({_algorithm(key) for key in self._public.values()}),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def key_set(self) -> bytes:
        """The document at ``/openid/v1/jwks``."""
        keys = []
        for identifier, key in self._public.items():
            algorithm = jwt.get_algorithm_by_name(_algorithm(key))
            fields = json.loads(algorithm.to_jwk(key))
            fields.pop("key_ops", None)
            keys.append({"use": "sig", "kid": identifier, "alg": _algorithm(key), **fields})
        return json.dumps({"keys": keys}, separators=(",", ":")).encode()


def looks_like_ours(token: str) -> bool:
    """Whether it has the shape of a signed JSON Web Token."""
    return token.count(".") == 2


def _claims(payload: Mapping[str, Any], now: float, audiences: Sequence[str]) -> Claims:
    try:
        bound = msgspec.convert(payload.get("kubernetes.io", {}), Bound)
        expires, not_before = float(payload["exp"]), float(payload.get("nbf", 0))
        intended = payload.get("aud", ())
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise InvalidToken(f"malformed claims: {error}") from error
    intended = (intended,) if isinstance(intended, str) else tuple(intended)
    if now >= expires:
        raise InvalidToken("expired")
    if now < not_before - 10:
        raise InvalidToken("not valid yet")
    valid_for = tuple(audience for audience in intended if audience in audiences)
    if not valid_for:
        raise InvalidToken(f"meant for {list(intended)}")
    if payload.get("sub") != service_account_name(bound.namespace, bound.serviceaccount.name):
        raise InvalidToken("subject and claims disagree")
    return Claims(bound, expires, valid_for, str(payload.get("jti", "")))


def _algorithm(key: object) -> str:
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else "RS256"


def key_id(public: Any) -> str:
    """Upstream's key id: the hash of the key's DER form."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")
