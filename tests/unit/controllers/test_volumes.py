"""Decisions about claims and volumes, and what a claim counts for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.simulation.controllers.storage_objects import claim, storage_class, volume
from tiphys.api import local_path
from tiphys.api import persistent_volumes as facts
from tiphys.api.quota import of_claim
from tiphys.api.types.core_v1 import (
    Node,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    Volume,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.controllers.localpath.reconcile import Refused, is_ours, least_used, provisioned
from tiphys.controllers.persistentvolume import binding
from tiphys.controllers.persistentvolume.reconcile import (
    ClaimDecision,
    Surroundings,
    decide_claim,
    decide_volume,
)
from tiphys.controllers.volumeprotection.reconcile import is_used
from tiphys.testing import builders


def known(obj: Any, uid: str, **status: Any) -> Any:
    return replace(obj, metadata=replace(obj.metadata, uid=uid), status=replace(obj.status, **status))


CLAIM: PersistentVolumeClaim = known(claim("c"), "uid-c", phase="Pending")
LATE = storage_class("late", "example.org/p", delayed=True)
NOW = storage_class("now", "example.org/p")


def free(name: str, size: str = "1Gi", **fields: Any) -> PersistentVolume:
    found: PersistentVolume = known(volume(name, size, **fields), f"uid-{name}", phase="Available")
    return found


def decided(of: PersistentVolumeClaim, *volumes: PersistentVolume, users: tuple[Pod, ...] = ()) -> ClaimDecision:
    by_name = {v.metadata.name or "": v for v in volumes}
    classes = {"late": LATE, "now": NOW}
    around = Surroundings(by_name.get, lambda _: volumes, classes.get, lambda: None, lambda _: users)
    return decide_claim(of, around)


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (free("v", "500Mi"), "too small"),
        (free("v", storage_class="other"), "another class"),
        (free("v", volume_mode="Block"), "another mode"),
        (free("v", access_modes=("ReadOnlyMany",)), "other access"),
        (free("v", claim_ref=ObjectReference(name="d", namespace="x")), "kept for another"),
        (free("v", claim_ref=ObjectReference(name="c", namespace="x", uid="old")), "a namesake's"),
        (replace(free("v"), status=replace(free("v").status, phase="Released")), "not free"),
    ],
)
def test_a_volume_that_will_not_do(unfit: PersistentVolume, why: str) -> None:
    decision = decided(CLAIM, unfit)
    assert decision.bind is None and decision.phase == "Pending", why


def test_the_least_is_wasted() -> None:
    volumes = (
        free("many-modes", access_modes=("ReadWriteOnce", "ReadOnlyMany")),
        free("large", "9Gi"),
        free("fits", "2Gi"),
    )
    found = decided(CLAIM, *volumes).bind
    assert found is not None and found.metadata.name == "fits"
    kept = free("kept", "9Gi", claim_ref=ObjectReference(name="c", namespace="x"))
    found = decided(CLAIM, *volumes, kept).bind
    assert found is not None and found.metadata.name == "kept"


def test_labels_select() -> None:
    wanted = replace(CLAIM, spec=replace(CLAIM.spec, selector=LabelSelector(match_labels={"tier": "gold"})))
    assert decided(wanted, free("v")).bind is None
    assert decided(wanted, free("v", labels={"tier": "gold"})).bind is not None


def test_a_claim_that_waits_for_a_pod_is_bound_to_what_is_kept_for_it_only() -> None:
    late = replace(CLAIM, spec=replace(CLAIM.spec, storage_class_name="late"))
    waiting = decided(late, free("v", storage_class="late"))
    assert waiting.bind is None and waiting.events[0].reason == "WaitForFirstConsumer"
    kept = free("v", storage_class="late", claim_ref=ObjectReference(name="c", namespace="x", uid="uid-c"))
    assert decided(late, kept).bind is kept
    annotations = {facts.SELECTED_NODE: "n"}
    selected = replace(late, metadata=replace(late.metadata, annotations=annotations))
    assert decided(selected, free("v", storage_class="late")).provisioner == "example.org/p"


def test_binding_is_done_once() -> None:
    held = binding.claimed(free("v"), CLAIM)
    assert held.spec.claim_ref is not None and held.spec.claim_ref.uid == "uid-c"
    assert binding.claimed(held, CLAIM) is held
    taken = binding.bound(CLAIM, held)
    assert binding.bound(taken, held) is taken and facts.is_bound(taken)
    shown = binding.claim_status(taken, "Bound", held)
    assert binding.claim_status(shown, "Bound", held) is shown
    # Once bound, the capacity is the resizer's.
    grown = replace(held, spec=replace(held.spec, capacity={"storage": facts.Quantity("2Gi")}))
    assert binding.claim_status(shown, "Bound", grown) is shown
    assert binding.released(held).spec.claim_ref is None
    person = free("v", claim_ref=ObjectReference(name="c", namespace="x"))
    back = binding.released(binding.claimed(person, CLAIM)).spec.claim_ref
    assert back is not None and (back.name, back.uid) == ("c", None)


@pytest.mark.parametrize(
    ("policy", "provisioner", "phase", "reason"),
    [
        ("Retain", "", "Released", ""),
        ("Delete", "example.org/p", "Released", ""),
        ("Delete", "", "Failed", "VolumeFailedDelete"),
        ("Delete", "kubernetes.io/gce-pd", "Failed", "VolumeFailedDelete"),
        ("Recycle", "", "Failed", "VolumeFailedRecycle"),
        ("Shred", "", "Failed", "VolumeUnknownReclaimPolicy"),
    ],
)
def test_what_becomes_of_a_volume_whose_claim_is_gone(policy: str, provisioner: str, phase: str, reason: str) -> None:
    annotations = {facts.PROVISIONED_BY: provisioner} if provisioner else {}
    made = free("v", persistent_volume_reclaim_policy=policy, annotations=annotations)
    decision = decide_volume(binding.claimed(made, CLAIM), None)
    assert (decision.phase, [e.reason for e in decision.events]) == (phase, [reason] if reason else [])


def test_a_volume_claimed_in_vain_is_free_again() -> None:
    held = binding.claimed(free("v"), CLAIM)
    elsewhere = replace(CLAIM, spec=replace(CLAIM.spec, volume_name="other"))
    decision = decide_volume(held, elsewhere)
    assert decision.unbind and decision.phase == "Available"
    made = binding.claimed(free("v", annotations={facts.PROVISIONED_BY: "p"}), CLAIM)
    made = replace(made, spec=replace(made.spec, persistent_volume_reclaim_policy="Delete"))
    assert decide_volume(made, elsewhere).phase == "Released"


def test_only_pods_with_a_node_use_a_claim() -> None:
    source = PersistentVolumeClaimVolumeSource(claim_name="c")

    def user(node: str) -> Pod:
        made = builders.pod("p", namespace="x", node=node)
        return replace(made, spec=replace(made.spec, volumes=(Volume(name="v", persistent_volume_claim=source),)))

    assert is_used(CLAIM, [user("n")]) and not is_used(CLAIM, [user("")])


def rooted(name: str, **fields: Any) -> Node:
    made = builders.node(name, **fields)
    annotations = {local_path.ROOT_ANNOTATION: "/data"}
    return replace(made, metadata=replace(made.metadata, annotations=annotations))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"access_modes": ("ReadWriteMany",)}, "only supports ReadWriteOnce"),
        ({"volume_mode": "Block"}, "mode Filesystem"),
        ({"selector": LabelSelector()}, "selector is not supported"),
    ],
)
def test_what_a_directory_cannot_be(change: dict[str, Any], words: str) -> None:
    wanted = replace(CLAIM, spec=replace(CLAIM.spec, **change))
    found = provisioned(wanted, NOW, rooted("n"), "n")
    assert isinstance(found, Refused) and words in found.message and not found.elsewhere


def test_where_directories_are_made() -> None:
    local = storage_class("local-path", local_path.PROVISIONER, delayed=True)
    asked = {facts.STORAGE_PROVISIONER: local_path.PROVISIONER}
    wanted = replace(CLAIM, metadata=replace(CLAIM.metadata, annotations=asked))
    assert not is_ours(wanted, local), "not before a node is selected"
    wanted = replace(wanted, metadata=replace(wanted.metadata, annotations={**asked, facts.SELECTED_NODE: "n"}))
    assert is_ours(wanted, local) and not is_ours(wanted, NOW)
    made = provisioned(wanted, local, rooted("n"), "n")
    assert isinstance(made, PersistentVolume) and made.spec.local is not None
    assert (made.metadata.name, made.spec.local.path) == ("pvc-uid-c", "/data/pvc-uid-c")
    for node in (None, builders.node("n")):
        refused = provisioned(wanted, local, node, "n")
        assert isinstance(refused, Refused) and refused.elsewhere
    busy = least_used([rooted("a"), rooted("b"), builders.node("c")], {"a": 1})
    assert busy is not None and busy.metadata.name == "b"


def test_claims_count_in_quotas_by_class_too() -> None:
    counted = of_claim(claim("c", "3Gi", storage_class="fast"))
    assert counted["requests.storage"] == counted["fast.storageclass.storage.k8s.io/requests.storage"] == 3 << 30
    assert counted["persistentvolumeclaims"] == counted["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == 1
    old = claim("c", storage_class=None, annotations={facts.CLASS_ANNOTATION: "old"})
    assert "old.storageclass.storage.k8s.io/requests.storage" in of_claim(old)
