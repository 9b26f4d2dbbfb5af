"""Front proxies: who shows a certificate of their authority says in headers for whom it asks.

The headers of anybody else mean nothing. The authority of front proxies makes no users: a certificate of it that has no
name a front proxy may have, or that comes without headers, is nobody's.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from tiphys.apiserver.aggregation.identity import EXTRA_PREFIX, GROUP, UID, USER
from tiphys.apiserver.authentication.user import ANONYMOUS_NAME, AUTHENTICATED, UNAUTHENTICATED, User, authenticated
from tiphys.base.http.messages import Headers, PeerIdentity
from tiphys.base.http.tls import fingerprints

_USER: Final = USER.lower().encode()
_UID: Final = UID.lower().encode()
_GROUP: Final = GROUP.lower().encode()
_EXTRA: Final = EXTRA_PREFIX.lower().encode()


class FrontProxies:
    """`ca` and `client_ca` are PEM: whose certificates front proxies and users show. `names` are the common names that
    front proxies may have, any if there are none. Raises ValueError if that would make front proxies of users."""

    def __init__(self, ca: bytes, client_ca: bytes, names: tuple[str, ...]) -> None:
        self._authorities = fingerprints(ca)
        self._of_users = fingerprints(client_ca)
        self._names = names
        if not names and self._authorities & self._of_users:
            raise ValueError(
                "--requestheader-client-ca-file and --client-ca-file share certificates: --requestheader-allowed-names "
                "must say which of them are front proxies'"
            )

    def trusts(self, peer: PeerIdentity) -> bool:
        """Whether `peer` is a front proxy. Peers in this process, which no authority signed, are none."""
        if self._authorities.isdisjoint(peer.authorities):
            return False
        return not self._names or peer.common_name in self._names

    def is_user(self, peer: PeerIdentity) -> bool:
        """Whether the certificate of `peer` may stand for a user of its name."""
        return not peer.authorities or not self._of_users.isdisjoint(peer.authorities)


def told(headers: Headers) -> User | None:
    """For whom a front proxy asks; None if it does not say."""
    name = _text(headers.get(_USER))
    if not name:
        return None
    groups = tuple(_text(value) for value in headers.get_all(_GROUP))
    extra: dict[str, tuple[str, ...]] = {}
    for field, value in headers:
        if field.startswith(_EXTRA):
            key = unquote(field[len(_EXTRA) :].decode("latin-1"))
            extra[key] = (*extra.get(key, ()), _text(value))
    if name != ANONYMOUS_NAME and AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = authenticated(groups)
    return User(name, _text(headers.get(_UID)), groups, extra)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
