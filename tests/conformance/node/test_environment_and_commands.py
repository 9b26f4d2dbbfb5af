"""What a container is started with: environment, commands, expansion, hosts file, security context."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.node.tables import apply_all, config_map, once, outputs, secret, volume
from tests.e2e.cluster import Cluster
from tests.e2e.manifests import pod


def _from(kind: str, name: str, key: str) -> dict[str, Any]:
    return {f"{kind}KeyRef": {"name": name, "key": key}}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _resource(name: str, resource: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource}}}


def test_environment(cluster: Cluster, namespace: str) -> None:
    """[sig-node] ConfigMap should be consumable via environment variable [NodeConformance] [Conformance]
    [sig-node] ConfigMap should be consumable via the environment [NodeConformance] [Conformance]
    [sig-node] ConfigMap should be consumable as environment variable names with various prefixes [Conformance]
    [sig-node] Secrets should be consumable from pods in env vars [NodeConformance] [Conformance]
    [sig-node] Secrets should be consumable via the environment [NodeConformance] [Conformance]
    [sig-node] Secrets should be consumable as environment variable names variable names with various prefixes
        [Conformance]
    [sig-node] Downward API should provide pod name, namespace and IP address as env vars
        [NodeConformance] [Conformance]
    [sig-node] Downward API should provide host IP as an env var [NodeConformance] [Conformance]
    [sig-node] Downward API should provide hostIPs as an env var [NodeConformance] [Conformance]
    [sig-node] Downward API should provide pod UID as env vars [NodeConformance] [Conformance]
    [sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars
        [NodeConformance] [Conformance]
    [sig-node] Downward API should provide default limits.cpu/memory from node allocatable
        [NodeConformance] [Conformance]
    [sig-node] Variable Expansion should allow composing env vars into new env vars [NodeConformance] [Conformance]
    [sig-node] Pods should get a host IP [NodeConformance] [Conformance]
    """
    apply_all(cluster, namespace, [config_map("settings", {"data_1": "c1"}), secret("keys", {"data_1": "s1"})])
    objects = {
        "env": [
            {"name": "C", "valueFrom": _from("configMap", "settings", "data_1")},
            {"name": "S", "valueFrom": _from("secret", "keys", "data_1")},
            {"name": "BOTH", "value": "$(C);;$(S);;$$(C);;$(NONE)"},
        ],
        "envFrom": [
            {"configMapRef": {"name": "settings"}, "prefix": "p_"},
            {"configMapRef": {"name": "settings"}, "prefix": "p-."},
            {"secretRef": {"name": "keys"}, "prefix": "k_"},
            {"secretRef": {"name": "keys"}},
        ],
    }
    fields = {
        "env": [
            _field("NAME", "metadata.name"), _field("SPACE", "metadata.namespace"), _field("IP", "status.podIP"),
            _field("HOST", "status.hostIP"), _field("HOSTS", "status.hostIPs"), _field("UID_", "metadata.uid"),
        ]
    }  # fmt: skip
    sizes = {"requests": {"cpu": "50m", "memory": "8Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    resources = [_resource("LC", "limits.cpu"), _resource("LM", "limits.memory")]
    requested = [_resource("RC", "requests.cpu"), _resource("RM", "requests.memory")]
    got = outputs(cluster, namespace, [
        once("objects", "echo $C $S $BOTH $p_data_1 $k_data_1 $data_1;"
             " tr '\\0' '\\n' < /proc/1/environ | grep '^p-'", objects),
        once("fields", "echo $NAME $SPACE $IP $HOST $HOSTS $UID_", fields),
        once("sized", "echo $LC $LM $RC $RM", {"env": resources + requested, "resources": sizes}),
        once("unlimited", "echo $LC $LM", {"env": resources}),
    ])  # fmt: skip
    seen = cluster.get("pod", "fields", "-n", namespace)
    status, allocatable = seen["status"], cluster.get("nodes")["items"][0]["status"]["allocatable"]
    host, memory = status["hostIP"], int(allocatable["memory"].removesuffix("Ki")) * 1024
    assert got["objects"] == ["c1 s1 c1;;s1;;$(C);;$(NONE) c1 s1 s1", "p-.data_1=c1"]
    assert got["fields"] == [f"fields {namespace} {status['podIP']} {host} {host} {seen['metadata']['uid']}"]
    assert got["sized"] == ["2 67108864 1 8388608"]
    assert got["unlimited"] == [f"{allocatable['cpu']} {memory}"]
    assert status["hostIPs"] == [{"ip": host}]


def _image_default(name: str, **container: Any) -> dict[str, Any]:
    made = once(name, "")
    del made["spec"]["containers"][0]["command"]
    made["spec"]["containers"][0] |= container
    return made


def test_commands_and_expansion(cluster: Cluster, namespace: str) -> None:
    """[sig-node] Containers should use the image defaults if command and args are blank
        [NodeConformance] [Conformance]
    [sig-node] Containers should be able to override the image's default arguments (container cmd)
        [NodeConformance] [Conformance]
    [sig-node] Containers should be able to override the image's default command (container entrypoint)
        [NodeConformance] [Conformance]
    [sig-node] Containers should be able to override the image's default command and arguments
        [NodeConformance] [Conformance]
    [sig-node] Variable Expansion should allow substituting values in a container's command
        [NodeConformance] [Conformance]
    [sig-node] Variable Expansion should allow substituting values in a container's args
        [NodeConformance] [Conformance]
    [sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]
    [sig-node] Variable Expansion should succeed in writing subpaths in container [Conformance]
    [sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs
        [NodeConformance] [Conformance]
    [sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts
        [NodeConformance] [Conformance]
    """
    env = [{"name": "WHO", "value": "tester"}]
    expanded = {"name": "w", "mountPath": "/mine", "subPathExpr": "foo/$(WHO)"}
    whole = {"name": "w", "mountPath": "/whole"}
    got = outputs(cluster, namespace, [
        _image_default("blank"),
        _image_default("args", args=["echo", "overridden"]),
        _image_default("entrypoint", command=["echo", "entry"]),
        _image_default("both", command=["echo"], args=["both", "given"]),
        _image_default("expanded", command=["echo", "$(WHO)"], args=["$(WHO)-$(NOBODY)-$$(WHO)"], env=env),
        once("subpath", "echo hi > /mine/file; cat /whole/foo/tester/file",
             {"env": env, "volumeMounts": [expanded, whole]}, volumes=[volume("w", emptyDir={})]),
        once("aliases", "grep -E '123.45.67.89|managed' /etc/hosts",
             hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]),
    ])  # fmt: skip
    assert got["blank"] == [], "the image's shell ends at the end of its empty input"
    assert got["args"] == ["overridden"]
    assert got["entrypoint"] == ["entry"]
    assert got["both"] == ["both given"]
    assert got["expanded"] == ["tester tester-$(NOBODY)-$(WHO)"]
    assert got["subpath"] == ["hi"]
    assert "Kubernetes-managed" in got["aliases"][0]
    assert got["aliases"][1:] == ["123.45.67.89\tfoo\tbar"]


def test_security_context(cluster: Cluster, namespace: str) -> None:
    """[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534
        [LinuxOnly] [NodeConformance] [Conformance]
    [sig-node] Security Context should support container.SecurityContext.RunAsUser And
        container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]
    [sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And
        pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]
    [sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when
        false [LinuxOnly] [NodeConformance] [Conformance]
    [sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with
        writable rootfs when readOnlyRootFilesystem=false [NodeConformance] [Conformance]
    [sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege
        escalation when false [LinuxOnly] [NodeConformance] [Conformance]
    [sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem
        [LinuxOnly] [NodeConformance] [Conformance]
    [sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [MinimumKubeletVersion:1.21]
        [Environment:NotInUserNS] [Conformance]
    """

    def secured(name: str, script: str, **context: Any) -> dict[str, Any]:
        return once(name, script, {"securityContext": context})

    write = "(echo x > /file) 2>/dev/null && echo written || echo refused"
    sysctls = [{"name": "kernel.shm_rmid_forced", "value": "1"}]
    got = outputs(cluster, namespace, [
        secured("nobody", "id -u", runAsUser=65534),
        secured("container-ids", "id -u; id -g", runAsUser=1001, runAsGroup=2002),
        once("pod-ids", "id -u; id -g", securityContext={"runAsUser": 1001, "runAsGroup": 2002}),
        secured("unprivileged", "ip link add d0 type bridge 2>&- && echo made || echo refused", privileged=False),
        secured("writable", write, readOnlyRootFilesystem=False),
        secured("read-only", write, readOnlyRootFilesystem=True),
        secured("no-escalation", "grep NoNewPrivs /proc/self/status", allowPrivilegeEscalation=False, runAsUser=1000),
        once("sysctl", "cat /proc/sys/kernel/shm_rmid_forced", securityContext={"sysctls": sysctls}),
    ])  # fmt: skip
    assert got == {
        "nobody": ["65534"],
        "container-ids": ["1001", "2002"],
        "pod-ids": ["1001", "2002"],
        "unprivileged": ["refused"],
        "writable": ["written"],
        "read-only": ["refused"],
        "no-escalation": ["NoNewPrivs:\t1"],
        "sysctl": ["1"],
    }


def test_what_validation_refuses(cluster: Cluster, namespace: str) -> None:
    """[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [MinimumKubeletVersion:1.21]
        [Conformance]
    [sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]
    [sig-node] Secrets should fail to create secret due to empty secret key [Conformance]
    """

    def refused(manifest: dict[str, Any]) -> str:
        done = cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest), check=False)
        assert done.returncode == 1
        return done.stderr

    sysctls = [{"name": name, "value": "0"} for name in ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")]
    words = refused(pod("bad", ["true"], securityContext={"sysctls": sysctls}))
    assert "spec.securityContext.sysctls[0].name" in words
    assert "spec.securityContext.sysctls[3].name" in words
    assert "sysctls[1]" not in words
    assert "a valid config key" in refused(config_map("empty", {"": "x"}))
    assert "a valid config key" in refused(secret("empty", {"": "x"}))
