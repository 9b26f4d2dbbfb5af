"""What admission completes and refuses."""

from __future__ import annotations

import asyncio

from tests.unit.apiserver.harness import Api, pod, settle

PODS = "/api/v1/namespaces/default/pods"


async def test_a_pod_gets_a_token_and_defaults(api: Api) -> None:
    spec = (await api.create(PODS, pod("a")))["spec"]
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert volume["name"] == mount["name"] and mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert (spec["serviceAccountName"], spec["serviceAccount"], spec["priority"]) == ("default", "default", 0)
    assert [t["key"] for t in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


async def test_a_pod_may_decline_the_token(api: Api) -> None:
    spec = (await api.create(PODS, pod("a", automountServiceAccountToken=False)))["spec"]
    assert "volumes" not in spec
    account = {"metadata": {"name": "shy"}, "automountServiceAccountToken": False}
    await api.create("/api/v1/namespaces/default/serviceaccounts", account)
    assert "volumes" not in (await api.create(PODS, pod("b", serviceAccountName="shy")))["spec"]


async def test_pull_secrets_come_from_the_account(api: Api) -> None:
    account = {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "s"}]}
    await api.create("/api/v1/namespaces/default/serviceaccounts", account)
    spec = (await api.create(PODS, pod("a", serviceAccountName="puller")))["spec"]
    assert spec["imagePullSecrets"] == [{"name": "s"}]


async def test_a_pod_waits_for_its_namespaces_account(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "fresh"}})
    creating = asyncio.ensure_future(api.start("POST", "/api/v1/namespaces/fresh/pods", pod("a")))
    await settle()
    assert not creating.done()
    await api.create("/api/v1/namespaces/fresh/serviceaccounts", {"metadata": {"name": "default"}})
    await api.clock.advance(0.2)
    assert (await creating).status == 201


async def test_it_does_not_wait_for_ever(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "fresh"}})
    creating = asyncio.ensure_future(api.start("POST", "/api/v1/namespaces/fresh/pods", pod("a")))
    for _ in range(12):
        await api.clock.advance(0.1)
    assert (await creating).status == 403


async def test_a_missing_namespace(api: Api) -> None:
    answer = await api.call("POST", "/api/v1/namespaces/nope/configmaps", {"metadata": {"name": "a"}})
    assert (answer.status, answer.body["message"]) == (404, 'namespaces "nope" not found')


async def test_priority_classes(api: Api) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await api.create(classes, {"metadata": {"name": "high"}, "value": 1000})
    assert (await api.create(PODS, pod("a", priorityClassName="high")))["spec"]["priority"] == 1000
    await api.create(classes, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
    spec = (await api.create(PODS, pod("b")))["spec"]
    assert (spec["priorityClassName"], spec["priority"]) == ("usual", 5)
    second = await api.call("POST", classes, {"metadata": {"name": "x"}, "value": 6, "globalDefault": True})
    assert second.status == 403 and "Only one default can exist" in second.body["message"]
    wrong = await api.call("POST", PODS, pod("c", priorityClassName="high", priority=7))
    assert wrong.status == 403


async def test_limit_ranges_default_and_bound(api: Api) -> None:
    item = {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}
    ranges = "/api/v1/namespaces/default/limitranges"
    await api.create(ranges, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})
    created = await api.create(PODS, pod("a"))
    assert created["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    assert created["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    }
    greedy = [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}]
    answer = await api.call("POST", PODS, pod("b", containers=greedy))
    assert answer.status == 403
    assert "maximum cpu usage per Container is 1, but limit is 2" in answer.body["message"]


async def test_runtime_classes(api: Api) -> None:
    runtime = {
        "metadata": {"name": "vm"},
        "handler": "kata",
        "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}},
    }
    await api.create("/apis/node.k8s.io/v1/runtimeclasses", runtime)
    spec = (await api.create(PODS, pod("a", runtimeClassName="vm")))["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "10m"}, {"vm": "yes"})
    missing = await api.call("POST", PODS, pod("b", runtimeClassName="nope"))
    assert missing.status == 403 and 'RuntimeClass "nope" not found' in missing.body["message"]


async def test_default_classes(api: Api) -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage = {"metadata": {"name": "fast", "annotations": annotations}, "provisioner": "x.io/p"}
    await api.create("/apis/storage.k8s.io/v1/storageclasses", storage)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    claim = await api.create(claims, {"metadata": {"name": "c"}, "spec": spec})
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_new_nodes_are_tainted(api: Api) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "n"}})
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_some_namespaces_stay(api: Api) -> None:
    answer = await api.call("DELETE", "/api/v1/namespaces/kube-system")
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
