"""TokenReview and SelfSubjectReview: telling others, or oneself, who somebody is."""

from __future__ import annotations

import msgspec

from tiphys.api import errors
from tiphys.api.field_errors import required
from tiphys.api.types.authentication_v1 import (
    SelfSubjectReview,
    SelfSubjectReviewStatus,
    TokenReview,
    TokenReviewStatus,
)
from tiphys.apiserver.authentication.authenticator import Authenticator
from tiphys.apiserver.authentication.service_account_tokens import InvalidToken
from tiphys.apiserver.authentication.user import User


def token_review(review: TokenReview, authenticator: Authenticator) -> TokenReview:
    """`review` with its status. A bad token is an answer, not an error; no token is ApiError 422."""
    token = review.spec.token
    if not token:
        problem = required("spec.token")
        raise errors.invalid("TokenReview.authentication.k8s.io", "", [problem])
    wanted = review.spec.audiences
    user: User | None = None
    audiences: tuple[str, ...] = ()
    if wanted and not any(audience in authenticator.audiences for audience in wanted):
        try:
            claims = authenticator.verify(token.encode(), wanted)
        except (InvalidToken, UnicodeEncodeError):
            pass
        else:
            user, audiences = claims.user(), claims.audiences
    else:
        user = authenticator.of_token(token.encode())
        audiences = tuple(a for a in authenticator.audiences if not wanted or a in wanted)
    if user is None:
        status = TokenReviewStatus(error="[invalid bearer token, Token has been invalidated]")
    else:
        status = TokenReviewStatus(authenticated=True, user=user.info(), audiences=audiences)
    return msgspec.structs.replace(review, status=status)


def self_subject_review(review: SelfSubjectReview, user: User) -> SelfSubjectReview:
    """Who the requester is."""
    return msgspec.structs.replace(review, status=SelfSubjectReviewStatus(user_info=user.info()))
