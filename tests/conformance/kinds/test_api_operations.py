"""Kinds that conformance asks to be found by discovery and to know every verb."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import lifecycle
from tests.conformance.kinds.bodies import BODIES
from tests.conformance.kinds.lifecycle import Life
from tests.conformance.kinds.rows import resource_of

ADMISSION, FLOW = "admissionregistration.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1"
POD = {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
Operate = Any


@pytest.fixture
def operate(server: RunningServer, api_client: ApiClient, namespace: str) -> Operate:
    """A function that takes a kind through discovery and every verb."""
    dynamic = DynamicClient(api_client)

    def run(kind: str) -> None:
        life = Life(server, dynamic, resource_of(kind), BODIES[kind], namespace)
        check_discovery(server, kind)
        for check in (
            lifecycle.check_create_and_read,
            lifecycle.check_change,
            lifecycle.check_watch,
            lifecycle.check_collection,
        ):
            check(life)
        if life.body.status:
            lifecycle.check_status(life)

    return run


def check_discovery(server: RunningServer, kind: str) -> None:
    """The group is among the groups, the version in the group, the resource in the version."""
    resource = resource_of(kind)
    groups = {group["name"]: group for group in server.raw("GET", "/apis").json["groups"]}
    versions = [version["groupVersion"] for version in groups[resource.group]["versions"]]
    assert resource.api_version in versions
    group = server.raw("GET", f"/apis/{resource.group}").json
    assert resource.api_version in [version["groupVersion"] for version in group["versions"]]
    served = {entry["name"]: entry for entry in server.raw("GET", f"/apis/{resource.api_version}").json["resources"]}
    assert served[resource.plural]["kind"] == resource.kind
    assert sorted(served[resource.plural]["verbs"]) == sorted(resource.verbs)
    if BODIES[kind].status:
        assert sorted(served[f"{resource.plural}/status"]["verbs"]) == ["get", "patch", "update"]


def test_flow_schemas(operate: Operate) -> None:
    """ "[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]" """
    operate(f"{FLOW}/FlowSchema")


def test_priority_levels(operate: Operate) -> None:
    """
    "[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations
    [Conformance]"
    """
    operate(f"{FLOW}/PriorityLevelConfiguration")


def test_validating_policies(operate: Operate) -> None:
    """
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy
    API operations [Conformance]"
    """
    operate(f"{ADMISSION}/ValidatingAdmissionPolicy")


def test_validating_policy_bindings(operate: Operate) -> None:
    """
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support
    ValidatingAdmissionPolicyBinding API operations [Conformance]"
    """
    operate(f"{ADMISSION}/ValidatingAdmissionPolicyBinding")


def test_runtime_classes(operate: Operate) -> None:
    """ "[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]" """
    operate("node.k8s.io/v1/RuntimeClass")


def test_leases(operate: Operate) -> None:
    """ "[sig-node] Lease lease API should be available [Conformance]" """
    operate("coordination.k8s.io/v1/Lease")


def test_priority_classes(operate: Operate, server: RunningServer) -> None:
    """
    "[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be
    operated with different HTTP methods [Conformance]"
    """
    operate("scheduling.k8s.io/v1/PriorityClass")
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    manifest = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "fixed"},
        "value": 9,
    }
    made = server.raw("POST", path, manifest)
    try:
        answer = server.raw("PUT", f"{path}/fixed", {**made.json, "value": 10})
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.message.endswith("value: Forbidden: may not be changed in an update.")
    finally:
        assert server.raw("DELETE", f"{path}/fixed").status == 200


def test_volume_attributes_classes(operate: Operate) -> None:
    """
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a
    VolumeAttributesClass [Conformance]"
    """
    operate("storage.k8s.io/v1/VolumeAttributesClass")


class TestRuntimeClasses:
    """What a pod that names one gets from it."""

    def make(self, server: RunningServer, name: str, **change: Any) -> None:
        manifest = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "h"}
        answer = server.raw("POST", "/apis/node.k8s.io/v1/runtimeclasses", {**manifest, **change})
        assert answer.status == 201, answer.body

    def pod(self, server: RunningServer, namespace: str, runtime_class: str, **spec: Any) -> Any:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "p-"},
            "spec": {**POD, "runtimeClassName": runtime_class, **spec},
        }
        return server.raw("POST", f"/api/v1/namespaces/{namespace}/pods", manifest)

    def test_one_that_is_not(self, server: RunningServer, namespace: str) -> None:
        """ "[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance]
        [Conformance]" """
        answer = self.pod(server, namespace, "nowhere")
        assert (answer.status, answer.reason) == (403, "Forbidden")
        assert answer.message.endswith('is forbidden: pod rejected: RuntimeClass "nowhere" not found')

    def test_one_that_was(self, server: RunningServer, namespace: str) -> None:
        """ "[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance]
        [Conformance]" """
        self.make(server, "leaving")
        assert self.pod(server, namespace, "leaving").status == 201
        assert server.raw("DELETE", "/apis/node.k8s.io/v1/runtimeclasses/leaving").status == 200
        assert self.pod(server, namespace, "leaving").status == 403

    def test_overhead_and_placement(self, server: RunningServer, namespace: str) -> None:
        """A pod has its class's overhead and placement, and may not say otherwise."""
        tolerated = {"key": "a", "operator": "Exists"}
        self.make(
            server,
            "heavy",
            overhead={"podFixed": {"cpu": "10m", "memory": "1Mi"}},
            scheduling={"nodeSelector": {"kind": "heavy"}, "tolerations": [tolerated]},
        )
        spec = self.pod(server, namespace, "heavy").json["spec"]
        assert spec["overhead"] == {"cpu": "10m", "memory": "1Mi"}
        assert spec["nodeSelector"] == {"kind": "heavy"}
        assert tolerated in spec["tolerations"]
        refused = self.pod(server, namespace, "heavy", overhead={"cpu": "1"})
        assert (refused.status, refused.reason) == (403, "Forbidden")
        assert "Pod's Overhead doesn't match RuntimeClass's defined Overhead" in refused.message
        elsewhere = self.pod(server, namespace, "heavy", nodeSelector={"kind": "light"})
        assert elsewhere.status == 403
        assert "conflict: runtimeClass.scheduling.nodeSelector[kind] = heavy" in elsewhere.message


def test_token_review(server: RunningServer, namespace: str) -> None:
    """ "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview
    [Conformance]" """
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reviewed"}}
    assert server.raw("POST", accounts, account).status == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = server.raw("POST", f"{accounts}/reviewed/token", asked).json["status"]["token"]

    def review(**spec: Any) -> Any:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = server.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        assert answer.status == 201, answer.body
        return answer.json["status"]

    found = review(token=token)
    assert found["authenticated"] is True
    assert found["user"]["username"] == f"system:serviceaccount:{namespace}:reviewed"
    assert f"system:serviceaccounts:{namespace}" in found["user"]["groups"]
    other = review(token=token, audiences=["somebody-else"])
    assert not other.get("authenticated")
