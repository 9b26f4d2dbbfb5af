"""Service account tokens from request to user, and everything that ends them."""

from __future__ import annotations

import json
from typing import Any

import jwt
import msgspec
import pytest

from tests.unit.apiserver_authentication.objects import Objects
from tiphys.api.errors import ApiError
from tiphys.api.types.authentication_v1 import (
    BoundObjectReference,
    TokenRequest,
    TokenRequestSpec,
    TokenReview,
    TokenReviewSpec,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.authentication.authenticator import TRUST_SECONDS, Authenticator
from tiphys.apiserver.authentication.reviews import token_review
from tiphys.apiserver.authentication.service_account_tokens import DEFAULT_ISSUER, Claims, InvalidToken, TokenKey
from tiphys.apiserver.authentication.token_requests import TokenRequests
from tiphys.apiserver.authentication.user import User
from tiphys.base.clock import rfc3339
from tiphys.base.http.messages import Headers, Request
from tiphys.cmd.certificates import new_signing_key
from tiphys.testing.clock import FakeClock

PRIVATE, PUBLIC = new_signing_key()
POD = BoundObjectReference(kind="Pod", api_version="v1", name="p", uid="pod-uid")


class Fixture:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.objects = Objects()
        self.key = TokenKey(PRIVATE)
        self.requests = TokenRequests(self.key, self.objects, lambda: "id-1")
        self.authenticator = Authenticator(self.clock, key=self.key, objects=self.objects)

    def ask(self, **spec: object) -> TokenRequest:
        request = TokenRequest(spec=TokenRequestSpec(**spec))  # type: ignore[arg-type]
        return self.requests.create("ns", "robot", request, self.clock.now())

    def token(self, **spec: object) -> str:
        return self.ask(**spec).status.token or ""

    def user(self, token: str) -> User | None:
        return self.authenticator.of_token(token.encode())


@pytest.fixture(name="fixture")
def _fixture() -> Fixture:
    return Fixture()


def test_claims_are_upstreams(fixture: Fixture) -> None:
    now = int(fixture.clock.now())
    made = fixture.ask(bound_object_ref=POD, expiration_seconds=1200)
    claims = jwt.decode(made.status.token or "", options={"verify_signature": False})
    assert claims == {
        "aud": [DEFAULT_ISSUER],
        "exp": now + 1200,
        "iat": now,
        "iss": DEFAULT_ISSUER,
        "jti": "id-1",
        "kubernetes.io": {
            "namespace": "ns",
            "node": {"name": "n", "uid": "node-uid"},
            "pod": {"name": "p", "uid": "pod-uid"},
            "serviceaccount": {"name": "robot", "uid": "sa-uid"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:ns:robot",
    }
    assert made.status.expiration_timestamp == rfc3339(now + 1200)
    assert made.spec.audiences == (DEFAULT_ISSUER,)


def test_the_user_is_upstreams(fixture: Fixture) -> None:
    user = fixture.user(fixture.token(bound_object_ref=POD))
    assert user == User(
        "system:serviceaccount:ns:robot",
        "sa-uid",
        ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
        {
            "authentication.kubernetes.io/credential-id": ("JTI=id-1",),
            "authentication.kubernetes.io/node-name": ("n",),
            "authentication.kubernetes.io/node-uid": ("node-uid",),
            "authentication.kubernetes.io/pod-name": ("p",),
            "authentication.kubernetes.io/pod-uid": ("pod-uid",),
        },
    )


def test_pods_default_tokens_live_longer_than_they_say(fixture: Fixture) -> None:
    now = int(fixture.clock.now())
    made = fixture.ask(bound_object_ref=POD, expiration_seconds=3607)
    claims = jwt.decode(made.status.token or "", options={"verify_signature": False})
    assert claims["exp"] == now + 365 * 24 * 3600 and claims["kubernetes.io"]["warnafter"] == now + 3607
    assert made.status.expiration_timestamp == rfc3339(now + 3607)


@pytest.mark.parametrize("seconds", [0, 5, 599, (1 << 32) + 1])
def test_lifetimes_have_limits(fixture: Fixture, seconds: int) -> None:
    with pytest.raises(ApiError) as error:
        fixture.ask(expiration_seconds=seconds)
    assert error.value.code == 422 and "spec.expirationSeconds: Invalid value" in error.value.message


@pytest.mark.parametrize(
    ("reference", "code", "text"),
    [
        ({"kind": "Pod", "name": "gone"}, 404, 'pods "gone" not found'),
        ({"kind": "Pod", "name": "p", "uid": "x"}, 409, "does not match the UID in record"),
        ({"kind": "Pod", "name": "other"}, 400, "running with different serviceaccount name"),
        ({"kind": "Secret", "name": "gone"}, 404, 'secrets "gone" not found'),
        ({"kind": "Node", "name": "gone"}, 404, 'nodes "gone" not found'),
        ({"kind": "ConfigMap", "name": "c"}, 400, "cannot bind token to object of type v1, Kind=ConfigMap"),
    ],
)
def test_tokens_bind_only_to_what_exists(fixture: Fixture, reference: dict[str, str], code: int, text: str) -> None:
    with pytest.raises(ApiError) as error:
        fixture.ask(bound_object_ref=BoundObjectReference(api_version="v1", **reference))  # type: ignore[arg-type]
    assert error.value.code == code and text in error.value.message


def test_an_unknown_account_is_not_found(fixture: Fixture) -> None:
    with pytest.raises(ApiError) as error:
        fixture.requests.create("ns", "nobody", TokenRequest(), fixture.clock.now())
    assert error.value.message == 'serviceaccounts "nobody" not found'


async def test_a_token_ends_with_its_time(fixture: Fixture) -> None:
    token = fixture.token(expiration_seconds=600)
    assert fixture.user(token) is not None
    await fixture.clock.advance(599)
    assert fixture.user(token) is not None
    await fixture.clock.advance(1)
    assert fixture.user(token) is None


@pytest.mark.parametrize("gone", ["accounts", "pods"])
async def test_a_token_ends_with_what_it_is_bound_to(fixture: Fixture, gone: str) -> None:
    token = fixture.token(bound_object_ref=POD)
    assert fixture.user(token) is not None
    getattr(fixture.objects, gone).clear()
    await fixture.clock.advance(TRUST_SECONDS)
    assert fixture.user(token) is None


async def test_a_recreated_account_is_another(fixture: Fixture) -> None:
    token = fixture.token()
    account = fixture.objects.accounts["ns", "robot"]
    fixture.objects.accounts["ns", "robot"] = msgspec.structs.replace(
        account, metadata=ObjectMeta(name="robot", uid="new")
    )
    assert fixture.user(token) is None


async def test_a_deleted_pods_token_lives_on_for_a_minute(fixture: Fixture) -> None:
    token = fixture.token(bound_object_ref=POD)
    pod = fixture.objects.pods["ns", "p"]
    meta = msgspec.structs.replace(pod.metadata, deletion_timestamp=rfc3339(fixture.clock.now()))
    fixture.objects.pods["ns", "p"] = msgspec.structs.replace(pod, metadata=meta)
    assert fixture.user(token) is not None
    await fixture.clock.advance(62)
    assert fixture.user(token) is None


def test_forgeries_are_refused(fixture: Fixture) -> None:
    token = fixture.token()
    head, payload, signature = token.split(".")
    other = TokenKey(new_signing_key()[0])
    forged = TokenRequests(other, fixture.objects, lambda: "id").create(
        "ns", "robot", TokenRequest(), fixture.clock.now()
    )
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", algorithm="none")
    symmetric = jwt.encode({"iss": DEFAULT_ISSUER}, b"k" * 64, algorithm="HS256")
    for bad in (
        forged.status.token or "",
        unsigned,
        symmetric,
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload[:-4]}AAAA.{signature}",
        "a.b.c",
        "",
        "é.é.é",
    ):
        assert fixture.user(bad) is None


def test_a_forgery_that_comes_again_and_again_is_checked_once(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = fixture.token()
    forged = token[:-8] + "AAAAAAAA"
    checked: list[str] = []
    verify = fixture.key.verify

    def counting(text: str, **options: Any) -> Claims:
        checked.append(text)
        return verify(text, **options)

    monkeypatch.setattr(fixture.key, "verify", counting)
    assert [fixture.user(forged) for _ in range(50)] == [None] * 50
    assert checked == [forged]
    assert fixture.user(token) is not None
    # What is ours may become valid: that is looked at each time.
    gone = fixture.token(bound_object_ref=POD)
    fixture.objects.pods.clear()
    assert [fixture.user(gone) for _ in range(2)] == [None, None]
    assert checked[-2:] == [gone, gone]


def test_tokens_for_others_are_not_for_the_api_but_can_be_reviewed(fixture: Fixture) -> None:
    token = fixture.token(audiences=("vault",))
    assert fixture.user(token) is None
    review = TokenReview(spec=TokenReviewSpec(token=token, audiences=("vault", "x")))
    status = token_review(review, fixture.authenticator).status
    assert status.authenticated and status.audiences == ("vault",)
    assert status.user is not None and status.user.username == "system:serviceaccount:ns:robot"


def test_a_review_of_a_bad_token_is_an_answer(fixture: Fixture) -> None:
    status = token_review(TokenReview(spec=TokenReviewSpec(token="nonsense")), fixture.authenticator).status
    assert not status.authenticated and "invalid bearer token" in (status.error or "")
    with pytest.raises(ApiError) as error:
        token_review(TokenReview(), fixture.authenticator)
    assert error.value.message == 'TokenReview.authentication.k8s.io "" is invalid: spec.token: Required value'


def test_others_can_verify_with_the_published_keys(fixture: Fixture) -> None:
    token = fixture.token()
    key = jwt.PyJWKSet.from_json(fixture.key.key_set().decode())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key.key, ["ES256"], audience=DEFAULT_ISSUER, options={"verify_exp": False})
    assert claims["sub"] == "system:serviceaccount:ns:robot"
    assert json.loads(fixture.key.configuration("https://x/openid/v1/jwks"))["issuer"] == DEFAULT_ISSUER


def test_older_keys_still_verify(fixture: Fixture) -> None:
    token = fixture.token()
    rotated = TokenKey(new_signing_key()[0], other_public_pems=[PUBLIC])
    assert rotated.verify(token, now=fixture.clock.now()).bound.namespace == "ns"
    with pytest.raises(InvalidToken):
        TokenKey(new_signing_key()[0]).verify(token, now=fixture.clock.now())


def test_a_token_on_a_request_is_its_user(fixture: Fixture) -> None:
    headers = Headers([(b"Authorization", b"bearer " + fixture.token().encode())])
    user = fixture.authenticator.authenticate(Request("GET", b"/", headers))
    assert user.name == "system:serviceaccount:ns:robot"
