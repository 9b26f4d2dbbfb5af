"""Who made a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tiphys.api.types.authentication_v1 import UserInfo

ANONYMOUS_NAME: Final = "system:anonymous"
UNAUTHENTICATED: Final = "system:unauthenticated"
AUTHENTICATED: Final = "system:authenticated"
MASTERS: Final = "system:masters"
NODES: Final = "system:nodes"
NODE_PREFIX: Final = "system:node:"
SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
SERVICE_ACCOUNTS: Final = "system:serviceaccounts"

CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"


class User(msgspec.Struct, frozen=True, gc=False):
    """An identity; shared, never changed. `groups` includes system:authenticated or system:unauthenticated."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}

    def info(self) -> UserInfo:
        """The wire form."""
        return UserInfo(username=self.name or None, uid=self.uid or None, groups=self.groups, extra=dict(self.extra))

    @property
    def node_name(self) -> str:
        """The node this user is the kubelet of, or ""."""
        if self.name.startswith(NODE_PREFIX) and NODES in self.groups:
            return self.name[len(NODE_PREFIX) :]
        return ""


ANONYMOUS: Final = User(ANONYMOUS_NAME, groups=(UNAUTHENTICATED,))


def authenticated(groups: tuple[str, ...]) -> tuple[str, ...]:
    """`groups` with system:authenticated among them."""
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)


def service_account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    return (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")


def split_service_account(user_name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name; None for any other."""
    if not user_name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, separator, name = user_name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, name) if separator and namespace and name and ":" not in name else None
