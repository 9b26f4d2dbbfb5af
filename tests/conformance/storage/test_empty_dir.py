"""emptyDir: modes for root and others, on disk and on tmpfs, shared between containers."""

from __future__ import annotations

from tests.conformance.node.tables import mounts, once, outputs, volume
from tests.e2e.cluster import Cluster
from tests.e2e.manifests import BUSYBOX


def test_empty_dir_modes_and_sharing(cluster: Cluster, namespace: str) -> None:
    """[sig-storage] EmptyDir volumes volume on default medium should have the correct mode [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0644,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0666,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0777,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0644,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0666,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (root,0777,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0644,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0666,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0777,default) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0644,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0666,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes should support (non-root,0777,tmpfs) [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]
    """
    volumes = [volume("disk", emptyDir={}), volume("tmpfs", emptyDir={"medium": "Memory"})]
    script = (
        "for v in /disk /tmpfs; do stat -c %a $v; grep -c \" $v tmpfs\" /proc/mounts;"
        " for m in 644 666 777; do echo hello > $v/$m; chmod $m $v/$m; stat -c '%a %u' $v/$m; cat $v/$m; done; done"
    )  # fmt: skip
    mounted = {"volumeMounts": mounts("disk", "tmpfs")}
    writer = {
        "name": "writer", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **mounted,
        "command": ["sh", "-c", "echo from the other > /disk/.new && mv /disk/.new /disk/told"],
    }  # fmt: skip
    shared = once("shared", "until cat /disk/told 2>/dev/null; do usleep 20000; done", mounted, volumes=volumes)
    shared["spec"]["containers"].append(writer)
    shared["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "main"}
    got = outputs(cluster, namespace, [
        once("root", script, mounted, volumes=volumes),
        once("other", script, mounted, volumes=volumes, securityContext={"runAsUser": 1001}),
        shared,
    ])  # fmt: skip

    def expected(uid: int) -> list[str]:
        files = [line for mode in (644, 666, 777) for line in (f"{mode} {uid}", "hello")]
        return ["777", "0", *files, "777", "1", *files]

    assert got == {"root": expected(0), "other": expected(1001), "shared": ["from the other"]}
