"""The `tiphys` command. Each command imports what it runs only when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from tiphys.cmd import apiserver_commands, component_commands, node_commands, simulate_commands, why_commands
from tiphys.cmd.config import DEFAULT_DATA_DIR, ConfigError
from tiphys.cmd.snapshot_commands import snapshot_app

app = typer.Typer(
    name="tiphys",
    help="A container orchestrator in Python: the Kubernetes API, real containers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
image_app = typer.Typer(help="Container images of this cluster's node.", no_args_is_help=True)
app.add_typer(image_app, name="image")
token_app = typer.Typer(help="Bootstrap tokens, by which machines join.", no_args_is_help=True)
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(token_app, name="token")
user_app = typer.Typer(help="People with rights in a namespace and a kubeconfig of their own.", no_args_is_help=True)
app.add_typer(user_app, name="user")

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Where the cluster keeps its state.", envvar="TIPHYS_DATA_DIR")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Credentials; default: the data directory's own.")
]


@app.command(epilog="Examples:  tiphys up   |   tiphys up --no-demo --data-dir /srv/a   |   tiphys up --nodes 3")
def up(
    context: typer.Context,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Deploy the demo application.")] = True,
    hollow: Annotated[
        bool, typer.Option("--hollow", help="Control plane and hollow nodes: no root, no containers.")
    ] = False,
    nodes: Annotated[int, typer.Option("--nodes", help="Nodes on hosts of their own; 0: this machine is it.")] = 0,
    control_planes: Annotated[
        int, typer.Option("--control-planes", help="Control planes on hosts of their own; 0: this machine is it.")
    ] = 0,
    etcd_members: Annotated[
        int, typer.Option("--etcd-members", help="Keep the state in so many etcd members; 0: in SQLite.")
    ] = 0,
    etcd_servers: Annotated[
        str, typer.Option("--etcd-servers", help="Keep the state in this etcd: URLs, separated by commas.")
    ] = "",
    etcd_cafile: Annotated[Path | None, typer.Option("--etcd-cafile", help="Who signed its certificates.")] = None,
    etcd_certfile: Annotated[Path | None, typer.Option("--etcd-certfile", help="The apiserver's to it.")] = None,
    etcd_keyfile: Annotated[Path | None, typer.Option("--etcd-keyfile", help="And its key.")] = None,
    hollow_nodes: Annotated[int, typer.Option("--hollow-nodes", min=1, max=5000, help="How many hollow nodes.")] = 3,
    secure_port: Annotated[int, typer.Option(min=1, max=65535, help="The apiserver's port.")] = 6443,
    kubelet_port: Annotated[int, typer.Option(min=1, max=65535, help="The kubelet's port.")] = 10250,
    service_cidr: Annotated[str, typer.Option("--service-cidr", help="Addresses of Services.")] = "10.96.0.0/12",
    pod_cidr: Annotated[
        str, typer.Option("--pod-cidr", help="Addresses of pods; every node gets a /24.")
    ] = "10.244.0.0/16",
    node_ports: Annotated[str, typer.Option("--node-port-range", help="Ports of NodePort Services.")] = "30000-32767",
    node_name: Annotated[str, typer.Option(help="The node's name; default: the host's.")] = "",
    node_ip: Annotated[str, typer.Option("--node-ip", help="The node's address; default: the host's first.")] = "",
    load_balancer_cidr: Annotated[
        str, typer.Option("--load-balancer-cidr", help="Addresses for Services of type LoadBalancer; default: nodes'.")
    ] = "",
    ingress: Annotated[bool, typer.Option("--ingress/--no-ingress", help="Serve Ingresses by nginx.")] = False,
    network_backend: Annotated[
        str, typer.Option("--network-backend", help="vxlan, or routes where all nodes share a link.")
    ] = "",
    grace_period: Annotated[
        int,
        typer.Option("--node-monitor-grace-period", min=4, help="Seconds of silence after which a node is lost."),
    ] = 50,
    toleration: Annotated[
        int,
        typer.Option(
            "--default-unreachable-toleration-seconds", min=0, help="How long pods then stay bound to it by default."
        ),
    ] = 300,
    scheduler_config: Annotated[
        Path | None, typer.Option("--scheduler-config", help="The scheduler's KubeSchedulerConfiguration.")
    ] = None,
) -> None:
    """Start a cluster on this machine, or bring it back; then run the demo. Safe to run again."""
    from tiphys.cmd.up import UpOptions
    from tiphys.cmd.up import up as start

    start(
        UpOptions(
            data_dir=data_dir,
            demo=demo and not hollow,
            hollow_nodes=hollow_nodes if hollow else 0,
            secure_port=secure_port,
            kubelet_port=kubelet_port,
            service_cidr=service_cidr,
            pod_cidr=pod_cidr,
            node_port_range=_port_range(node_ports),
            node_name=node_name,
            node_ip=node_ip,
            nodes=nodes,
            control_planes=control_planes,
            etcd_members=etcd_members,
            etcd_servers=tuple(filter(None, etcd_servers.split(","))),
            etcd_cafile=_file("--etcd-cafile", etcd_cafile),
            etcd_certfile=_file("--etcd-certfile", etcd_certfile),
            etcd_keyfile=_file("--etcd-keyfile", etcd_keyfile),
            load_balancer_cidr=load_balancer_cidr,
            ingress=ingress,
            network_backend=_network_backend(network_backend),
            node_monitor_grace_period=grace_period,
            default_unreachable_toleration_seconds=toleration,
            scheduler_config=_scheduler_config(scheduler_config),
            given=_given(context),
        )
    )


@app.command(epilog="Examples:  tiphys down   |   tiphys down --keep-data")
def down(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the state: `up` resumes it.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the cache of built images too.")] = False,
) -> None:
    """Stop the cluster and leave the host as it was: no process, link, route, nft table, mount or cgroup stays."""
    from tiphys.cmd.down import down as stop

    stop(data_dir, keep_data=keep_data, purge=purge)


@app.command(epilog="Example:  tiphys status --data-dir /srv/a")
def status(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """What runs here: processes, nodes and pods. Exits 1 when the cluster is not up."""
    from tiphys.cmd.status import status as show

    raise typer.Exit(show(data_dir))


@app.command(epilog="Example:  tiphys kubeconfig > ~/.kube/config")
def kubeconfig(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Print the admin's kubeconfig."""
    from tiphys.cmd.config import load

    path = load(data_dir).admin_kubeconfig
    if not path.exists():
        raise ConfigError(f"{path} is not there yet: run `tiphys up` first")
    sys.stdout.write(path.read_text())


@app.command(epilog="Example:  tiphys version")
def version() -> None:
    """Print the version of Tiphys and of the API it serves."""
    from tiphys.cmd.version import API_VERSION
    from tiphys.cmd.version import version as own

    typer.echo(f"tiphys {own()} (Kubernetes API {API_VERSION})")


def _component(names: str, data_dir: Path, kubeconfig_path: Path | None) -> None:
    from tiphys.cmd.process import main as run

    run(names.split(","), data_dir, kubeconfig_path)


apiserver_commands.add_to(app)
component_commands.add_to(app)
node_commands.add_to(app)
why_commands.add_to(app)
simulate_commands.add_to(app)


@app.command("metrics-server", epilog="Example:  tiphys metrics-server --data-dir /srv/a")
def metrics_server(data_dir: DataDir = DEFAULT_DATA_DIR, kubeconfig: Kubeconfig = None) -> None:
    """Run the metrics server (metrics.k8s.io) alone."""
    _component("metrics-server", data_dir, kubeconfig)


@app.command("csi-controller", epilog="Example:  tiphys csi-controller --csi-address /run/csi.sock --kubeconfig k.yaml")
def csi_controller(
    csi_address: Annotated[str, typer.Option("--csi-address", help="The socket of the CSI driver.")],
    kubeconfig: Annotated[Path, typer.Option("--kubeconfig", help="Credentials for the apiserver.")],
    leader_election: Annotated[bool, typer.Option(help="Several may run; one works.")] = True,
    strict_topology: Annotated[bool, typer.Option(help="Make volumes where their first pod was placed.")] = True,
    extra_create_metadata: Annotated[bool, typer.Option(help="Tell the driver names of claims and volumes.")] = False,
) -> None:
    """Provision, attach and resize the volumes of one CSI driver, against any apiserver."""
    from tiphys.cmd.csi_controller import csi_controller as run

    run(
        csi_address,
        kubeconfig,
        leader_elect=leader_election,
        strict_topology=strict_topology,
        extra_create_metadata=extra_create_metadata,
    )


@image_app.command(
    "build", epilog="Examples:  tiphys image build busybox   |   tiphys image build --folder ./rootfs --name app:1"
)
def image_build(
    packages: Annotated[list[str] | None, typer.Argument(help="busybox, nginx, or Debian package names.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Build from a folder that becomes the image's root.")] = None,
    name: Annotated[str, typer.Option(help="The image's name and tag.")] = "",
    entrypoint: Annotated[str, typer.Option(help="Its entry point, as shell words.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive to write.")] = Path("image.tar"),
) -> None:
    """Make an OCI image archive from Debian packages or a folder."""
    from tiphys.cmd.image_commands import build

    build(packages or [], folder, name, entrypoint, output)


@image_app.command("load", epilog="Example:  tiphys image load app.tar")
def image_load(archive: Path, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Import an OCI or Docker image archive into the node's containerd."""
    from tiphys.cmd.image_commands import load_archive

    load_archive(archive, data_dir)


@image_app.command("list", epilog="Example:  tiphys image list")
def image_list(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the images that the node has."""
    from tiphys.cmd.image_commands import show

    show(data_dir)


@token_app.command("create", epilog="Example:  tiphys token create --ttl 2h --print-join-command")
def token_create(
    token: Annotated[str, typer.Argument(help="The token; default: a random one.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    kubeconfig: Kubeconfig = None,
    ttl: Annotated[str, typer.Option("--ttl", help="How long it is good for, such as 24h; 0: for ever.")] = "24h",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    print_join_command: Annotated[
        bool, typer.Option("--print-join-command", help="Print the whole command for the machine that joins.")
    ] = False,
) -> None:
    """Make a token and print it."""
    from tiphys.cmd.token import create

    create(data_dir, kubeconfig, ttl=ttl, token=token, description=description, print_join_command=print_join_command)


@token_app.command("list", epilog="Example:  tiphys token list")
def token_list(data_dir: DataDir = DEFAULT_DATA_DIR, kubeconfig: Kubeconfig = None) -> None:
    """List the tokens, without their secret halves."""
    from tiphys.cmd.token import show

    show(data_dir, kubeconfig)


@token_app.command("delete", epilog="Example:  tiphys token delete abcdef")
def token_delete(
    tokens: Annotated[list[str], typer.Argument(help="Tokens, or their parts before the dot.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete tokens: nobody joins with them any more."""
    from tiphys.cmd.token import delete

    delete(data_dir, kubeconfig, tokens)


@user_app.command(
    "create", epilog="Example:  tiphys user create jane --namespace web --role edit --quota-cpu 2 -o jane.kubeconfig"
)
def user_create(
    name: Annotated[str, typer.Argument(help="Whom the certificate names.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where; it is made if it is not there.")],
    role: Annotated[str, typer.Option("--role", help="view, edit or admin.")] = "edit",
    quota_cpu: Annotated[str, typer.Option("--quota-cpu", help="Cores the namespace may use, such as 2.")] = "",
    quota_memory: Annotated[str, typer.Option("--quota-memory", help="Memory it may use, such as 4Gi.")] = "",
    quota_storage: Annotated[str, typer.Option("--quota-storage", help="Storage its claims may ask for.")] = "",
    quota_pods: Annotated[str, typer.Option("--quota-pods", help="How many pods it may have.")] = "",
    pod_security: Annotated[
        str, typer.Option("--pod-security", help="What its pods may be: restricted, baseline or privileged.")
    ] = "baseline",
    days: Annotated[int, typer.Option("--days", help="How long the certificate is good for.")] = 365,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The kubeconfig; default: print it.")] = None,
    server: Annotated[str, typer.Option("--server", help="The apiserver's URL in the kubeconfig.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Give somebody rights in one namespace, and print the kubeconfig to use them with."""
    from tiphys.cmd.user_quota import Quota
    from tiphys.cmd.users import UserOptions, create

    quota = Quota(quota_cpu, quota_memory, quota_storage, quota_pods)
    options = UserOptions(name, namespace, role, pod_security, days, quota)
    create(data_dir, kubeconfig, options, output, server=server)


@user_app.command("list", epilog="Example:  tiphys user list")
def user_list(data_dir: DataDir = DEFAULT_DATA_DIR, kubeconfig: Kubeconfig = None) -> None:
    """List who has which rights where."""
    from tiphys.cmd.users import show

    show(data_dir, kubeconfig)


@user_app.command("delete", epilog="Example:  tiphys user delete jane")
def user_delete(name: str, data_dir: DataDir = DEFAULT_DATA_DIR, kubeconfig: Kubeconfig = None) -> None:
    """Take a user's rights back. Namespaces and what is in them stay."""
    from tiphys.cmd.users import delete

    delete(data_dir, kubeconfig, name)


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535):
        raise ConfigError(f"--node-port-range {text} is not a range of ports such as 30000-32767")
    return int(first), int(last)


def _scheduler_config(path: Path | None) -> str:
    if path is None:
        return ""
    # Only now: the scheduler's rooms and NumPy are nothing that starting a cluster needs.
    from tiphys.cmd.scheduler import text_of

    return text_of("--scheduler-config", path)


def _network_backend(text: str) -> Literal["vxlan", "routes", ""]:
    known: Literal["vxlan", "routes", ""]
    for known in ("vxlan", "routes", ""):
        if text == known:
            return known
    raise ConfigError(f"--network-backend {text} is neither vxlan nor routes")


def _file(flag: str, path: Path | None) -> str:
    if path is None:
        return ""
    if not path.is_file():
        raise ConfigError(f"{flag} {path}: no such file")
    return str(path.resolve())


def _given(context: typer.Context) -> frozenset[str]:
    """The flags that the user gave himself, on the command line or by the environment."""
    return frozenset(
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and getattr(context.get_parameter_source(parameter.name), "name", "DEFAULT") != "DEFAULT"
    )


def main() -> None:
    """Entry point of the console script: errors of the user's are one line, not a traceback."""
    try:
        app()
    except ConfigError as error:
        typer.echo(f"tiphys: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
