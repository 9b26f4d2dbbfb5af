"""Authentication and authorization as the server uses them, fed from the caches."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import codec
from tiphys.api.types import rbac_v1
from tiphys.apiserver.authentication.user import ANONYMOUS, MASTERS, User, authenticated
from tiphys.apiserver.authorization.authorizer import Authorizer
from tiphys.apiserver.authorization.rbac import RbacAuthorizer
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.clock import Clock
from tiphys.base.http.messages import Query, Request, Response

SYSTEM: Final = User("system:apiserver", groups=authenticated((MASTERS,)))
_RBAC: Final = (rbac_v1.Role, rbac_v1.ClusterRole, rbac_v1.RoleBinding, rbac_v1.ClusterRoleBinding)


class Security:
    """Who asks, and whether they may."""

    def __init__(self, config: ApiServerConfig, registry: Registry, feed: WatchCache, clock: Clock) -> None:
        self._config = config
        self.rbac = RbacAuthorizer()
        self.authorizer = Authorizer(self.rbac)
        for kind in _RBAC:
            self._follow(kind, feed)

    def start(self) -> None:
        """Called once the caches are filled."""

    def authenticate(self, request: Request) -> Any:
        """The request's user. Raises ApiError 401."""
        peer = request.peer_certificate
        if peer is not None:
            return User(peer.common_name, groups=authenticated(peer.organizations))
        return ANONYMOUS

    def authorize(self, user: Any, info: RequestInfo, query: Query | None = None) -> None:
        """Raises ApiError 403 unless the user may."""
        self.authorizer.check_request(user, info, query)

    def serve_path(self, request: Request) -> Response | None:
        """Paths about identities; None for others."""
        return None

    def _follow(self, kind: type[Any], feed: WatchCache) -> None:
        cache = feed.caches["rbac.authorization.k8s.io", f"{kind.__name__.lower()}s"]

        def follow(event: CacheEvent) -> None:
            if event.current is not None:
                self.rbac.upsert(codec.decode(kind, cache.format.full(event.current)))
            elif event.previous is not None:
                self.rbac.remove(codec.decode(kind, cache.format.full(event.previous)))

        cache.listen(follow)
