"""Commands that run one component in the foreground, with upstream's flags.

With ``--kubeconfig`` alone a component needs nothing else and works against any apiserver. With ``--data-dir`` (or
without either) it takes its settings from the cluster.json there.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tiphys.cmd.config import DEFAULT_DATA_DIR, ConfigError
from tiphys.cmd.foreground import Made

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Settings and credentials of a cluster.", envvar="TIPHYS_DATA_DIR"),
]
Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="Credentials, and where the apiserver is.")]
LeaderElect = Annotated[
    bool, typer.Option("--leader-elect/--no-leader-elect", help="Wait for the lease, as others may run too.")
]
Hostname = Annotated[str, typer.Option("--hostname-override", help="The node's name; default: the host's.")]
ClusterCidr = Annotated[str, typer.Option("--cluster-cidr", help="Addresses of pods.")]
ServiceCidr = Annotated[str, typer.Option("--service-cluster-ip-range", help="Addresses of Services.")]
ClusterDomain = Annotated[str, typer.Option("--cluster-domain", help="The domain of Services' names.")]

_BOOLEAN = re.compile(r"(--[a-z-]+)=(true|false)")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class UpstreamCommand(TyperCommand):
    """Understands ``--flag=true`` and ``--flag=false`` of boolean flags, as manifests for upstream have them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        flags = {name for option in self.params if getattr(option, "is_flag", False) for name in option.opts}
        return super().parse_args(ctx, [_plain(argument, flags) for argument in args])


def _plain(argument: str, flags: set[str]) -> str:
    match = _BOOLEAN.fullmatch(argument)
    if match is None or match[1] not in flags:
        return argument
    return match[1] if match[2] == "true" else f"--no-{match[1][2:]}"


def seconds_of(flag: str, text: str) -> int:
    """``8760h0m0s`` or ``40s`` as seconds. Raises ConfigError."""
    parts = re.findall(r"(\d+)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"{flag} {text} is not a duration such as 8760h or 40s")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def labels_of(text: str) -> dict[str, str]:
    """``a=b,c=d``. Raises ConfigError."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not equals for _, equals, _ in pairs):
        raise ConfigError(f"--node-labels {text} is not of the form name=value,…")
    return {name: value for name, _, value in pairs}


def _in_cluster_dir(name: str, data_dir: Path | None, kubeconfig: Path | None, **settings: Any) -> None:
    from tiphys.cmd.process import main

    main([name], data_dir or DEFAULT_DATA_DIR, kubeconfig, **settings)


def _alone(name: str, made: Made) -> None:
    import uvloop

    from tiphys.base.logging import configure
    from tiphys.cmd.foreground import run_until_signal

    configure(level=os.environ.get("TIPHYS_LOG_LEVEL", "INFO"))
    uvloop.run(run_until_signal([(name, made)]))


def _stands_alone(data_dir: Path | None, kubeconfig: Path | None) -> bool:
    """A kubeconfig and no data directory; or neither, in a pod."""
    return data_dir is None and (kubeconfig is not None or "KUBERNETES_SERVICE_HOST" in os.environ)


def scheduler(
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    leader_elect: LeaderElect = True,
    config: Annotated[Path | None, typer.Option("--config", help="A KubeSchedulerConfiguration (YAML, JSON).")] = None,
    write_config_to: Annotated[
        Path | None, typer.Option("--write-config-to", help="Write the configuration with all defaults, and exit.")
    ] = None,
) -> None:
    """Run the scheduler alone, against any apiserver."""
    from tiphys.cmd.scheduler import settings, text_of, written_out

    text = text_of("--config", config)
    if write_config_to is not None:
        _write("--write-config-to", write_config_to, written_out(text))
        return
    if kubeconfig is None and (named := settings(text, host="").connection.kubeconfig):
        kubeconfig = Path(named)
    if not _stands_alone(data_dir, kubeconfig):
        more = {"scheduler_config": text} if text else {}
        _in_cluster_dir("scheduler", data_dir, kubeconfig, leader_elect=leader_elect, **more)
        return
    from tiphys.cmd import standalone

    credentials = standalone.credentials(kubeconfig)
    more = {"configuration": text} if text else {}
    _alone("scheduler", standalone.scheduler(credentials, leader_elect=leader_elect, **more))


def _write(flag: str, path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{flag}: {error}") from None


def controller_manager(
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    leader_elect: LeaderElect = True,
    controllers: Annotated[str, typer.Option("--controllers", help="Names; * is all, -name leaves one out.")] = "*",
    allocate_node_cidrs: Annotated[
        bool, typer.Option("--allocate-node-cidrs/--no-allocate-node-cidrs", help="Give nodes their pod CIDRs.")
    ] = False,
    cluster_cidr: ClusterCidr = "",
    node_cidr_mask_size: Annotated[int, typer.Option("--node-cidr-mask-size", min=8, max=30)] = 24,
    root_ca_file: Annotated[
        Path | None, typer.Option("--root-ca-file", help="What pods verify the apiserver by.")
    ] = None,
    cluster_signing_cert_file: Annotated[
        Path | None, typer.Option("--cluster-signing-cert-file", help="The authority that signs requests.")
    ] = None,
    cluster_signing_key_file: Annotated[Path | None, typer.Option("--cluster-signing-key-file")] = None,
    cluster_signing_duration: Annotated[str, typer.Option("--cluster-signing-duration")] = "8760h0m0s",
    terminated_pod_gc_threshold: Annotated[int, typer.Option("--terminated-pod-gc-threshold", min=0)] = 12500,
    node_monitor_grace_period: Annotated[str, typer.Option("--node-monitor-grace-period")] = "50s",
) -> None:
    """Run the controllers alone, against any apiserver."""
    if not _stands_alone(data_dir, kubeconfig):
        _in_cluster_dir("controller-manager", data_dir, kubeconfig, leader_elect=leader_elect)
        return
    from tiphys.cmd import standalone

    flags = standalone.ManagerFlags(
        leader_elect=leader_elect,
        controllers=tuple(controllers.split(",")),
        allocate_node_cidrs=allocate_node_cidrs,
        cluster_cidr=cluster_cidr,
        node_cidr_mask_size=node_cidr_mask_size,
        root_ca_file=root_ca_file,
        cluster_signing_cert_file=cluster_signing_cert_file,
        cluster_signing_key_file=cluster_signing_key_file,
        cluster_signing_duration_seconds=seconds_of("--cluster-signing-duration", cluster_signing_duration),
        terminated_pod_gc_threshold=terminated_pod_gc_threshold,
        node_monitor_grace_period_seconds=seconds_of("--node-monitor-grace-period", node_monitor_grace_period),
    )
    _alone("controller-manager", standalone.controller_manager(standalone.credentials(kubeconfig), flags))


def kubelet(
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    bootstrap_kubeconfig: Annotated[
        Path | None,
        typer.Option("--bootstrap-kubeconfig", help="A token to get --kubeconfig by, if it is not there."),
    ] = None,
    hostname_override: Hostname = "",
    node_ip: Annotated[str, typer.Option("--node-ip", help="The node's address; default: the host's first.")] = "",
    root_dir: Annotated[Path, typer.Option("--root-dir", help="Pods' volumes and files.")] = Path("/var/lib/kubelet"),
    container_runtime_endpoint: Annotated[
        str, typer.Option("--container-runtime-endpoint", help="The runtime's socket.")
    ] = "unix:///run/containerd/containerd.sock",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 10250,
    address: Annotated[str, typer.Option("--address", help="Where to listen.")] = "0.0.0.0",
    client_ca_file: Annotated[
        Path | None, typer.Option("--client-ca-file", help="Who signs clients; default: the kubeconfig's authority.")
    ] = None,
    tls_cert_file: Annotated[Path | None, typer.Option("--tls-cert-file")] = None,
    tls_private_key_file: Annotated[Path | None, typer.Option("--tls-private-key-file")] = None,
    rotate_server_certificates: Annotated[
        bool,
        typer.Option(
            "--rotate-server-certificates/--no-rotate-server-certificates",
            help="Ask the cluster for what to serve with.",
        ),
    ] = True,
    cluster_dns: Annotated[str, typer.Option("--cluster-dns", help="Name servers of pods, separated by commas.")] = "",
    cluster_domain: ClusterDomain = "cluster.local",
    resolv_conf: Annotated[Path, typer.Option("--resolv-conf")] = Path("/etc/resolv.conf"),
    pod_manifest_path: Annotated[
        Path | None, typer.Option("--pod-manifest-path", help="A folder of pods to run without an apiserver.")
    ] = None,
    node_labels: Annotated[str, typer.Option("--node-labels", help="Labels of the node: name=value,…")] = "",
    max_pods: Annotated[int, typer.Option("--max-pods", min=1)] = 110,
    cgroup_root: Annotated[str, typer.Option("--cgroup-root")] = "/kubepods",
) -> None:
    """Run the kubelet alone: with --kubeconfig on the host's own container runtime."""
    if data_dir is not None or kubeconfig is None:
        _in_cluster_dir("kubelet", data_dir, kubeconfig)
        return
    from tiphys.cmd import standalone

    flags = standalone.KubeletFlags(
        kubeconfig=kubeconfig,
        bootstrap_kubeconfig=bootstrap_kubeconfig,
        hostname_override=hostname_override,
        node_ip=node_ip,
        root_dir=root_dir,
        container_runtime_endpoint=container_runtime_endpoint,
        port=port,
        address=address,
        client_ca_file=client_ca_file,
        tls_cert_file=tls_cert_file,
        tls_private_key_file=tls_private_key_file,
        rotate_server_certificates=rotate_server_certificates,
        cluster_dns=tuple(filter(None, cluster_dns.split(","))),
        cluster_domain=cluster_domain,
        resolv_conf=resolv_conf,
        pod_manifest_path=pod_manifest_path,
        node_labels=labels_of(node_labels),
        max_pods=max_pods,
        cgroup_root=cgroup_root,
    )
    _alone("kubelet", standalone.kubelet(flags))


def proxy(
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    hostname_override: Hostname = "",
    cluster_cidr: ClusterCidr = "10.244.0.0/16",
    service_cidr: ServiceCidr = "10.96.0.0/12",
    cluster_id: Annotated[
        str, typer.Option("--cluster-id", help="Tells its nft table from other clusters' on this machine.")
    ] = "alone",
    cleanup: Annotated[bool, typer.Option("--cleanup", help="Remove its rules and exit.")] = False,
) -> None:
    """Run the Service proxy (nftables) alone, against any apiserver."""
    from tiphys.cmd import standalone

    flags = standalone.ProxyFlags(hostname_override, cluster_cidr, service_cidr, cluster_id)
    if cleanup:
        asyncio.run(standalone.proxy_cleanup(flags))
    elif _stands_alone(data_dir, kubeconfig):
        _alone("proxy", standalone.proxy(standalone.credentials(kubeconfig), flags))
    else:
        _in_cluster_dir("proxy", data_dir, kubeconfig)


def dns(
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
    hostname_override: Hostname = "",
    cluster_domain: ClusterDomain = "cluster.local",
) -> None:
    """Run the cluster DNS alone, against any apiserver."""
    if not _stands_alone(data_dir, kubeconfig):
        _in_cluster_dir("dns", data_dir, kubeconfig)
        return
    from tiphys.cmd import standalone

    config = standalone.credentials(kubeconfig)
    _alone("dns", standalone.dns(config, hostname_override=hostname_override, cluster_domain=cluster_domain))


def run(
    components: Annotated[str, typer.Argument(help="One, or several separated by commas: they share the process.")],
    data_dir: DataDir = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run components of a cluster in the foreground, as its settings say: what service units run."""
    from tiphys.cmd.process import main

    main(components.split(","), data_dir or DEFAULT_DATA_DIR, kubeconfig)


def init(
    data_dir: DataDir = None,
    role: Annotated[str, typer.Option("--role", help="all, or server for a control plane without a node.")] = "all",
    node_name: Annotated[str, typer.Option("--node-name", help="Default: the host's name.")] = "",
    node_ip: Annotated[str, typer.Option("--node-ip", help="Default: the host's first address.")] = "",
    secure_port: Annotated[int, typer.Option("--secure-port", min=1, max=65535)] = 6443,
    kubelet_port: Annotated[int, typer.Option("--kubelet-port", min=1, max=65535)] = 10250,
    service_cidr: Annotated[str, typer.Option("--service-cidr")] = "",
    pod_cidr: Annotated[str, typer.Option("--pod-cidr")] = "",
    cluster_domain: ClusterDomain = "",
) -> None:
    """Make a cluster's settings and credentials without starting anything: for `tiphys systemd` and static pods."""
    from tiphys.cmd.init import init as make
    from tiphys.cmd.init import settings_of

    settings = settings_of(
        data_dir or DEFAULT_DATA_DIR,
        role=role,
        node_name=node_name,
        node_ip=node_ip,
        secure_port=secure_port,
        kubelet_port=kubelet_port,
        service_cidr=service_cidr,
        pod_cidr=pod_cidr,
        cluster_domain=cluster_domain,
    )
    made = make(settings)
    typer.echo(f"{'made' if made else 'kept'} settings and credentials in {settings.data_dir}")


def systemd(
    component: Annotated[str, typer.Argument(help="One component; default: all that this machine runs.")] = "",
    data_dir: DataDir = None,
    role: Annotated[
        str, typer.Option("--role", help="all, server, worker or balancer; default: as the settings there say.")
    ] = "",
    program: Annotated[str, typer.Option("--program", help="The tiphys to run; default: this one.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder to write into, such as /etc/systemd/system.")
    ] = None,
) -> None:
    """Print systemd units that run this machine's part of a cluster."""
    from tiphys.cmd.systemd import show

    show(component, data_dir or DEFAULT_DATA_DIR, role, program, output)


def manifests(
    what: Annotated[str, typer.Argument(help="control-plane (static pods) or node (DaemonSets).")],
    data_dir: DataDir = None,
    image: Annotated[str, typer.Option("--image", help="Default: what `tiphys image build tiphys` makes.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for a file each, such as a kubelet's manifests.")
    ] = None,
) -> None:
    """Print manifests that run the components as pods."""
    from tiphys.cmd.manifests import show

    show(what, data_dir or DEFAULT_DATA_DIR, image, output)


def add_to(app: typer.Typer) -> None:
    """Make them commands of `app`."""
    for name, command in (
        ("scheduler", scheduler),
        ("controller-manager", controller_manager),
        ("kubelet", kubelet),
        ("proxy", proxy),
        ("dns", dns),
    ):
        epilog = f"Examples:  tiphys {name} --kubeconfig {name}.kubeconfig   |   tiphys {name} --data-dir /srv/a"
        app.command(name, cls=UpstreamCommand, epilog=epilog)(command)
    app.command("run", epilog="Example:  tiphys run kubelet,proxy,dns --data-dir /srv/a")(run)
    app.command("systemd", epilog="Examples:  tiphys systemd   |   tiphys systemd kubelet --role worker")(systemd)
    app.command("init", epilog="Example:  tiphys init && tiphys systemd -o /etc/systemd/system")(init)
    app.command("manifests", epilog="Example:  tiphys manifests control-plane -o /var/lib/tiphys/manifests")(manifests)
