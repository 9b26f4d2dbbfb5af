"""Whether the server behind an APIService answers: one look at it, in upstream's reasons and words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api import codec
from tiphys.apiserver.aggregation.backends import Backends
from tiphys.apiserver.aggregation.endpoints import Address
from tiphys.apiserver.aggregation.identity import identity_headers
from tiphys.apiserver.aggregation.remotes import Remote
from tiphys.apiserver.authentication.user import MASTERS, User

CHECK_TIMEOUT_SECONDS: Final = 5.0
AGGREGATOR: Final = User("system:kube-aggregator", groups=(MASTERS,))
_ACCEPT: Final = (b"Accept", b"application/json")


class Verdict(NamedTuple):
    """An Available condition. `resources` are the entries of the APIResourceList that came with a good one."""

    available: bool
    reason: str
    message: str
    resources: tuple[dict[str, Any], ...] = ()


LOCAL: Final = Verdict(True, "Local", "Local APIServices are always available")


async def check(remote: Remote, addresses: Iterable[Address], backends: Backends) -> Verdict:
    """Ask the server for its resources, as discovery does."""
    url = f"https://{remote.server_name}:{remote.port}{remote.path}"
    headers = (_ACCEPT, *identity_headers(AGGREGATOR))
    try:
        answer = await backends.request(
            remote, addresses, "GET", remote.path, b"", headers, timeout_seconds=CHECK_TIMEOUT_SECONDS
        )
    except OSError as error:
        return _failed(f'failing or missing response from {url}: Get "{url}": {error or type(error).__name__}')
    if not 200 <= answer.status < 300:
        return _failed(f"failing or missing response from {url}: bad status from {url}: {answer.status}")
    try:
        document = codec.decode_any(answer.body)
    except msgspec.DecodeError:
        document = None
    found = document.get("resources") if isinstance(document, dict) else None
    resources = tuple(entry for entry in found or () if isinstance(entry, dict))
    return Verdict(True, "Passed", "all checks passed", resources)


def _failed(message: str) -> Verdict:
    return Verdict(False, "FailedDiscoveryCheck", message)


async def openapi_path(remote: Remote, addresses: Iterable[Address], backends: Backends) -> str:
    """Where the server has its OpenAPI version 3 document of the group and version; "" if it has none."""
    headers = (_ACCEPT, *identity_headers(AGGREGATOR))
    try:
        answer = await backends.request(
            remote, addresses, "GET", "/openapi/v3", b"", headers, timeout_seconds=CHECK_TIMEOUT_SECONDS
        )
        document = codec.decode_any(answer.body) if answer.status == 200 else {}
    except (OSError, msgspec.DecodeError):
        return ""
    paths = document.get("paths") if isinstance(document, dict) else None
    entry = paths.get(remote.path[1:]) if isinstance(paths, dict) else None
    url = entry.get("serverRelativeURL") if isinstance(entry, dict) else ""
    return url if isinstance(url, str) else ""
