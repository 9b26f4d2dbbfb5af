"""scale, binding, eviction, tokens, reviews, ephemeral containers, streams."""

from __future__ import annotations

from typing import Any

from tests.unit.apiserver.harness import Api, pod
from tiphys.base.http.messages import PeerIdentity

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


async def test_scale_reads_and_writes_replicas(api: Api) -> None:
    created = await api.create(DEPLOYMENTS, deployment("d"))
    scale = await api.get(f"{DEPLOYMENTS}/d/scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "a=b")
    scale["spec"]["replicas"] = 4
    assert (await api.call("PUT", f"{DEPLOYMENTS}/d/scale", scale)).body["spec"] == {"replicas": 4}
    stale = await api.call("PUT", f"{DEPLOYMENTS}/d/scale", scale)
    assert stale.status == 409
    patched = await api.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 0}}, MERGE)
    assert patched.body["spec"] == {}
    stored = await api.get(f"{DEPLOYMENTS}/d")
    assert stored["spec"]["replicas"] == 0 and stored["metadata"]["generation"] == 3
    owners = {entry.get("subresource") for entry in stored["metadata"]["managedFields"]}
    assert owners == {None, "scale"} and stored["metadata"]["uid"] == created["metadata"]["uid"]


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.create(PODS, pod("a"))
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
    answer = await api.call("POST", f"{PODS}/a/binding", binding)
    assert (answer.status, answer.body["status"]) == (201, "Success")
    bound = await api.get(f"{PODS}/a")
    (condition,) = bound["status"]["conditions"]
    assert bound["spec"]["nodeName"] == "n1"
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = await api.call("POST", "/api/v1/namespaces/default/bindings", binding)
    assert (again.status, again.body["message"]) == (
        409,
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"',
    )


async def test_a_gated_or_deleted_pod_is_not_bound(api: Api) -> None:
    binding = {"target": {"kind": "Node", "name": "n"}}
    await api.create(PODS, pod("g", schedulingGates=[{"name": "x.io/g"}]))
    assert (await api.call("POST", f"{PODS}/g/binding", binding)).status == 409
    assert (await api.call("POST", f"{PODS}/nope/binding", binding)).status == 404


async def test_eviction_asks_the_budget(api: Api) -> None:
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}
    await api.create(budgets, {"metadata": {"name": "pdb"}, "spec": spec})
    await api.create(PODS, {**pod("p", nodeName="n"), "metadata": {"name": "p", "labels": {"a": "b"}}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.call("PATCH", f"{PODS}/p/status", {"status": ready}, MERGE)
    status: dict[str, Any] = {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1}
    await api.call("PATCH", f"{budgets}/pdb/status", {"status": {**status, "disruptionsAllowed": 0}}, MERGE)
    refused = await api.call("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert refused.status == 429
    assert refused.body["details"]["causes"][0]["reason"] == "DisruptionBudget"
    await api.call("PATCH", f"{budgets}/pdb/status", {"status": {"disruptionsAllowed": 1}}, MERGE)
    assert (await api.call("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})).status == 201
    assert (await api.get(f"{PODS}/p"))["metadata"]["deletionTimestamp"]
    left = (await api.get(f"{budgets}/pdb"))["status"]
    assert left["disruptionsAllowed"] == 0 and list(left["disruptedPods"]) == ["p"]


async def test_a_token_opens_the_api(api: Api) -> None:
    target = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = (await api.create(target, {"spec": {"expirationSeconds": 600}}))["status"]["token"]
    header = {"authorization": f"Bearer {token}"}
    me = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, peer=None, headers=header)
    assert me.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    refused = await api.call("GET", PODS, peer=None, headers=header)
    assert refused.status == 403
    bad = await api.call("GET", PODS, peer=None, headers={"authorization": "Bearer nope"})
    assert bad.status == 401


async def test_a_node_gets_tokens_of_its_own_pods_only(api: Api) -> None:
    target = "/api/v1/namespaces/default/serviceaccounts/default/token"
    for name in ("own", "foreign"):
        spec = {"nodeName": name, "containers": [{"name": "c", "image": "i"}]}
        await api.create(PODS, {"metadata": {"name": name}, "spec": spec})
    kubelet = PeerIdentity("system:node:own", ("system:nodes",), "cc")

    async def ask(name: str, uid: str | None = None) -> tuple[int, str]:
        if uid is None:
            uid = (await api.get(f"{PODS}/{name}"))["metadata"]["uid"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}
        answer = await api.call("POST", target, {"spec": {"boundObjectRef": bound}}, peer=kubelet)
        return answer.status, answer.body.get("message", "")

    unbound = await api.call("POST", target, {"spec": {}}, peer=kubelet)
    assert unbound.status == 403 and "not bound to a pod" in unbound.body["message"]
    status, message = await ask("foreign")
    assert status == 403 and "different node" in message
    status, message = await ask("own", "")
    assert status == 403 and "without a uid" in message
    assert (await ask("own"))[0] == 201


async def test_reviews_answer(api: Api) -> None:
    asked = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
    mine = await api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)
    assert mine["status"]["allowed"] is True
    other = {"spec": {**asked["spec"], "user": "nobody"}}
    theirs = await api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", other)
    assert theirs["status"]["allowed"] is False


async def test_nobody_grants_what_they_have_not(api: Api) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    rule = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}
    await api.create(roles, {"metadata": {"name": "maker"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
    }
    await api.create(roles.replace("roles", "rolebindings"), binding)
    jane = PeerIdentity("jane", (), "bb")
    more = {"metadata": {"name": "x"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]}
    assert (await api.call("POST", roles, more, peer=jane)).status == 403
    same = {"metadata": {"name": "y"}, "rules": [rule]}
    assert (await api.call("POST", roles, same, peer=jane)).status == 201


async def test_ephemeral_containers_have_their_own_door(api: Api) -> None:
    await api.create(PODS, pod("a"))
    patch = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}], "nodeName": "x"}}
    strategic = "application/strategic-merge-patch+json"
    answer = await api.call("PATCH", f"{PODS}/a/ephemeralcontainers", patch, strategic)
    spec = answer.body["spec"]
    assert [c["name"] for c in spec["ephemeralContainers"]] == ["debug"] and "nodeName" not in spec
    assert answer.body["metadata"]["generation"] == 2


async def test_logs_of_a_pod_that_runs_nowhere_are_empty(api: Api) -> None:
    await api.create(PODS, pod("a"))
    answer = await api.call("GET", f"{PODS}/a/log")
    assert (answer.status, answer.response.body) == (200, b"")
    assert (await api.call("GET", f"{PODS}/a/log?container=x")).status == 400


async def test_a_proxy_needs_a_backend(api: Api) -> None:
    services = "/api/v1/namespaces/default/services"
    await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    answer = await api.call("GET", f"{services}/s/proxy/")
    assert (answer.status, answer.body["message"]) == (503, 'no endpoints available for service "s"')
    moved = await api.call("GET", f"{services}/s/proxy")
    assert moved.status == 301


async def test_the_store_is_a_component(api: Api) -> None:
    answer = await api.call("GET", "/api/v1/componentstatuses")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["etcd-0"]
    assert answer.warnings == ['299 - "v1 ComponentStatus is deprecated in v1.19+"']
    assert (await api.call("GET", "/api/v1/componentstatuses/nope")).status == 404


async def test_a_proxy_connects_to_pods_only_and_never_to_its_own_machine(api: Api) -> None:
    await api.create(PODS, pod("a"))
    for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"):
        await api.call("PATCH", f"{PODS}/a/status", {"status": {"podIP": address, "podIPs": [{"ip": address}]}}, MERGE)
        answer = await api.call("GET", f"{PODS}/a/proxy/")
        assert (answer.status, answer.body["message"]) == (400, "address not allowed")
    services = "/api/v1/namespaces/default/services"
    await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    piece = {
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.1.2.3"]},
            {"addresses": ["10.1.2.4"], "targetRef": {"kind": "Pod", "name": "a", "namespace": "default"}},
        ],
        "ports": [{"name": "", "port": 80}],
    }
    await api.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", piece)
    answer = await api.call("GET", f"{services}/s/proxy/")
    assert (answer.status, answer.body["message"]) == (503, 'no endpoints available for service "s"')
