"""Questions about users and their rights, which are answered and not stored."""

from __future__ import annotations

from typing import Any

from tiphys.api import errors
from tiphys.api.types.authentication_v1 import SelfSubjectReview, TokenRequest, TokenReview
from tiphys.api.types.authorization_v1 import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from tiphys.apiserver.authentication.reviews import self_subject_review, token_review
from tiphys.apiserver.authorization import reviews
from tiphys.apiserver.registry import field_managers
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.security import Security
from tiphys.base.http.messages import Request


class Reviews:
    """One method a kind; each answers the review with its status. Raises ApiError."""

    def __init__(self, security: Security, context: Context) -> None:
        self._security = security
        self._context = context

    async def token(self, review: TokenReview, request: Request, info: RequestInfo, options: WriteOptions) -> Any:
        return token_review(self._owned(review, options), self._security.authenticator)

    async def self_subject(
        self, review: SelfSubjectReview, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        answer = self_subject_review(review, request.user)
        answer.metadata.creation_timestamp = self._context.times.now()
        return answer

    async def access(
        self, review: SubjectAccessReview, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        return reviews.subject_access_review(self._owned(review, options), self._security.authorizer)

    async def local_access(
        self, review: LocalSubjectAccessReview, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        owned = self._owned(review, options)
        return reviews.local_subject_access_review(owned, info.namespace, self._security.authorizer)

    async def self_access(
        self, review: SelfSubjectAccessReview, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        owned = self._owned(review, options)
        return reviews.self_subject_access_review(owned, request.user, self._security.authorizer)

    async def self_rules(
        self, review: SelfSubjectRulesReview, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        return reviews.self_subject_rules_review(review, request.user, self._security.authorizer)

    async def token_request(
        self, asked: TokenRequest, request: Request, info: RequestInfo, options: WriteOptions
    ) -> Any:
        """A token for the service account the path names."""
        if self._security.tokens is None:
            raise errors.route_not_found()
        now, node = self._context.clock.now(), request.user.node_name
        answer = self._security.tokens.create(info.namespace, info.name, asked, now, node=node)
        answer.metadata.name, answer.metadata.namespace = info.name, info.namespace
        answer.metadata.creation_timestamp = self._context.times.now()
        return answer

    def _owned(self, review: Any, options: WriteOptions) -> Any:
        field_managers.created(review, options.field_manager, self._context.times.now())
        return review
