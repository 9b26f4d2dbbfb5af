"""A kubelet's settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.kubelet.image_gc import ImageGcPolicy


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """One node's settings. Several kubelets run on one machine when data directories, ports and cgroup roots differ."""

    node_name: str
    node_ip: str
    """The node's InternalIP, and what host-network pods report."""
    data_dir: Path
    """Pods' volumes and files (``pods/<uid>``), and their logs (``logs/pods``)."""
    hostname: str = ""
    """Reported as the Hostname address and kubernetes.io/hostname; the node's name when empty."""
    port: int = 10250
    bind_address: str = "0.0.0.0"
    server_tls: ssl.SSLContext | None = None
    """The node server's certificate, asking for client certificates of the cluster's CA. None: no server is started."""
    server_identities: frozenset[str] = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})
    """Common names of client certificates that may use the node server (and group system:masters)."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    cgroup_root: str = "/kubepods"
    """Pods' cgroups are made below it; it goes with `tiphys down`. "" leaves cgroups alone."""
    mount_volumes: bool = True
    """False makes every volume a plain folder: for hollow nodes, which need no root."""
    max_pods: int = 110
    labels: dict[str, str] = field(default_factory=dict)
    """More labels of the node, set at registration."""
    reserved_cpu_millis: int = 0
    reserved_memory_bytes: int = 0
    """What allocatable is less than capacity."""
    parallel_starts: int = 4
    """Sandboxes and containers being started at once: more only makes the runtime's processes wait for each other."""
    parallel_pulls: int = 3
    plugins_registry_dir: Path | None = None
    """Where CSI drivers put their registration sockets; default: ``plugins_registry`` below `data_dir`."""
    volume_check_seconds: float = 10.0
    """How often volumes in use are looked at: have their claims grown, are they to be published again?"""
    static_pod_dir: Path | None = None
    """Manifests of pods the node runs by itself; None for none."""
    local_path_dir: Path | None = None
    """Where directories of local-path volumes are kept; None: the node takes none."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    lease_seconds: int = 40
    lease_renew_seconds: float = 10.0
    status_check_seconds: float = 10.0
    status_report_seconds: float = 300.0
    """The node's status is looked at every `status_check_seconds` and written when it changed or is this old."""
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    eviction_memory_bytes: int = 100 * 1024 * 1024
    eviction_disk_share: float = 0.05
    """Below so much available memory, or free share of the disk, the node is under pressure."""
    image_gc: ImageGcPolicy = field(default_factory=ImageGcPolicy)
    """When unused images are removed."""
    protected_images: tuple[str, ...] = ()
    """Never removed, though no container names them: the sandboxes' image."""
    runtime_name: str = "containerd"
    """The scheme of container ids in statuses."""

    @property
    def plugins_registry(self) -> Path:
        return self.plugins_registry_dir or self.data_dir / "plugins_registry"

    @property
    def pods_dir(self) -> Path:
        return self.data_dir / "pods"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs" / "pods"
