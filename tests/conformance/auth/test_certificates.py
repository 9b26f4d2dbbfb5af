"""The API of certificate signing requests and of access reviews, behaviour by behaviour."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from tests.unit.apiserver.harness import Api
from tests.unit.certificates.requests import PATH, body
from tiphys.cmd.certificates import Authority, Profile
from tiphys.testing.clock import FakeClock

MERGE = "application/merge-patch+json"


def certificate(tmp_path: Any) -> str:
    now = datetime.fromtimestamp(FakeClock().now(), UTC)
    authority = Authority.load_or_create(tmp_path / "ca.crt", tmp_path / "ca.key", "test", now)
    return base64.b64encode(authority.issue(Profile("e2e"), now).certificate).decode()


async def test_csr_api_operations(api: Api, tmp_path: Any) -> None:
    """[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]"""
    groups = (await api.get("/apis"))["groups"]
    assert any(group["name"] == "certificates.k8s.io" for group in groups)
    resources = (await api.get("/apis/certificates.k8s.io/v1"))["resources"]
    verbs = {resource["name"]: set(resource["verbs"]) for resource in resources}
    all_verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert verbs["certificatesigningrequests"] == all_verbs
    for part in ("approval", "status"):
        assert verbs[f"certificatesigningrequests/{part}"] == {"get", "patch", "update"}

    asked = body("csr-1", signerName="example.com/e2e-1") | {}
    asked["metadata"]["labels"] = {"example-e2e-test-label": "1"}
    made = await api.create(PATH, asked)
    assert (await api.get(f"{PATH}/csr-1"))["metadata"]["uid"] == made["metadata"]["uid"]
    selected = f"{PATH}?labelSelector=example-e2e-test-label%3D1"
    assert len((await api.get(selected))["items"]) == 1
    watch = await api.watch(f"{selected}&watch=1&resourceVersion={made['metadata']['resourceVersion']}")

    annotate = {"metadata": {"annotations": {"patched": "true"}}}
    patched = (await api.call("PATCH", f"{PATH}/csr-1", annotate, MERGE)).body
    assert patched["metadata"]["annotations"]["patched"] == "true"
    patched["metadata"]["annotations"]["updated"] = "true"
    updated = await api.call("PUT", f"{PATH}/csr-1", patched)
    assert updated.body["metadata"]["annotations"] == {"patched": "true", "updated": "true"}

    assert (await api.get(f"{PATH}/csr-1/approval"))["metadata"]["uid"] == made["metadata"]["uid"]
    change = {
        "metadata": {"annotations": {"patchedapproval": "true"}},
        "status": {"conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]},
    }
    approval = (await api.call("PATCH", f"{PATH}/csr-1/approval", change, MERGE)).body
    assert approval["status"]["conditions"][0]["type"] == "ApprovalPatch"
    assert approval["metadata"]["annotations"]["patchedapproval"] == "true"
    approval["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "E2E"})
    approved = (await api.call("PUT", f"{PATH}/csr-1/approval", approval)).body
    assert {condition["type"] for condition in approved["status"]["conditions"]} == {"ApprovalPatch", "Approved"}

    assert (await api.get(f"{PATH}/csr-1/status"))["metadata"]["uid"] == made["metadata"]["uid"]
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": certificate(tmp_path)}}
    status = (await api.call("PATCH", f"{PATH}/csr-1/status", change, MERGE)).body
    assert status["status"]["certificate"] == change["status"]["certificate"]  # type: ignore[index]
    assert status["metadata"]["annotations"]["patchedstatus"] == "true"
    status["status"]["conditions"].append({"type": "StatusUpdate", "status": "True", "reason": "E2E"})
    changed = (await api.call("PUT", f"{PATH}/csr-1/status", status)).body
    assert {c["type"] for c in changed["status"]["conditions"]} == {"ApprovalPatch", "Approved", "StatusUpdate"}

    assert (await api.call("DELETE", f"{PATH}/csr-1")).status == 200
    assert (await api.call("GET", f"{PATH}/csr-1")).status == 404
    await api.create(PATH, asked | {"metadata": {"name": "csr-2", "labels": {"example-e2e-test-label": "1"}}})
    assert (await api.call("DELETE", selected)).status == 200
    assert (await api.get(selected))["items"] == []
    kinds = [kind for kind, _ in watch.events]
    assert kinds.count("MODIFIED") == 6 and kinds.count("DELETED") == 2


async def test_access_reviews(api: Api) -> None:
    """[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]"""
    account = "system:serviceaccount:default:default"
    attributes = {"verb": "list", "resource": "pods", "namespace": "default"}
    path = "/apis/authorization.k8s.io/v1"
    review = {"spec": {"user": account, "resourceAttributes": attributes}}
    answer = await api.create(f"{path}/subjectaccessreviews", review)
    assert answer["status"]["allowed"] is False
    local = await api.create(f"{path}/namespaces/default/localsubjectaccessreviews", {
        "metadata": {"namespace": "default"}, **review,
    })  # fmt: skip
    assert local["status"]["allowed"] is answer["status"]["allowed"]
