"""Our values to CRI messages and back."""

from __future__ import annotations

from typing import Any

from cri_api.v1 import api_pb2

from tiphys.cri import requests, responses
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import (
    ContainerConfig,
    ContainerSecurity,
    ContainerState,
    DnsConfig,
    Mount,
    MountPropagation,
    NamespaceMode,
    NamespaceOptions,
    ProfileType,
    Resources,
    SandboxConfig,
    SandboxSecurity,
    SecurityProfile,
)

pb: Any = api_pb2


def test_a_sandbox_keeps_the_nodes_resolv_conf_unless_told() -> None:
    assert not requests.sandbox_config(SandboxConfig("p", "d", "u")).HasField("dns_config")
    config = SandboxConfig("p", "d", "u", dns=DnsConfig(("10.96.0.10",), ("d.svc.cluster.local",), ("ndots:5",)))
    assert list(requests.sandbox_config(config).dns_config.searches) == ["d.svc.cluster.local"]


def test_user_zero_is_not_user_unset() -> None:
    root = requests.sandbox_config(SandboxConfig("p", "d", "u", security=SandboxSecurity(run_as_user=0)))
    unset = requests.sandbox_config(SandboxConfig("p", "d", "u"))
    assert root.linux.security_context.HasField("run_as_user")
    assert not unset.linux.security_context.HasField("run_as_user")


def test_a_container_crosses_whole() -> None:
    message = requests.container_config(
        ContainerConfig(
            name="c",
            image="nginx",
            envs=(("A", "1"), ("A", "2")),
            mounts=(Mount("/in", "/out", readonly=True, propagation=MountPropagation.BIDIRECTIONAL),),
            resources=Resources(cpu_quota_microseconds=50_000, hugepage_limits={"2MB": 4}),
            security=ContainerSecurity(
                namespaces=NamespaceOptions(pid=NamespaceMode.TARGET, target_id="t"),
                seccomp=SecurityProfile(ProfileType.UNCONFINED),
                apparmor=SecurityProfile(ProfileType.LOCALHOST, "mine"),
            ),
            stop_signal="SIGQUIT",
        )
    )
    assert [(e.key, e.value) for e in message.envs] == [("A", "1"), ("A", "2")]
    assert message.mounts[0].propagation == pb.MountPropagation.PROPAGATION_BIDIRECTIONAL
    assert message.linux.resources.hugepage_limits[0].limit == 4
    context = message.linux.security_context
    assert (context.namespace_options.pid, context.namespace_options.target_id) == (pb.NamespaceMode.TARGET, "t")
    assert context.seccomp.profile_type == pb.SecurityProfile.Unconfined
    assert context.apparmor_profile == "localhost/mine"
    assert message.stop_signal == pb.Signal.SIGQUIT


def test_a_status_says_what_is_known() -> None:
    message = pb.ContainerStatus(id="i", state=pb.ContainerState.CONTAINER_EXITED, exit_code=3, image_ref="sha256:a")
    status = responses.container_status(message)
    assert (status.state, status.exit_code, status.image_id) == (ContainerState.EXITED, 3, "sha256:a")
    assert status.resources is None
    assert status.user is None


def test_stats_the_runtime_leaves_out_are_none_and_not_zero() -> None:
    message = pb.ContainerStats()
    message.cpu.usage_core_nano_seconds.value = 0
    stats = responses.container_stats(message)
    assert stats.cpu_usage_nanoseconds == 0
    assert stats.memory_usage_bytes is None


def test_a_sandbox_without_network_has_no_addresses() -> None:
    message = pb.PodSandboxStatusResponse()
    assert responses.sandbox_status(message).ips == ()
    message.status.network.ip = "10.0.0.1"
    message.status.network.additional_ips.add(ip="fd00::1")
    assert responses.sandbox_status(message).ips == ("10.0.0.1", "fd00::1")


def test_errors_read_as_upstream_prints_them() -> None:
    assert str(CriError(CriCode.NOT_FOUND, "gone")) == "rpc error: code = NotFound desc = gone"
