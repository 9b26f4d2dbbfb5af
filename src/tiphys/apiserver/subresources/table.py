"""Which subresources and unstored resources there are."""

from __future__ import annotations

import ssl
from typing import Any, Final

from tiphys.api.types import authentication_v1, authorization_v1, core_v1, policy_v1
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.security import Security
from tiphys.apiserver.streaming.kubelets import Kubelets
from tiphys.apiserver.subresources.binding import Binder
from tiphys.apiserver.subresources.component_statuses import ComponentStatuses
from tiphys.apiserver.subresources.eviction import Evictor
from tiphys.apiserver.subresources.posting import Posting
from tiphys.apiserver.subresources.proxies import Proxy
from tiphys.apiserver.subresources.reviews import Reviews
from tiphys.apiserver.subresources.scale import ScaleSubresource
from tiphys.apiserver.subresources.streams import PodStream
from tiphys.base.http.tls import client_context

_SCALED: Final = (
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("", "replicationcontrollers"),
)


def add_subresources(
    registry: Registry, security: Security, lookup: Lookup, config: ApiServerConfig
) -> Kubelets | None:
    """Serve them all. Returns the connections to kubelets, which are to be closed with the server."""
    context = registry.context
    pods = registry.endpoint("", "v1", "pods")
    for group, plural in _SCALED:
        endpoint = registry.endpoint(group, "v1", plural)
        endpoint.subresources["scale"] = ScaleSubresource(endpoint)
    binder = Binder(pods, context)
    binding = Posting(core_v1.Binding, binder.bind)
    pods.subresources["binding"] = binding
    registry.add_unstored("", "v1", "bindings", binding)
    registry.add_unstored("", "v1", "componentstatuses", ComponentStatuses(context.feed))
    kubelet_tls = _kubelet_tls(config)
    kubelets = Kubelets(kubelet_tls) if kubelet_tls is not None else None
    for name in ("log", "exec", "attach", "portforward"):
        pods.subresources[name] = PodStream(name, pods, lookup, kubelets)
    for plural in ("pods", "services", "nodes"):
        registry.endpoint("", "v1", plural).subresources["proxy"] = Proxy(plural, lookup, kubelet_tls)
    evictor = Evictor(pods, registry.endpoint("policy", "v1", "poddisruptionbudgets"), lookup, context)
    pods.subresources["eviction"] = Posting(policy_v1.Eviction, evictor.evict)
    reviews = Reviews(security, context)
    accounts = registry.endpoint("", "v1", "serviceaccounts")
    accounts.subresources["token"] = Posting(authentication_v1.TokenRequest, reviews.token_request)
    unstored: tuple[tuple[str, str, type[Any], Any], ...] = (
        ("authentication.k8s.io", "tokenreviews", authentication_v1.TokenReview, reviews.token),
        ("authentication.k8s.io", "selfsubjectreviews", authentication_v1.SelfSubjectReview, reviews.self_subject),
        ("authorization.k8s.io", "subjectaccessreviews", authorization_v1.SubjectAccessReview, reviews.access),
        (
            "authorization.k8s.io",
            "localsubjectaccessreviews",
            authorization_v1.LocalSubjectAccessReview,
            reviews.local_access,
        ),
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews",
            authorization_v1.SelfSubjectAccessReview,
            reviews.self_access,
        ),
        (
            "authorization.k8s.io",
            "selfsubjectrulesreviews",
            authorization_v1.SelfSubjectRulesReview,
            reviews.self_rules,
        ),
    )
    for group, plural, struct, act in unstored:
        registry.add_unstored(group, "v1", plural, Posting(struct, act))
    return kubelets


def _kubelet_tls(config: ApiServerConfig) -> ssl.SSLContext | None:
    """Who the server is to kubelets; None if it was given no certificate for that."""
    if not config.kubelet_client_certificate:
        return None
    return client_context(
        ca=config.kubelet_ca or config.client_ca,
        certificate=config.kubelet_client_certificate,
        key=config.kubelet_client_key,
    )
