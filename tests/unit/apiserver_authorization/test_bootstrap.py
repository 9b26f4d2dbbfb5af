"""The roles a cluster starts with agree with what a running upstream has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.apiserver_authorization.cluster import authorizer
from tiphys.api import codec
from tiphys.apiserver.authentication.user import ANONYMOUS, User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.bootstrap import objects

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "bootstrap.json"
PREFIX = "/apis/rbac.authorization.k8s.io/v1/"
NEWER = {"system:controller:device-taint-eviction-controller"}
"""Upstream's, of a controller that the recorded version had switched off."""


def ours() -> dict[tuple[str, str, str], dict[str, Any]]:
    found = {}
    for obj in objects():
        data = codec.to_dict(obj)
        kind = data.pop("kind")
        del data["apiVersion"]
        found[f"{kind.lower()}s", data["metadata"].get("namespace", ""), data["metadata"]["name"]] = data
    return found


@pytest.mark.skipif(not REFERENCE.exists(), reason="reference/bootstrap.json is not here")
def test_all_of_upstreams_are_there_and_the_rest_is_named_as_ours() -> None:
    rest = ours()
    for path, recorded in json.loads(REFERENCE.read_bytes()).items():
        if not path.startswith(PREFIX):
            continue
        for obj in recorded:
            expected = {key: value for key, value in obj.items() if value is not None}
            metadata = obj["metadata"]
            assert rest.pop((path.removeprefix(PREFIX), metadata.get("namespace", ""), metadata["name"])) == expected
    assert {name for _, _, name in rest if not name.startswith("tiphys:")} == NEWER


@pytest.mark.parametrize(
    ("user", "attributes", "allowed"),
    [
        (ANONYMOUS, Attributes("get", path="/healthz"), True),
        (ANONYMOUS, Attributes("get", path="/version"), True),
        (ANONYMOUS, Attributes("get", path="/api"), False),
        (ANONYMOUS, Attributes("list", "", "pods"), False),
        (User("x", groups=("system:authenticated",)), Attributes("get", path="/apis/apps/v1"), True),
        (User("system:kube-scheduler"), Attributes("create", "", "pods", "binding", "ns", "p"), True),
        (User("system:kube-scheduler"), Attributes("delete", "", "secrets", "", "ns", "s"), False),
        (
            User("system:kube-controller-manager"),
            Attributes("update", "apps", "deployments", "status", "ns", "d"),
            True,
        ),
        (User("system:kube-controller-manager"), Attributes("create", "", "pods", "", "ns"), True),
        (User("system:kube-proxy"), Attributes("watch", "discovery.k8s.io", "endpointslices"), True),
        (
            User("system:serviceaccount:kube-system:kube-dns"),
            Attributes("watch", "discovery.k8s.io", "endpointslices"),
            True,
        ),
    ],
)
def test_components_have_what_they_need(user: User, attributes: Attributes, allowed: bool) -> None:
    assert authorizer(*objects()).allowed(user, attributes) is allowed
