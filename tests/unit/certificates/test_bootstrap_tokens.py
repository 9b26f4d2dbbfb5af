"""Bootstrap tokens: as bearer tokens, as signatures of cluster-info, and their end."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.unit.apiserver.harness import Api
from tiphys.api.bootstrap_tokens import of_secret, signature, split, verifies
from tiphys.api.types.core_v1 import ConfigMap, Secret
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.cmd.token import secret_of
from tiphys.controllers.bootstrapsigner.reconcile import signed
from tiphys.controllers.tokencleaner.reconcile import goes_at

TOKEN = "abcdef.0123456789abcdef"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
START = 1_700_000_000.0


def secret(**data: str) -> Secret:
    made = secret_of(TOKEN, ttl_seconds=3600, description="", groups=(), now=START)
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return msgspec.structs.replace(made, data={**made.data, **encoded})


async def who(api: Api, token: str = TOKEN) -> Any:
    return await api.call(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        REVIEW,
        peer=None,
        headers={"authorization": f"Bearer {token}"},
    )


async def add(api: Api, made: Secret) -> None:
    await api.create(SECRETS, msgspec.to_builtins(made))


async def test_a_token_is_a_bootstrapper(api: Api) -> None:
    await add(api, secret(**{"auth-extra-groups": "system:bootstrappers:workers"}))
    user = (await who(api)).body["status"]["userInfo"]
    assert user["username"] == "system:bootstrap:abcdef"
    assert user["groups"] == ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]
    assert (await who(api, "abcdef.0000000000000000")).status == 401
    assert (await who(api, "abcdeg.0123456789abcdef")).status == 401


async def test_it_ends_when_it_expires_and_when_it_is_deleted(api: Api) -> None:
    await add(api, secret())
    assert (await who(api)).status == 201
    await api.clock.advance(3601)
    assert (await who(api)).status == 401
    await api.call("DELETE", f"{SECRETS}/bootstrap-token-abcdef")
    await add(api, secret(expiration=rfc3339(api.clock.now() + 60)))
    assert (await who(api)).status == 201
    await api.call("DELETE", f"{SECRETS}/bootstrap-token-abcdef")
    assert (await who(api)).status == 401


@pytest.mark.parametrize(
    "data",
    [
        {"usage-bootstrap-authentication": "false"},
        {"auth-extra-groups": "system:masters"},
        {"token-id": "other1"},
        {"expiration": "yesterday"},
    ],
)
async def test_what_is_not_usable_does_not_authenticate(api: Api, data: dict[str, str]) -> None:
    await add(api, secret(**data))
    assert (await who(api)).status == 401


async def test_anybody_reads_cluster_info_and_nothing_beside_it(api: Api) -> None:
    path = "/api/v1/namespaces/kube-public/configmaps"
    await api.create(path, {"metadata": {"name": "cluster-info"}})
    await api.create(path, {"metadata": {"name": "other"}})
    assert (await api.call("GET", f"{path}/cluster-info", peer=None)).status == 200
    assert (await api.call("GET", f"{path}/other", peer=None)).status == 403
    assert (await api.call("GET", path, peer=None)).status == 403


def test_texts_of_tokens() -> None:
    assert split(TOKEN) == ("abcdef", "0123456789abcdef")
    for wrong in ("", "abcdef", "ABCDEF.0123456789abcdef", TOKEN + "0", TOKEN + "\n"):
        assert split(wrong) is None


def test_signatures() -> None:
    jws = signature("content", "abcdef", "0123456789abcdef")
    # What jose makes of the same: HMAC-SHA256 over {"alg":"HS256","kid":"abcdef"} and the content.
    assert jws.startswith("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..")
    assert verifies(jws, "content", "abcdef", "0123456789abcdef")
    assert not verifies(jws, "other", "abcdef", "0123456789abcdef")
    assert not verifies(jws, "content", "abcdef", "0123456789abcdee")
    assert not verifies(jws, "content", "abcdeg", "0123456789abcdef")
    for wrong in ("", "..", "a.b.c", "!!!..x", jws.replace("..", ".x.")):
        assert not verifies(wrong, "content", "abcdef", "0123456789abcdef")


def test_cluster_info_carries_the_signatures_of_those_who_sign() -> None:
    info = ConfigMap(metadata=ObjectMeta(name="cluster-info"), data={"kubeconfig": "k", "jws-kubeconfig-gone00": "old"})
    token = of_secret(secret())
    silent = of_secret(secret(**{"usage-bootstrap-signing": "false"}))
    assert token is not None and silent is not None
    made = signed(info, [token])
    assert made is not None and set(made.data) == {"kubeconfig", "jws-kubeconfig-abcdef"}
    assert signed(made, [token]) is None
    none = signed(made, [silent])
    assert none is not None and set(none.data) == {"kubeconfig"}
    assert signed(ConfigMap(), [token]) is None


def test_when_a_token_goes() -> None:
    assert goes_at(secret()) == START + 3600
    assert goes_at(secret(expiration="nonsense")) == 0.0
    lasting = secret_of(TOKEN, ttl_seconds=0, description="", groups=(), now=START)
    assert goes_at(lasting) is None
    assert goes_at(Secret(type="Opaque", metadata=ObjectMeta(namespace="kube-system"))) is None
    assert parse_rfc3339(rfc3339(START)) == START
