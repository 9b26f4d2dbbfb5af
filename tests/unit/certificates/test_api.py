"""What the API does with certificate signing requests: who asks, who decides, what may change."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api
from tests.unit.certificates.requests import CLIENT, KUBELET, PATH, SERVING, body, pem
from tiphys.base.http.messages import PeerIdentity

JANE = PeerIdentity("jane", ("devs",), "bb")
NODE = PeerIdentity("system:node:n1", ("system:nodes",), "cc")
MANAGER = PeerIdentity("system:kube-controller-manager", (), "dd")
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def grant(api: Api, user: str, *rules: dict[str, Any]) -> None:
    name = f"test-{user}"
    role = {"metadata": {"name": name}, "rules": list(rules)}
    await api.create(f"{RBAC}/clusterroles", role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await api.create(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    )


def signers(verb: str, *names: str) -> dict[str, Any]:
    return {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "verbs": [verb],
        "resourceNames": list(names),
    }


WRITE = {
    "apiGroups": ["certificates.k8s.io"],
    "resources": [
        "certificatesigningrequests",
        "certificatesigningrequests/approval",
        "certificatesigningrequests/status",
    ],
    "verbs": ["*"],
}


def condition(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": "Test", **more}


async def change(api: Api, subresource: str, status: dict[str, Any], peer: PeerIdentity | None = None) -> Any:
    stored = await api.get(f"{PATH}/r")
    stored["status"] = {**stored["status"], **status}
    options = {"peer": peer} if peer else {}
    return await api.call("PUT", f"{PATH}/r/{subresource}", stored, **options)


async def test_the_server_writes_down_who_asks(api: Api) -> None:
    await grant(api, "jane", WRITE)
    forged = {"username": "admin", "groups": ["system:masters"], "uid": "1", "extra": {"a": ["b"]}}
    answer = await api.call("POST", PATH, body(**forged), peer=JANE)
    spec = answer.body["spec"]
    assert (spec["username"], spec["groups"]) == ("jane", ["devs", "system:authenticated"])
    assert spec["extra"] == {"authentication.kubernetes.io/credential-id": ["X509SHA256=bb"]} and "uid" not in spec
    assert answer.body["status"] == {}


async def test_what_is_asked_does_not_change_and_a_new_request_is_not_approved(api: Api) -> None:
    made = await api.create(PATH, {**body(), "status": {"conditions": [condition("Approved")]}})
    assert made["status"] == {}
    made["spec"]["usages"] = ["server auth"]
    answer = await api.call("PUT", f"{PATH}/r", made)
    assert answer.body["spec"]["usages"] == ["client auth"]


async def test_conditions_get_times(api: Api) -> None:
    await api.create(PATH, body())
    first = (await change(api, "approval", {"conditions": [condition("Approved")]})).body["status"]["conditions"][0]
    assert first["lastUpdateTime"] == first["lastTransitionTime"]
    await api.clock.advance(60)
    again = (await change(api, "approval", {"conditions": [condition("Approved", message="m")]})).body
    second = again["status"]["conditions"][0]
    assert second["lastTransitionTime"] == first["lastTransitionTime"] != second["lastUpdateTime"]


@pytest.mark.parametrize("name", [CLIENT, "kubernetes.io/*"])
async def test_approving_needs_the_right_to_approve_for_the_signer(api: Api, name: str) -> None:
    await grant(api, "jane", WRITE)
    await api.create(PATH, body())
    refused = await change(api, "approval", {"conditions": [condition("Approved")]}, JANE)
    assert (refused.status, refused.body["message"]) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with '
        f'signerName "{CLIENT}"',
    )
    await api.call("DELETE", f"{RBAC}/clusterrolebindings/test-jane")
    await api.call("DELETE", f"{RBAC}/clusterroles/test-jane")
    await grant(api, "jane", WRITE, signers("approve", name))
    assert (await change(api, "approval", {"conditions": [condition("Approved")]}, JANE)).status == 200


async def test_signing_needs_the_right_to_sign(api: Api) -> None:
    await grant(api, "jane", WRITE, signers("approve", CLIENT))
    await api.create(PATH, body())
    status = {"conditions": [condition("Failed")]}
    refused = await change(api, "status", status, JANE)
    assert "user not permitted to sign requests with signerName" in refused.body["message"]
    assert (await change(api, "status", {}, JANE)).status == 200  # nothing changes
    assert (await change(api, "status", status, MANAGER)).status == 200


async def test_what_is_decided_stays_decided(api: Api) -> None:
    await api.create(PATH, body())
    await change(api, "approval", {"conditions": [condition("Approved")]})
    both = await change(api, "approval", {"conditions": [condition("Approved"), condition("Denied")]})
    assert "Approved and Denied conditions are mutually exclusive" in both.body["message"]
    none = await change(api, "approval", {"conditions": []})
    assert 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"' in none.body["message"]
    unknown = await change(api, "approval", {"conditions": [{"type": "Approved", "status": "False"}]})
    assert (
        'status.conditions[0].status: Unsupported value: "False": supported values: "True"' in unknown.body["message"]
    )


async def test_a_signer_does_not_approve_and_an_approver_does_not_sign(api: Api) -> None:
    await api.create(PATH, body())
    added = await change(api, "status", {"conditions": [condition("Approved")]})
    assert 'updates may not add a condition of type "Approved"' in added.body["message"]
    certificate = base64.b64encode(b"anything").decode()
    approved = await change(api, "approval", {"certificate": certificate, "conditions": [condition("Approved")]})
    assert "certificate" not in approved.body["status"]


async def test_a_certificate_is_pem_and_set_once(api: Api) -> None:
    await api.create(PATH, body())
    for content, says in (
        (b"nothing", "must contain at least one CERTIFICATE PEM block"),
        (b"-----BEGIN PRIVATE KEY-----\n", 'only CERTIFICATE PEM blocks are allowed, found \\"PRIVATE KEY\\"'),
    ):
        refused = await change(api, "status", {"certificate": base64.b64encode(content).decode()})
        assert refused.status == 422 and says in refused.response.body.decode()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"request": base64.b64encode(b"x").decode()}, "spec.request: Invalid value"),
        ({"usages": []}, "spec.usages: Required value"),
        ({"signerName": "kubernetes.io/legacy-unknown"}, "the legacy signerName is not allowed"),
        ({"expirationSeconds": 599}, "may not specify a duration less than 600 seconds (10 minutes)"),
    ],
)
async def test_malformed_requests(api: Api, spec: dict[str, Any], says: str) -> None:
    answer = await api.call("POST", PATH, body(**spec))
    assert answer.status == 422 and says in answer.body["message"]


async def test_nobody_becomes_master_by_a_certificate(api: Api) -> None:
    answer = await api.call("POST", PATH, body(request=pem("me", ("system:masters",))))
    assert answer.status == 403
    assert f"use of {CLIENT} signer with system:masters group is not allowed" in answer.body["message"]


@pytest.mark.parametrize("signer", [KUBELET, SERVING])
async def test_a_node_asks_for_itself_only(api: Api, signer: str) -> None:
    usages = ["digital signature", "client auth" if signer == KUBELET else "server auth"]
    other = body(signerName=signer, usages=usages, request=pem("system:node:n2", ("system:nodes",)))
    answer = await api.call("POST", PATH, other, peer=NODE)
    assert answer.status == 403 and "can only create a node CSR with CN=system:node:n1" in answer.body["message"]
    own = body(signerName=signer, usages=usages, request=pem("system:node:n1", ("system:nodes",)))
    assert (await api.call("POST", PATH, own, peer=NODE)).status == 201
