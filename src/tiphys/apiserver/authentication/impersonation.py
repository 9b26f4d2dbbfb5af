"""Acting as somebody else: the Impersonate- headers, each of which the requester must be allowed to use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from tiphys.api import errors
from tiphys.apiserver.authentication.user import (
    ANONYMOUS_NAME,
    UNAUTHENTICATED,
    User,
    authenticated,
    service_account_groups,
    split_service_account,
)
from tiphys.base.http.messages import Headers, Request

AUTHENTICATION_GROUP: Final = "authentication.k8s.io"
_EXTRA_PREFIX: Final = b"impersonate-extra-"


class Wanted(NamedTuple):
    """One thing the requester must be allowed to ``impersonate``."""

    group: str
    resource: str
    subresource: str
    namespace: str
    name: str


def impersonates(headers: Headers) -> bool:
    """Whether a request has any Impersonate- header; cheap for those that have none."""
    return b"impersonate-user" in headers or any(name.startswith(b"impersonate-") for name, _ in headers)


def impersonate(request: Request, requester: User, check: Callable[[User, Wanted], None]) -> User:
    """The user the request is to be served as: `requester` if it has no Impersonate- headers.

    `check(requester, wanted)` raises ApiError 403 for what the requester may not impersonate. Raises ApiError 500, as
    upstream, for groups, uid or extra without a user.
    """
    headers = request.headers
    if not impersonates(headers):
        return requester
    name = headers.get(b"impersonate-user").decode("utf-8", "replace")
    groups = tuple(value.decode("utf-8", "replace") for value in headers.get_all(b"impersonate-group"))
    uid = headers.get(b"impersonate-uid").decode("utf-8", "replace")
    extra = _extra(headers)
    if not name:
        asked = [*groups, *([uid] if uid else ()), *extra]
        raise errors.internal(f"requested {asked} without impersonating a user")
    for wanted in _wanted(name, groups, uid, extra):
        check(requester, wanted)
    account = split_service_account(name)
    if not groups and account is not None:
        groups = service_account_groups(account[0])
    if name != ANONYMOUS_NAME:
        groups = authenticated(groups)
    elif UNAUTHENTICATED not in groups:
        groups = (*groups, UNAUTHENTICATED)
    return User(name, uid, groups, {key: tuple(values) for key, values in extra.items()})


def _wanted(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> Iterator[Wanted]:
    account = split_service_account(name)
    if account is not None:
        yield Wanted("", "serviceaccounts", "", account[0], account[1])
    else:
        yield Wanted("", "users", "", "", name)
    for group in groups:
        yield Wanted("", "groups", "", "", group)
    for key, values in extra.items():
        for value in values:
            yield Wanted(AUTHENTICATION_GROUP, "userextras", key, "", value)
    if uid:
        yield Wanted(AUTHENTICATION_GROUP, "uids", "", "", uid)


def _extra(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name.startswith(_EXTRA_PREFIX):
            key = unquote(name[len(_EXTRA_PREFIX) :].decode("latin-1"))
            found.setdefault(key, []).append(value.decode("utf-8", "replace"))
    return found
