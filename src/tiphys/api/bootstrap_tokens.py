"""Bootstrap tokens, ``abcdef.0123456789abcdef``: Secrets by which machines join a cluster they do not know yet.

    Secret kube-system/bootstrap-token-<id>, type bootstrap.kubernetes.io/token
      token-id, token-secret        the two halves
      expiration                    RFC 3339; without one it lasts
      usage-bootstrap-authentication, usage-bootstrap-signing   "true" to allow
      auth-extra-groups             beside system:bootstrappers

The token's secret half also signs the ConfigMap kube-public/cluster-info (a detached JWS, HS256), so that who has the
token can tell the true cluster from another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Final, NamedTuple

from tiphys.api.types.core_v1 import Secret

NAMESPACE: Final = "kube-system"
SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"
SECRET_PREFIX: Final = "bootstrap-token-"
BOOTSTRAPPERS: Final = "system:bootstrappers"
USER_PREFIX: Final = "system:bootstrap:"
DEFAULT_GROUP: Final = "system:bootstrappers:kubeadm:default-node-token"

CLUSTER_INFO: Final = "cluster-info"
CLUSTER_INFO_NAMESPACE: Final = "kube-public"
KUBECONFIG_KEY: Final = "kubeconfig"
SIGNATURE_PREFIX: Final = "jws-kubeconfig-"

_TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_GROUP: Final = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)
_TRUE: Final = "true"


class Token(NamedTuple):
    """A usable token Secret. `expiration` is API text, "" for a token that lasts."""

    id: str
    secret: str
    expiration: str
    authenticates: bool
    signs: bool
    groups: tuple[str, ...]
    description: str

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"


def split(text: str) -> tuple[str, str] | None:
    """(id, secret) of a token's text; None if it is none."""
    match = _TOKEN.fullmatch(text)
    return (match[1], match[2]) if match else None


def secret_name(token_id: str) -> str:
    return SECRET_PREFIX + token_id


def of_secret(secret: Secret) -> Token | None:
    """The token a Secret holds; None for other Secrets, and for malformed ones. Groups that are none of bootstrappers
    make it malformed. Whether it has expired is the caller's to tell."""
    if secret.type != SECRET_TYPE or secret.metadata.deletion_timestamp is not None:
        return None
    try:
        data = {key: base64.b64decode(value).decode() for key, value in secret.data.items()}
    except (binascii.Error, UnicodeDecodeError):
        return None
    token_id, half = data.get("token-id", ""), data.get("token-secret", "")
    if split(f"{token_id}.{half}") is None or secret.metadata.name != secret_name(token_id):
        return None
    groups = tuple(dict.fromkeys(group.strip() for group in data.get("auth-extra-groups", "").split(",") if group))
    if not all(_GROUP.fullmatch(group) for group in groups):
        return None
    return Token(
        token_id,
        half,
        data.get("expiration", ""),
        data.get("usage-bootstrap-authentication") == _TRUE,
        data.get("usage-bootstrap-signing") == _TRUE,
        groups,
        data.get("description", ""),
    )


def is_group(name: str) -> bool:
    """Whether tokens may put their users into this group."""
    return _GROUP.fullmatch(name) is not None


def signature(content: str, token_id: str, secret: str) -> str:
    """The detached JWS of `content` by a token: header, nothing, HMAC-SHA256."""
    header = _encoded(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    return f"{header}..{_mac(header, content, secret)}"


def verifies(jws: str, content: str, token_id: str, secret: str) -> bool:
    """Whether `jws` is a detached signature of `content` by this token. Header members may come in any order."""
    header, _, rest = jws.partition(".")
    payload, _, mac = rest.partition(".")
    try:
        fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        return False
    if payload or not isinstance(fields, dict) or fields.get("alg") != "HS256" or fields.get("kid") != token_id:
        return False
    return hmac.compare_digest(_mac(header, content, secret).encode(), mac.encode())


def _mac(header: str, content: str, secret: str) -> str:
    signed = f"{header}.{_encoded(content.encode())}".encode()
    return _encoded(hmac.new(secret.encode(), signed, hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
