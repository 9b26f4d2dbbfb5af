"""Volumes of a CSI driver on one node: a real driver, real disks behind loop devices, file systems that are full when
they are full."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.csi_driver.process import (
    NAME,
    ROOT,
    ControllerProcess,
    DiskService,
    DriverProcess,
    claim,
    kubeconfig_with_token,
    missing_for_disks,
    role,
    storage,
)
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import pod

pytestmark = pytest.mark.skipif(bool(missing_for_disks()), reason=missing_for_disks())


@pytest.fixture(scope="module")
def disks(cluster: Cluster) -> Iterator[DiskService]:
    """The driver, registered with the cluster's node, and its storage class."""
    with tempfile.TemporaryDirectory(prefix="tiphys-csi-") as folder:
        state = Path(folder)
        driver = DriverProcess(state, cluster.data_dir / "kubelet", "host-1")
        cluster.apply(role())
        cluster.kubectl("create", "serviceaccount", "disk-controller", "-n", "kube-system")
        cluster.kubectl(
            "create", "clusterrolebinding", "disk-controller", f"--clusterrole={role()['metadata']['name']}",
            "--serviceaccount=kube-system:disk-controller",
        )  # fmt: skip
        token = cluster.output("create", "token", "disk-controller", "-n", "kube-system", "--duration=4h")
        credentials = kubeconfig_with_token(cluster.kubeconfig, token, state / "controller.kubeconfig")
        controller = ControllerProcess(driver.socket, credentials, state / "controller.log", options=())
        service = DiskService(state, [driver], controller)
        for manifest in storage():
            cluster.apply(manifest)
        service.start()
        try:
            eventually(lambda: _registered(cluster), "the driver is in the node's CSINode")
            yield service
        finally:
            service.end()
            service.release()


@pytest.fixture(autouse=True)
def _healthy(disks: DiskService) -> Iterator[None]:
    yield
    disks.heal()


def _registered(cluster: Cluster) -> bool:
    (node,) = cluster.get("csinodes")["items"]
    return [d["name"] for d in node["spec"].get("drivers") or ()] == [NAME]


def _user(name: str, script: str, claim_name: str = "data", **spec: Any) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return pod(name, ["sh", "-c", script], container=mounts, volumes=volumes, **spec)


def _runs(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "-n", namespace, "--timeout=60s")


def _says(cluster: Cluster, namespace: str, name: str, text: str) -> None:
    eventually(lambda: cluster.output("logs", name, "-n", namespace) == text, f"{name} says {text}")


def _told_of(cluster: Cluster, name: str, volume: str) -> dict[str, Any]:
    """What /stats/summary says of a pod's volume."""
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    summary = json.loads(cluster.output("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    (found,) = (one for one in summary["pods"] if one["podRef"]["name"] == name)
    (told,) = (one for one in found["volume"] if one["name"] == volume)
    return dict(told)


def _gone(cluster: Cluster, disks: DiskService) -> bool:
    """Nothing is attached, staged or mounted any more."""
    node = cluster.get("nodes")["items"][0]["status"]
    plugins = cluster.data_dir / "kubelet/plugins/kubernetes.io/csi" / NAME
    return (
        not cluster.get("volumeattachments")["items"]
        and not node.get("volumesInUse")
        and not node.get("volumesAttached")
        and not disks.loops()
        and not list(plugins.glob("*/vol_data.json"))
    )


def _events(cluster: Cluster, namespace: str, name: str) -> list[tuple[str, str]]:
    listed = cluster.get("events", "-n", namespace, "--field-selector", f"involvedObject.name={name}")["items"]
    return [(event["reason"], event["message"]) for event in listed]


def test_a_claim_gets_a_disk_whose_data_outlives_its_pods(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    cluster.apply(claim("data"), namespace)
    cluster.apply(_user("writer", "echo kept > /data/file; sync; sleep 1000"), namespace)
    _runs(cluster, namespace, "writer")
    bound = cluster.get("pvc", "data", "-n", namespace)
    assert bound["status"]["phase"] == "Bound"
    assert bound["status"]["capacity"] == {"storage": "300Mi"}
    volume = cluster.get("pv", bound["spec"]["volumeName"])
    assert volume["spec"]["csi"]["driver"] == NAME
    assert volume["spec"]["csi"]["fsType"] == "xfs"
    assert "external-provisioner.volume.kubernetes.io/finalizer" in volume["metadata"]["finalizers"]
    assert f"external-attacher/{NAME.replace('.', '-')}" in volume["metadata"]["finalizers"]
    attached = ("SuccessfulAttachVolume", f'AttachVolume.Attach succeeded for volume "{volume["metadata"]["name"]}" ')
    assert attached in _events(cluster, namespace, "writer")
    cluster.kubectl("delete", "pod", "writer", "-n", namespace)
    eventually(lambda: _gone(cluster, disks), "the disk is detached")

    cluster.apply(_user("reader", "cat /data/file; sleep 1000"), namespace)
    _runs(cluster, namespace, "reader")
    _says(cluster, namespace, "reader", "kept")
    full = cluster.kubectl(
        "exec", "reader", "-n", namespace, "--", "dd", "if=/dev/zero", "of=/data/big", "bs=1M", "count=400", check=False
    )
    assert "No space left on device" in full.stderr
    told = _told_of(cluster, "reader", "data")
    assert told["pvcRef"] == {"name": "data", "namespace": namespace}
    assert told["capacityBytes"] < 300 << 20
    assert told["availableBytes"] < 4 << 20
    assert "NodeGetVolumeStats" in (disks.state / "calls.log").read_text()
    cluster.kubectl("delete", "pod", "reader", "-n", namespace)
    cluster.kubectl("delete", "pvc", "data", "-n", namespace)
    eventually(lambda: not cluster.get("pv")["items"] and not disks.disks(), "the disk is deleted")


def test_a_claim_grows_while_a_pod_uses_it(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    cluster.apply(claim("data"), namespace)
    cluster.apply(_user("user", "sleep 1000"), namespace)
    _runs(cluster, namespace, "user")
    larger = {"spec": {"resources": {"requests": {"storage": "400Mi"}}}}
    cluster.kubectl("patch", "pvc", "data", "-n", namespace, "--type=merge", "-p", json.dumps(larger))
    status = eventually(
        lambda: _status_with_capacity(cluster, namespace, "400Mi"), "the claim's status shows the new size"
    )
    assert "conditions" not in status
    assert "allocatedResourceStatuses" not in status
    size_kib = int(cluster.output("exec", "user", "-n", namespace, "--", "df", "-k", "/data").split()[-5])
    assert size_kib > 330_000
    reasons = {reason for reason, _ in _events(cluster, namespace, "data")}
    assert {"Resizing", "FileSystemResizeRequired", "FileSystemResizeSuccessful"} <= reasons
    cluster.kubectl("delete", "pod", "user", "-n", namespace)


def _status_with_capacity(cluster: Cluster, namespace: str, size: str) -> Any:
    status = cluster.get("pvc", "data", "-n", namespace)["status"]
    return status if status["capacity"]["storage"] == size else None


def test_files_belong_to_the_pods_group(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    cluster.apply(claim("data"), namespace)
    security = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    cluster.apply(
        _user("user", "touch /data/mine && stat -c %g /data/mine; sleep 1000", securityContext=security), namespace
    )
    _runs(cluster, namespace, "user")
    _says(cluster, namespace, "user", "2000")
    cluster.kubectl("delete", "pod", "user", "-n", namespace)


def test_a_driver_that_is_killed_serves_on_after_its_restart(
    cluster: Cluster, namespace: str, disks: DiskService
) -> None:
    cluster.apply(claim("data"), namespace)
    cluster.apply(_user("user", "echo $$ > /data/file; sleep 1000"), namespace)
    _runs(cluster, namespace, "user")
    disks.drivers[0].end(signal.SIGKILL)
    cluster.kubectl("exec", "user", "-n", namespace, "--", "sh", "-c", "echo still > /data/file")
    cluster.kubectl("delete", "pod", "user", "-n", namespace, "--wait=false")
    cluster.apply(_user("next", "cat /data/file; sleep 1000"), namespace)
    disks.drivers[0].start()
    _runs(cluster, namespace, "next")
    _says(cluster, namespace, "next", "still")
    eventually(lambda: not _exists(cluster, namespace, "user"), "the first pod is gone")
    cluster.kubectl("delete", "pod", "next", "-n", namespace)
    eventually(lambda: _gone(cluster, disks), "the disk is detached")


def _exists(cluster: Cluster, namespace: str, name: str) -> bool:
    return cluster.kubectl("get", "pod", name, "-n", namespace, check=False).returncode == 0


def test_a_kubelet_killed_in_the_middle_of_a_mount_leaves_nothing_behind(
    cluster: Cluster, namespace: str, disks: DiskService
) -> None:
    cluster.apply(claim("data"), namespace)
    before = len(disks.calls("NodeStageVolume"))
    disks.fault("NodeStageVolume", delay_seconds=2, times=1)
    cluster.apply(_user("user", "echo here; sleep 1000"), namespace)
    eventually(lambda: len(disks.calls("NodeStageVolume")) > before, "the driver is asked to stage")
    os.kill(cluster.processes()["node"], signal.SIGKILL)
    _runs(cluster, namespace, "user")
    assert len(disks.loops()) == 1

    # And again, in the middle of its end, with nobody left in the API to ask about.
    disks.fault("NodeUnpublishVolume", delay_seconds=2, times=1)
    cluster.kubectl("delete", "pod", "user", "-n", namespace, "--grace-period=0", "--force")
    os.kill(cluster.processes()["node"], signal.SIGKILL)
    eventually(lambda: _gone(cluster, disks), "the next kubelet took everything back", 60)


def test_the_driver_says_what_is_wrong(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    disks.fault("NodeStageVolume", code="INTERNAL", message="the disk is on fire")
    cluster.apply(claim("data"), namespace)
    cluster.apply(_user("user", "sleep 1000"), namespace)
    volume = eventually(
        lambda: cluster.get("pvc", "data", "-n", namespace)["spec"].get("volumeName"), "the claim is bound"
    )
    said = (
        f'MountVolume.MountDevice failed for volume "{volume}" : rpc error: code = Internal desc = the disk is on fire'
    )
    eventually(lambda: ("FailedMount", said) in _events(cluster, namespace, "user"), "the driver's words are told")
    disks.heal()
    _runs(cluster, namespace, "user")
    cluster.kubectl("delete", "pod", "user", "-n", namespace)


def test_block_volumes_are_devices(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    cluster.apply(claim("data", volumeMode="Block"), namespace)
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    script = "[ -b /dev/data ] && echo block | dd of=/dev/data 2>/dev/null && dd if=/dev/data bs=6 count=1 2>/dev/null"
    container = {"volumeDevices": [{"name": "data", "devicePath": "/dev/data"}]}
    cluster.apply(pod("user", ["sh", "-c", f"{script}; sleep 1000"], container=container, volumes=volumes), namespace)
    _runs(cluster, namespace, "user")
    eventually(lambda: cluster.output("logs", "user", "-n", namespace) == "block", "what was written can be read")
    cluster.kubectl("delete", "pod", "user", "-n", namespace)
    eventually(lambda: _gone(cluster, disks), "the disk is detached")


def test_inline_volumes_live_with_their_pod(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    inline = {"driver": NAME, "volumeAttributes": {"colour": "blue"}}
    container = {"volumeMounts": [{"name": "own", "mountPath": "/own"}]}
    cluster.apply(
        pod("user", ["sh", "-c", "cat /own/context.json; echo; sleep 1000"], container=container,
            volumes=[{"name": "own", "csi": inline}]),
        namespace,
    )  # fmt: skip
    _runs(cluster, namespace, "user")
    eventually(lambda: cluster.output("logs", "user", "-n", namespace), "the pod has read its volume")
    told = json.loads(cluster.output("logs", "user", "-n", namespace))["context"]
    assert told["colour"] == "blue"
    assert told["csi.storage.k8s.io/pod.name"] == "user"
    assert told["csi.storage.k8s.io/pod.namespace"] == namespace
    cluster.kubectl("delete", "pod", "user", "-n", namespace)
    eventually(lambda: not list((disks.state / "inline").iterdir()), "the volume is gone")


def test_a_driver_may_be_a_pod_itself(cluster: Cluster, namespace: str, disks: DiskService) -> None:
    """As published drivers are: privileged, the kubelet's folder mounted both ways. It borrows the host's Python."""
    driver = disks.drivers[0]
    driver.end()
    kubelet = str(driver.kubelet_dir)
    command = ["chroot", "/host", "env", f"--chdir={ROOT}", *driver.command()]
    container = {
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "host", "mountPath": "/host"},
            {"name": "kubelet", "mountPath": f"/host{kubelet}", "mountPropagation": "Bidirectional"},
        ],
    }
    volumes = [
        {"name": "host", "hostPath": {"path": "/"}},
        {"name": "kubelet", "hostPath": {"path": kubelet, "type": "Directory"}},
    ]
    cluster.apply(pod("driver", command, container=container, volumes=volumes, hostNetwork=True), namespace)
    _runs(cluster, namespace, "driver")
    try:
        eventually(lambda: _registered(cluster), "the driver is in the node's CSINode")
        cluster.apply(claim("data"), namespace)
        cluster.apply(_user("user", "df -k /data | tail -n 1 | wc -l; echo kept > /data/file; sleep 1000"), namespace)
        _runs(cluster, namespace, "user")
        _says(cluster, namespace, "user", "1")
        assert len(disks.loops()) == 1
        cluster.kubectl("delete", "pod", "user", "-n", namespace)
        eventually(lambda: _gone(cluster, disks), "the disk is detached")
    finally:
        cluster.kubectl("delete", "pod", "driver", "-n", namespace)
        driver.start()
