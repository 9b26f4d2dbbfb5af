"""What a pod's sandbox is made from."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod
from tiphys.cri.types import DnsConfig, PortMapping, Protocol, Resources, SandboxConfig
from tiphys.kubelet.lifecycle.qos import QUOTA_PERIOD_MICROSECONDS, pod_resources, quota_of, shares_of
from tiphys.kubelet.spec.names import hostname_of, log_folder, sandbox_labels, uid_of
from tiphys.kubelet.spec.security import sandbox_security


def sandbox_config(
    pod: Pod, *, attempt: int, dns: DnsConfig, log_root: str, cgroup_parent: str, cluster_domain: str
) -> SandboxConfig:
    """`log_root` is the folder of all pods' logs, `cgroup_parent` the pod's cgroup ("": the runtime's choice)."""
    hostname, domain = hostname_of(pod, cluster_domain)
    if pod.spec.set_hostname_as_fqdn and domain:
        hostname = f"{hostname}.{domain}"[:64]
    total = pod_resources(pod)
    context = pod.spec.security_context
    return SandboxConfig(
        name=pod.metadata.name or "",
        namespace=pod.metadata.namespace or "",
        uid=uid_of(pod),
        attempt=attempt,
        # The node's hostname is everyone's who shares its network.
        hostname="" if pod.spec.host_network else hostname,
        log_directory=f"{log_root}/{log_folder(pod)}",
        dns=dns,
        port_mappings=() if pod.spec.host_network else _port_mappings(pod),
        labels=sandbox_labels(pod),
        annotations=pod.metadata.annotations,
        cgroup_parent=cgroup_parent,
        sysctls={s.name: s.value for s in context.sysctls} if context is not None else {},
        security=sandbox_security(pod),
        resources=Resources(
            cpu_period_microseconds=QUOTA_PERIOD_MICROSECONDS,
            cpu_quota_microseconds=quota_of(total.cpu_limit_millis),
            cpu_shares=shares_of(total.cpu_request_millis),
            memory_limit_bytes=total.memory_limit_bytes,
        ),
    )


def _port_mappings(pod: Pod) -> tuple[PortMapping, ...]:
    every = (*(c for c in pod.spec.init_containers if c.restart_policy == "Always"), *pod.spec.containers)
    return tuple(
        PortMapping(port.container_port, port.host_port, Protocol[port.protocol or "TCP"], port.host_ip or "")
        for container in every
        for port in container.ports
        if port.host_port
    )
