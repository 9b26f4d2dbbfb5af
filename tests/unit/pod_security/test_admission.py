"""What a namespace's labels do to its pods, to templates, and to namespaces themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver.harness import Api

KEY = "pod-security.kubernetes.io/"
PODS = "/api/v1/namespaces/ns/pods"


async def namespace(api: Api, **labels: str) -> None:
    given = {KEY + mode.replace("_", "-"): level for mode, level in labels.items()}
    await api.create("/api/v1/namespaces", {"metadata": {"name": "ns", "labels": given}})
    await api.create("/api/v1/namespaces/ns/serviceaccounts", {"metadata": {"name": "default"}})


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "i"}], **spec}}


async def test_pods_below_the_level_are_refused(api: Api) -> None:
    await namespace(api, enforce="baseline", warn="restricted")
    refused = await api.call("POST", PODS, pod(hostNetwork=True))
    assert (refused.status, refused.body["message"]) == (
        403,
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
    )
    assert not any("PodSecurity" in warning for warning in refused.warnings)
    taken = await api.call("POST", PODS, pod())
    assert taken.status == 201
    assert any('would violate PodSecurity \\"restricted:latest\\": allowPriv' in text for text in taken.warnings)


async def test_a_debug_container_is_no_way_around(api: Api) -> None:
    await namespace(api, enforce="baseline")
    stored = await api.create(PODS, pod())
    stored["spec"]["ephemeralContainers"] = [
        {"name": "d", "image": "i", "securityContext": {"privileged": True}, "terminationMessagePolicy": "File"}
    ]
    refused = await api.call("PUT", f"{PODS}/p/ephemeralcontainers", stored)
    assert refused.status == 403 and 'privileged (container "d"' in refused.body["message"]


async def test_templates_are_warned_of_and_not_refused(api: Api) -> None:
    await namespace(api, enforce="baseline", warn="baseline", warn_version="v1.30")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod(hostPID=True)["spec"]}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    answer = await api.call("POST", "/apis/apps/v1/namespaces/ns/deployments", body)
    assert answer.status == 201
    assert any('would violate PodSecurity \\"baseline:v1.30\\": host namespaces' in text for text in answer.warnings)


@pytest.mark.parametrize(
    ("label", "value", "says"),
    [
        ("enforce", "strict", "must be one of privileged, baseline, restricted"),
        ("warn-version", "1.30", 'must be "latest" or "v1.x"'),
    ],
)
async def test_labels_that_mean_nothing(api: Api, label: str, value: str, says: str) -> None:
    body = {"metadata": {"name": "ns", "labels": {KEY + label: value}}}
    answer = await api.call("POST", "/api/v1/namespaces", body)
    assert answer.status == 422 and says in answer.body["message"]


async def test_a_tightened_namespace_names_the_pods_that_stay(api: Api) -> None:
    await namespace(api)
    for name in ("one", "two"):
        await api.create(PODS, pod(name, hostNetwork=True))
    patch = {"metadata": {"labels": {KEY + "enforce": "baseline"}}}
    answer = await api.call("PATCH", "/api/v1/namespaces/ns", patch, "application/merge-patch+json")
    assert answer.status == 200
    assert [text.partition(" - ")[2] for text in answer.warnings] == [
        '"existing pods in namespace \\"ns\\" violate the new PodSecurity enforce level \\"baseline:latest\\""',
        '"one (and 1 other pod): host namespaces"',
    ]
