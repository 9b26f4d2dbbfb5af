"""A cluster as of one moment: from objects, from files of several kinds, through the API."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import msgspec
import pytest
import yaml

from tests.unit.scheduler.objects import node, pod
from tiphys.api.codec import from_dict, to_dict
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.core_v1 import Node, Pod, PodStatus, Secret
from tiphys.api.types.meta_v1 import ManagedFieldsEntry, ObjectMeta
from tiphys.scheduler.algorithm import Placed
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.snapshot_file import SnapshotFileError, load
from tiphys.testing.control_plane import control_plane

OBJECTS = (node("b"), node("a"), pod("runs", cpu="1", node_name="a"), pod("waits", cpu="1"))


def test_what_runs_counts_on_its_node_and_what_waits_is_pending() -> None:
    snapshot = Snapshot.from_objects(OBJECTS)
    assert [info.key for info in snapshot.pending] == [("default", "waits")]
    assert snapshot.cluster.nodes.requested[snapshot.cluster.nodes.rows["a"], 0] == 1000
    decision = snapshot.algorithm().decide(snapshot.pending[0], snapshot.disruptions)
    assert decision == Placed("b")


def test_pending_pods_come_as_the_queue_would_have_them() -> None:
    young, old = pod("young"), pod("old")
    young.metadata.creation_timestamp, old.metadata.creation_timestamp = "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"
    snapshot = Snapshot.from_objects((young, old, pod("important", priority=5), pod("gone", deleted=True)))
    assert [info.key[1] for info in snapshot.pending] == ["important", "old", "young"]


def test_pods_of_other_schedulers_and_finished_ones_are_not_ours() -> None:
    finished = msgspec.structs.replace(pod("done", node_name="a", cpu="4"), status=PodStatus(phase="Succeeded"))
    snapshot = Snapshot.from_objects((node("a"), finished, pod("theirs", scheduler_name="other")))
    assert not snapshot.pending
    assert [waits.metadata.name for waits in snapshot.foreign] == ["theirs"]
    assert not snapshot.cluster.nodes.requested.any()


def test_profiles_are_known_by_the_scheduler_name() -> None:
    snapshot = Snapshot((node("a"), pod("p", scheduler_name="mine")), (lambda handle: default_profile(handle, "mine"),))
    assert [info.key[1] for info in snapshot.pending] == ["p"]
    assert snapshot.algorithm("mine", random.Random(1)).decide(snapshot.pending[0], list) == Placed("a")
    with pytest.raises(KeyError):
        snapshot.algorithm("default-scheduler")


def test_a_copy_is_as_it_was_read() -> None:
    snapshot = Snapshot.from_objects(OBJECTS)
    snapshot.cluster.place(snapshot.pending[0], "b")
    again = snapshot.copy()
    assert not again.cluster.pods_on[again.cluster.nodes.rows["b"]]
    assert len(again.pending) == 1


@pytest.mark.parametrize("name", ["cluster.jsonl", "cluster.jsonl.gz"])
def test_it_is_dumped_and_loaded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    owned = ManagedFieldsEntry(manager="kubectl")
    managed = Node(metadata=ObjectMeta(name="managed", managed_fields=(owned,)))
    secret = Secret(metadata=ObjectMeta(name="s", namespace="default"))
    assert Snapshot.from_objects((*OBJECTS, secret)).dump(path) == len(OBJECTS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert {obj.metadata.name for obj in load(path)} == {"a", "b", "runs", "waits"}
    assert list(Snapshot.load(path).of(Pod)) == [("default", "runs"), ("default", "waits")]
    with pytest.raises(SnapshotFileError, match="is there already"):
        Snapshot.from_objects(OBJECTS).dump(path)
    (tmp_path / "one.json").write_text(json.dumps(to_dict(managed)))
    assert load(tmp_path / "one.json")[0].metadata.managed_fields == ()


def test_what_containers_run_is_not_written(tmp_path: Path) -> None:
    told = {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "kept": "yes"}
    container = {
        "name": "c",
        "image": "i",
        "command": ["run"],
        "args": ["hunter2"],
        "env": [{"name": "P", "value": "hunter2"}],
    }
    spec = {"containers": [container], "initContainers": [container]}
    metadata = {"name": "x", "namespace": "default", "annotations": told}
    made = [
        from_dict(Pod, {"metadata": metadata, "spec": spec}),
        from_dict(Deployment, {"metadata": metadata, "spec": {"template": {"spec": spec}}}),
    ]
    path = tmp_path / "cluster.jsonl"
    Snapshot.from_objects(made).dump(path)
    assert "hunter2" not in path.read_text()
    found = load(path)
    assert [obj.metadata.annotations for obj in found] == [{"kept": "yes"}] * 2
    assert found[1].spec.template.spec.containers[0].image == "i"


@pytest.mark.parametrize("form", ["json", "yaml", "gz", "documents"])
def test_what_kubectl_prints_is_read(tmp_path: Path, form: str) -> None:
    items = [to_dict(obj) for obj in OBJECTS]
    items[0]["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    written = {
        "json": json.dumps(listed, indent=2).encode(),
        "yaml": yaml.safe_dump(listed).encode(),
        "gz": gzip.compress(json.dumps(listed).encode()),
        "documents": yaml.safe_dump_all(items).encode(),
    }[form]
    path = tmp_path / "file"
    path.write_bytes(written)
    assert len(load(path)) == len(OBJECTS)


def test_items_of_a_typed_list_need_no_kind(tmp_path: Path) -> None:
    path = tmp_path / "pods.json"
    path.write_text('{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "p", "namespace": "x"}}]}')
    (found,) = load(path)
    assert isinstance(found, Pod)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello", "holds no API objects"),
        ('{"kind": "Pod"}', "without apiVersion and kind"),
        ('{"kind": "Pod", "apiVersion": "v1", "spec": {"nodeName": 3}}', "Pod .*nodeName"),
        ("a: [", "holds no API objects"),
    ],
)
def test_what_is_no_snapshot_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(SnapshotFileError, match=said):
        load(path)


async def test_it_is_read_through_the_api() -> None:
    async with control_plane() as plane:
        await plane.client.create(node("n"))
        snapshot = await Snapshot.read(plane.client)
        assert [name for _, name in snapshot.of(Node)] == ["n"]
