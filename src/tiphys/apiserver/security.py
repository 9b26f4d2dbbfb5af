"""Authentication and authorization as the server uses them, fed from the caches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tiphys.api import codec
from tiphys.api.types import core_v1, rbac_v1, storage_v1
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.authentication.authenticator import Authenticator
from tiphys.apiserver.authentication.bootstrap_tokens import BootstrapTokens
from tiphys.apiserver.authentication.front_proxy import FrontProxies
from tiphys.apiserver.authentication.impersonation import Wanted, impersonate, impersonates
from tiphys.apiserver.authentication.service_account_tokens import TokenKey
from tiphys.apiserver.authentication.token_requests import TokenRequests
from tiphys.apiserver.authentication.user import MASTERS, User, authenticated
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.authorizer import Authorizer
from tiphys.apiserver.authorization.bootstrap import node_rules
from tiphys.apiserver.authorization.node import NodeAuthorizer
from tiphys.apiserver.authorization.rbac import RbacAuthorizer
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.http.messages import Query, Request, Response

SYSTEM: Final = User("system:apiserver", groups=authenticated((MASTERS,)))
_RBAC: Final = (rbac_v1.Role, rbac_v1.ClusterRole, rbac_v1.RoleBinding, rbac_v1.ClusterRoleBinding)


def _front_proxies(config: ApiServerConfig) -> FrontProxies | None:
    ca = config.requestheader_client_ca
    return FrontProxies(ca, config.client_ca, config.requestheader_allowed_names) if ca else None


class CachedObjects:
    """What tokens are bound to and nodes may read, from the caches."""

    def __init__(self, lookup: Lookup, feed: WatchCache) -> None:
        self._lookup = lookup
        self._pods = feed.caches["", "pods"]

    def service_account(self, namespace: str, name: str) -> core_v1.ServiceAccount | None:
        return self._lookup.get(core_v1.ServiceAccount, name, namespace)

    def secret(self, namespace: str, name: str) -> core_v1.Secret | None:
        return self._lookup.get(core_v1.Secret, name, namespace)

    def node(self, name: str) -> core_v1.Node | None:
        return self._lookup.get(core_v1.Node, name)

    def claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim | None:
        return self._lookup.get(core_v1.PersistentVolumeClaim, name, namespace)

    def volume(self, name: str) -> core_v1.PersistentVolume | None:
        return self._lookup.get(core_v1.PersistentVolume, name)

    def attachment(self, name: str) -> storage_v1.VolumeAttachment | None:
        return self._lookup.get(storage_v1.VolumeAttachment, name)

    def pod(self, key: str, name: str = "") -> core_v1.Pod | None:
        """By ``namespace/name``, or by both apart."""
        namespace, _, last = key.rpartition("/")
        return self._lookup.get(core_v1.Pod, name or last, key if name else namespace)

    def pods_on(self, node_name: str) -> Iterable[tuple[str, int]]:
        return [(obj.key, obj.revision) for obj in self._pods.triggered(node_name)]


class Security:
    """Who asks, and whether they may.

    `tokens` answers TokenRequests, None without a signing key.
    """

    def __init__(self, config: ApiServerConfig, context: Context, lookup: Lookup) -> None:
        objects = CachedObjects(lookup, context.feed)
        self.rbac = RbacAuthorizer()
        self.authorizer = Authorizer(self.rbac, NodeAuthorizer(objects, node_rules()))
        self._key: TokenKey | None = None
        self.tokens: TokenRequests | None = None
        if config.service_account_signing_key:
            self._key = TokenKey(
                config.service_account_signing_key,
                config.service_account_issuer,
                config.api_audiences,
                other_public_pems=config.service_account_keys,
            )
            self.tokens = TokenRequests(self._key, objects, context.new_uid)
        static = {token: User(name, "", authenticated(groups)) for token, (name, groups) in config.tokens.items()}
        self.authenticator = Authenticator(
            context.clock,
            key=self._key,
            objects=objects,
            static_tokens=static,
            allow_anonymous=config.anonymous,
            bootstrap=BootstrapTokens(objects.secret, context.clock),
            front_proxies=_front_proxies(config),
        )
        for kind in _RBAC:
            self._follow(kind, context.feed)

    def authenticate(self, request: Request) -> User:
        """The user the request is served as. Raises ApiError 401, or 403 for an impersonation that is not allowed."""
        user = self.authenticator.authenticate(request)
        if impersonates(request.headers):
            return impersonate(request, user, self._may_impersonate)
        return user

    def authorize(self, user: Any, info: RequestInfo, query: Query | None = None) -> None:
        """Raises ApiError 403 unless the user may."""
        self.authorizer.check_request(user, info, query)

    @property
    def paths(self) -> tuple[str, ...]:
        """What `serve_path` answers, for the index at ``/``."""
        return () if self._key is None else ("/.well-known/openid-configuration", "/openid/v1/jwks")

    def serve_path(self, request: Request) -> Response | None:
        """The documents by which others verify tokens; None for other paths."""
        if self._key is None:
            return None
        if request.path == "/.well-known/openid-configuration":
            host = request.headers.get(b"host").decode("latin-1") or "kubernetes.default.svc"
            return Response(200, self._key.configuration(f"https://{host}/openid/v1/jwks"))
        if request.path == "/openid/v1/jwks":
            return Response(200, self._key.key_set(), "application/jwk-set+json")
        return None

    def _may_impersonate(self, user: User, wanted: Wanted) -> None:
        self.authorizer.check(
            user,
            Attributes(
                "impersonate", wanted.group, wanted.resource, wanted.subresource, wanted.namespace, wanted.name, "v1"
            ),
        )

    def _follow(self, kind: type[Any], feed: WatchCache) -> None:
        cache = feed.caches["rbac.authorization.k8s.io", f"{kind.__name__.lower()}s"]

        def follow(event: CacheEvent) -> None:
            if event.current is not None:
                self.rbac.upsert(codec.decode(kind, event.current.value))
            elif event.previous is not None:
                self.rbac.remove(codec.decode(kind, event.previous.value))

        cache.listen(follow)
