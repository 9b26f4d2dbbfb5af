"""Who asks, as the front proxy tells the servers behind it: headers they believe because of its certificate."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tiphys.apiserver.authentication.user import User
from tiphys.base.http.messages import HeaderList, Request

USER: Final = "X-Remote-User"
UID: Final = "X-Remote-Uid"
GROUP: Final = "X-Remote-Group"
EXTRA_PREFIX: Final = "X-Remote-Extra-"
# Whatever of these a client sends is its own invention, or for this server alone.
_OURS: Final = (b"x-remote-", b"impersonate-")
_NOT_FORWARDED: Final = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-for",
    }
)
# Of a header field's name, as RFC 7230 has it; everything else is percent-encoded.
_TOKEN: Final = "!#$&'*+-.^_`|~"


def identity_headers(user: User) -> HeaderList:
    """The fields that say who `user` is."""
    fields: list[tuple[bytes, bytes]] = [(USER.encode(), user.name.encode())]
    if user.uid:
        fields.append((UID.encode(), user.uid.encode()))
    fields += ((GROUP.encode(), group.encode()) for group in user.groups)
    for name, values in user.extra.items():
        field = f"{EXTRA_PREFIX}{quote(name.lower(), safe=_TOKEN)}".encode()
        fields += ((field, value.encode()) for value in values)
    return tuple(fields)


def forwarded_headers(request: Request, user: User) -> HeaderList:
    """What a server behind us is sent: the client's fields, none of them about who it is, and ours."""
    connection = set(request.headers.tokens(b"connection"))
    kept = [
        (name, value)
        for name, value in request.headers
        if name not in _NOT_FORWARDED and name not in connection and not name.startswith(_OURS)
    ]
    before = request.headers.get(b"x-forwarded-for")
    via = b", ".join(part for part in (before, request.remote.encode()) if part)
    if via:
        kept.append((b"X-Forwarded-For", via))
    return (*kept, *identity_headers(user))
