"""Components by themselves: their flags, the manifests they run from, and what is wrong in one line."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tiphys.api import codec, validation
from tiphys.api.defaulting import default
from tiphys.api.types.apps_v1 import DaemonSet
from tiphys.api.types.core_v1 import ServiceAccount
from tiphys.api.types.rbac_v1 import ClusterRoleBinding
from tiphys.cmd import component_commands, manifests, standalone
from tiphys.cmd.certificates import Authority, Profile
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.foreground import notify
from tiphys.cmd.init import init, settings_of
from tiphys.cmd.main import app
from tiphys.kubelet.pods.static import static_pod

CONFIG = ClusterConfig(data_dir="/srv/a", node_name="n", node_ip="192.0.2.1", secure_port=7443)
KINDS: dict[str, type[Any]] = {
    "DaemonSet": DaemonSet,
    "ServiceAccount": ServiceAccount,
    "ClusterRoleBinding": ClusterRoleBinding,
}


@pytest.fixture(name="ran")
def _ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What would have been run."""
    made: list[tuple[str, Any]] = []
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(component_commands, "_alone", lambda name, part: made.append((name, part)))
    monkeypatch.setattr(
        component_commands,
        "_in_cluster_dir",
        lambda name, folder, path, **more: made.append((name, (folder, path, more))),
    )
    for name in ("scheduler", "controller_manager", "kubelet", "proxy", "dns"):
        monkeypatch.setattr(standalone, name, lambda *flags, **more: (*flags, more))
    monkeypatch.setattr(standalone, "credentials", lambda path: f"credentials of {path}")
    return made


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_kubeconfig_alone_is_enough(ran: list[tuple[str, Any]]) -> None:
    run("scheduler", "--kubeconfig", "k", "--leader-elect=false")
    run("scheduler", "--kubeconfig", "k", "--leader-elect=true")
    run("dns", "--kubeconfig", "k", "--hostname-override", "N1", "--cluster-domain", "own.local")
    assert ran == [
        ("scheduler", ("credentials of k", {"leader_elect": False})),
        ("scheduler", ("credentials of k", {"leader_elect": True})),
        ("dns", ("credentials of k", {"hostname_override": "N1", "cluster_domain": "own.local"})),
    ]


def test_with_a_data_directory_its_settings_count(ran: list[tuple[str, Any]]) -> None:
    run("scheduler", "--data-dir", "d")
    run("kubelet", "--data-dir", "d", "--kubeconfig", "k")
    run("proxy")
    assert ran == [
        ("scheduler", (Path("d"), None, {"leader_elect": True})),
        ("kubelet", (Path("d"), Path("k"), {})),
        ("proxy", (None, None, {})),
    ]


def test_in_a_pod_the_service_account_is_enough(ran: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    run("proxy", "--cluster-cidr", "10.1.0.0/16")
    [(name, (credentials, flags, _))] = ran
    assert (name, credentials, flags.cluster_cidr) == ("proxy", "credentials of None", "10.1.0.0/16")


def test_flags_have_upstreams_names(ran: list[tuple[str, Any]]) -> None:
    run(
        *("controller-manager", "--kubeconfig", "k", "--controllers", "*,-job-controller"),
        *("--allocate-node-cidrs=true", "--cluster-cidr", "10.1.0.0/16", "--root-ca-file", "ca.crt"),
        *("--cluster-signing-cert-file", "ca.crt", "--cluster-signing-key-file", "ca.key"),
        *("--cluster-signing-duration", "1h30m"),
    )
    run(
        "kubelet",
        "--kubeconfig",
        "k",
        "--node-labels",
        "a=b,c=",
        "--cluster-dns",
        "10.96.0.10",
        "--node-ip",
        "192.0.2.7",
    )
    manager, kubelet = ran[0][1][1], ran[1][1][0]
    assert manager.cluster_signing_duration_seconds == 5400 and manager.allocate_node_cidrs
    assert manager.controllers == ("*", "-job-controller")
    assert (kubelet.node_labels, kubelet.cluster_dns) == ({"a": "b", "c": ""}, ("10.96.0.10",))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: component_commands.seconds_of("--x", "5"), "--x 5 is not a duration"),
        (lambda: component_commands.labels_of("a"), "--node-labels a is not of the form"),
        (lambda: standalone.credentials(Path("/nowhere")), "no credentials"),
        (lambda: standalone.file_of("--root-ca-file", Path("/nowhere")), "--root-ca-file: "),
        (lambda: manifests.show("nothing", Path("/nowhere"), "", None), "no manifests for 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(act: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        act()
    assert "\n" not in str(error.value)


def test_static_pods_are_valid_and_see_only_their_files() -> None:
    made = manifests.control_plane(CONFIG, "localhost/tiphys/tiphys:1")
    assert list(made) == ["kube-apiserver.yaml", "kube-scheduler.yaml", "kube-controller-manager.yaml"]
    for manifest in made.values():
        pod = static_pod(yaml.safe_dump(manifest).encode(), "n")
        assert pod.spec.host_network and pod.spec.priority_class_name == "system-node-critical"
        [container] = pod.spec.containers
        assert container.security_context is not None and container.security_context.capabilities is not None
        assert container.security_context.capabilities.drop == ("ALL",)
        paths = {volume.host_path.path for volume in pod.spec.volumes if volume.host_path is not None}
        assert "/srv/a" not in paths and all(path.startswith("/srv/a/") for path in paths)
        writes = {mount.mount_path for mount in container.volume_mounts if not mount.read_only}
        assert bool(writes) == (container.name == "kube-apiserver")
    scheduler = static_pod(yaml.safe_dump(made["kube-scheduler.yaml"]).encode(), "n")
    assert not any("ca.key" in (volume.host_path.path if volume.host_path else "") for volume in scheduler.spec.volumes)


def test_what_runs_on_nodes_is_valid() -> None:
    for manifest in manifests.node(CONFIG, "localhost/tiphys/tiphys:1").values():
        obj = default(codec.from_dict(KINDS[manifest["kind"]], manifest))
        assert validation.validate_create(obj) == []
    proxy = manifests.node(CONFIG, "i")["kube-proxy.yaml"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "192.0.2.1"} in proxy["env"]
    assert {"name": "KUBERNETES_SERVICE_PORT", "value": "7443"} in proxy["env"]


def test_settings_without_starting_anything(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "a", node_name="n", node_ip="192.0.2.1", role="server", service_cidr="")
    assert (settings.role, settings.service_cidr) == ("server", "10.96.0.0/12")
    assert init(settings) and not init(settings)
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "a").rglob("*") if p.is_file()} == {0o600}
    other = settings_of(tmp_path / "a", node_name="n", node_ip="192.0.2.1", role="server", secure_port=7000)
    with pytest.raises(ConfigError, match="with another secure_port"):
        init(other)
    with pytest.raises(ConfigError, match="role"):
        settings_of(tmp_path / "b", node_ip="192.0.2.1", role="king")


def test_a_service_manager_is_told_and_its_absence_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
    abstract = f"tiphys-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + abstract)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + abstract)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_users_do_not_become_front_proxies(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = Authority.load_or_create(tmp_path / "ca.crt", tmp_path / "ca.key", "kubernetes", now)
    serving = ca.issue(Profile("kube-apiserver", names=("127.0.0.1",)), now)
    (tmp_path / "tls.crt").write_bytes(serving.certificate)
    (tmp_path / "tls.key").write_bytes(serving.key)
    files = ["--tls-cert-file", "tls.crt", "--tls-private-key-file", "tls.key", "--client-ca-file", "ca.crt"]
    flags = [*files, "--requestheader-client-ca-file", "ca.crt", "--requestheader-allowed-names="]
    flags = [str(tmp_path / flag) if flag.endswith((".crt", ".key")) else flag for flag in flags]
    result = CliRunner().invoke(app, ["apiserver", "--sqlite-file", str(tmp_path / "state.db"), *flags])
    assert isinstance(result.exception, ConfigError)
    assert "--requestheader-allowed-names must say" in str(result.exception)
    assert not (tmp_path / "state.db").exists()
