"""Users: what is made in the cluster, and what is refused before anything is."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.unit.cmd.test_join import Cluster
from tests.unit.cmd.test_join import _cluster as _cluster
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, LimitRange, Namespace, ResourceQuota
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import RoleBinding
from tiphys.client import Client
from tiphys.client.config import ClientConfig
from tiphys.cmd.administration import columns
from tiphys.cmd.config import ConfigError
from tiphys.cmd.pki import kubeconfig_text
from tiphys.cmd.user_quota import Quota
from tiphys.cmd.users import ENFORCE, UserOptions, create_user, remove_user


async def test_a_user_has_a_certificate_rights_and_a_guarded_namespace(cluster: Cluster) -> None:
    options = UserOptions("jane", "web", "edit", days=30, quota=Quota(cpu="200m", pods="3"))
    identity = await create_user(cluster.client, options)
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    assert certificate.subject.rfc4514_string() == "CN=jane"
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.days == 30
    jane = Client.from_config(
        ClientConfig(cluster.url, cluster.ca, client_cert_data=identity.certificate, client_key_data=identity.key)
    )
    try:
        await jane.create(ConfigMap(metadata=ObjectMeta(name="mine", namespace="web")))
        with pytest.raises(ApiError, match="cannot list resource"):
            await jane.list(ConfigMap, "default")
    finally:
        await jane.close()
    assert (await cluster.client.get(Namespace, "web")).metadata.labels[ENFORCE] == "baseline"
    hard = (await cluster.client.get(ResourceQuota, "tiphys-user", "web")).spec.hard
    assert hard == {"requests.cpu": "200m", "limits.cpu": "200m", "pods": "3"}
    [limits] = (await cluster.client.get(LimitRange, "tiphys-user", "web")).spec.limits
    assert (limits.default, limits.default_request) == ({"cpu": "200m"}, {"cpu": "100m"})


async def test_again_changes_what_is_different_and_keeps_what_an_administrator_chose(cluster: Cluster) -> None:
    made = Namespace(metadata=ObjectMeta(name="web", labels={ENFORCE: "restricted"}))
    await cluster.client.create(made)
    await create_user(cluster.client, UserOptions("jane", "web", "view", quota=Quota(pods="3")))
    await create_user(cluster.client, UserOptions("jane", "web", "admin", quota=Quota(pods="5")))
    assert (await cluster.client.get(Namespace, "web")).metadata.labels[ENFORCE] == "restricted"
    assert (await cluster.client.get(RoleBinding, "tiphys:user:jane", "web")).role_ref.name == "admin"
    assert (await cluster.client.get(ResourceQuota, "tiphys-user", "web")).spec.hard == {"pods": "5"}


async def test_who_is_removed_has_no_rights_anywhere(cluster: Cluster) -> None:
    for name, namespace in (("jane", "a"), ("jane", "b"), ("jan", "a")):
        await create_user(cluster.client, UserOptions(name, namespace, "view"))
    assert await remove_user(cluster.client, "jane") == ["a", "b"]
    left = (await cluster.client.list(RoleBinding, label_selector="tiphys.io/user-binding")).items
    assert [binding.metadata.name for binding in left] == ["tiphys:user:jan"]
    assert await remove_user(cluster.client, "jane") == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "system:admin"}, "is no name for a user"),
        ({"name": ""}, "is no name for a user"),
        ({"namespace": "A"}, "is no name of a namespace"),
        ({"role": "cluster-admin"}, "one of view, edit, admin"),
        ({"pod_security": "none"}, "one of privileged, baseline, restricted"),
        ({"days": 0}, "must be 1 at least"),
    ],
)
def test_what_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        UserOptions(**{"name": "jane", "namespace": "web", "role": "edit", **change})


@pytest.mark.parametrize("wrong", [{"cpu": "x"}, {"memory": "-1"}, {"pods": "0"}])
def test_quotas_are_positive(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="is not a positive quantity"):
        Quota(**wrong)


async def test_a_kubeconfig_stands_alone(cluster: Cluster) -> None:
    identity = await create_user(cluster.client, UserOptions("jane", "web", "view"))
    document = yaml.safe_load(kubeconfig_text(cluster.url, cluster.ca, identity, "jane", namespace="web"))
    assert document["contexts"][0]["context"] == {"cluster": "tiphys", "user": "jane", "namespace": "web"}
    assert base64.b64decode(document["users"][0]["user"]["client-key-data"]) == identity.key


def test_columns_are_never_cut() -> None:
    assert columns(("A", "B"), [("x" * 90, "y"), ("z", "")]) == f"A{' ' * 92}B\n{'x' * 90}   y\nz"
