"""Where a volume is attached, and when it may be taken away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.kubelet.player import pod
from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, PersistentVolume, Pod
from tiphys.controllers.attachdetach.reconcile import (
    FORCE_DETACH_SECONDS,
    Attachment,
    Decision,
    Place,
    decide,
    is_shared,
    multi_attach_message,
    place_of,
    wants,
)

HERE = Attachment("va-a", attached=True)


def decided(wanted: set[str], attachments: dict[str, Attachment], **more: Any) -> Decision:
    places = more.pop("places", {name: Place() for name in attachments})
    return decide(wanted, attachments, places, more.pop("unwanted", {}), shared=more.pop("shared", False))


def test_a_volume_is_attached_where_it_is_wanted() -> None:
    assert decided({"a"}, {}) == Decision(attach=("a",))
    assert decided({"a"}, {"a": HERE}) == Decision()
    assert decided(set(), {}) == Decision()


def test_one_node_at_a_time_unless_it_may_be_shared() -> None:
    assert decided({"a", "b"}, {"a": HERE}) == Decision(blocked=("b",))
    assert decided({"a", "b"}, {}) == Decision(attach=("a",), blocked=("b",))
    assert decided({"a", "b"}, {"a": HERE}, shared=True) == Decision(attach=("b",))


def test_even_an_attachment_that_is_going_keeps_others_away() -> None:
    going = Attachment("va-a", attached=True, deleting=True)
    assert decided({"b"}, {"a": going}) == Decision(blocked=("b",))
    assert decided({"a"}, {"a": going}) == Decision()


def test_what_is_wanted_no_more_is_left_and_then_detached() -> None:
    assert decided(set(), {"a": HERE}) == Decision(leave=("a",), detach=("a",))


def test_nothing_in_use_is_detached() -> None:
    in_use = {"a": Place(in_use=True)}
    assert decided(set(), {"a": HERE}, places=in_use) == Decision(leave=("a",), again_seconds=FORCE_DETACH_SECONDS)
    late = {"a": FORCE_DETACH_SECONDS + 1}
    assert decided(set(), {"a": HERE}, places=in_use, unwanted=late) == Decision(leave=("a",))


def test_but_from_nodes_that_are_gone_out_of_service_or_not_ready_for_long() -> None:
    gone = Decision(leave=("a",), detach=("a",))
    assert decided(set(), {"a": HERE}, places={}) == gone
    assert decided(set(), {"a": HERE}, places={"a": Place(in_use=True, out_of_service=True)}) == gone
    sick = {"a": Place(in_use=True, healthy=False)}
    early, late = {"a": FORCE_DETACH_SECONDS - 10}, {"a": FORCE_DETACH_SECONDS}
    assert decided(set(), {"a": HERE}, places=sick, unwanted=early) == Decision(leave=("a",), again_seconds=10.0)
    assert decided(set(), {"a": HERE}, places=sick, unwanted=late) == gone


def with_status(subject: Pod, **status: Any) -> Pod:
    return codec.from_dict(Pod, {**codec.to_dict(subject), "status": status})


def test_pods_want_their_volumes_until_nothing_of_them_runs() -> None:
    placed = pod({"nodeName": "a"})
    assert wants(placed)
    assert not wants(pod())
    assert not wants(with_status(placed, phase="Succeeded"))
    deleted = pod({"nodeName": "a"}, deletionTimestamp="2026-01-01T00:00:00Z")
    running = {"name": "web", "image": "", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}
    ended = {**running, "state": {"terminated": {"exitCode": 0}}}
    assert wants(deleted)
    assert wants(with_status(deleted, containerStatuses=[running]))
    assert not wants(with_status(deleted, containerStatuses=[ended]))


@pytest.mark.parametrize(
    ("modes", "shared"),
    [(["ReadWriteOnce"], False), (["ReadWriteOncePod"], False), (["ReadWriteOnce", "ReadOnlyMany"], True), ([], False)],
)
def test_access_modes(modes: list[str], shared: bool) -> None:
    assert is_shared(codec.from_dict(PersistentVolume, {"spec": {"accessModes": modes}})) is shared


def test_what_a_node_says() -> None:
    node = codec.from_dict(
        Node,
        {
            "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
            "status": {"volumesInUse": ["v"], "conditions": [{"type": "Ready", "status": "Unknown"}]},
        },
    )
    assert place_of(node, "v") == Place(in_use=True, healthy=False, out_of_service=True)
    assert not place_of(node, "w").in_use


def test_a_pod_is_told_who_has_the_volume() -> None:
    waiting, other = pod(name="b"), pod(name="a")
    elsewhere = pod(name="c", namespace="other")
    prefix = 'Multi-Attach error for volume "v" Volume is already '
    assert multi_attach_message("v", waiting, [other]) == f"{prefix}used by pod(s) a"
    assert multi_attach_message("v", waiting, [elsewhere]) == f"{prefix}used by 1 pod(s) in different namespaces"
    both = f"{prefix}used by pod(s) a and 1 pod(s) in different namespaces"
    assert multi_attach_message("v", waiting, [other, elsewhere]) == both
    alone = f"{prefix}exclusively attached to one node and can't be attached to another"
    assert multi_attach_message("v", waiting, []) == alone
