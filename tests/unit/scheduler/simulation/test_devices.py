"""Claims for devices in simulations: made for new pods, given back by drained ones."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.objects import node
from tests.unit.scheduler.simulation.workloads import owned, workload
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import Add, Cordon, Drain, Uncordon, what_if

REQUEST = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu"}}]}}


def gpus(node_name: str, count: int) -> ResourceSlice:
    pool = {"name": node_name, "generation": 1, "resourceSliceCount": 1}
    devices = [{"name": f"gpu-{number}"} for number in range(count)]
    spec = {"driver": "gpus", "nodeName": node_name, "pool": pool, "devices": devices}
    return from_dict(ResourceSlice, {"metadata": {"name": f"{node_name}-gpus"}, "spec": spec})


def hardware() -> list[Any]:
    return [node("a"), node("b"), from_dict(DeviceClass, {"metadata": {"name": "gpu"}}), gpus("a", 2), gpus("b", 1)]


def test_a_workloads_pods_have_claims_of_their_own() -> None:
    template = from_dict(
        ResourceClaimTemplate, {"metadata": {"name": "gpu", "namespace": "default"}, "spec": {"spec": REQUEST}}
    )
    claims = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
    outcome = what_if(
        Snapshot([*hardware(), template]),
        [Add((workload("Deployment", "train", 4, cpu="100m", resourceClaims=claims),))],
    )
    assert sorted(placed.node for placed in outcome.placements) == ["a", "a", "b"]
    assert [pending.plugins for pending in outcome.pending] == [("DynamicResources",)]


def test_a_drained_pods_own_claim_is_made_again_with_it() -> None:
    template = from_dict(
        ResourceClaimTemplate, {"metadata": {"name": "gpu", "namespace": "default"}, "spec": {"spec": REQUEST}}
    )
    claims = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
    added = Add((workload("Deployment", "train", 1, cpu="100m", resourceClaims=claims),))
    changes = (Cordon("a"), added, Uncordon("a"), Drain("b"))
    outcome = what_if(Snapshot([*hardware(), template]), changes, one_by_one=True)
    (placed,) = outcome.placements
    assert (placed.cause, placed.node) == ("drained", "a")


def test_a_drained_pod_gives_its_device_back_and_gets_another() -> None:
    held = {"driver": "gpus", "pool": "a", "device": "gpu-0", "request": "one"}
    status = {
        "allocation": {"devices": {"results": [held]}, "nodeSelector": _only("a")},
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "uid-p"}],
    }
    claim = from_dict(
        ResourceClaim,
        {"metadata": {"name": "mine", "namespace": "default", "uid": "c"}, "spec": REQUEST, "status": status},
    )
    asks = from_dict(
        Pod, {"spec": {"resourceClaims": [{"name": "gpu", "resourceClaimName": "mine"}]}}
    ).spec.resource_claims
    pod = owned("p", "ReplicaSet", "web", node_name="a")
    pod = replace(pod, spec=replace(pod.spec, resource_claims=asks))
    outcome = what_if(Snapshot([*hardware(), claim, pod]), [Drain("a")])
    assert [placed.node for placed in outcome.placements] == ["b"]


def _only(name: str) -> dict[str, Any]:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
    return {"nodeSelectorTerms": [term]}
