"""containerd's configuration and what is left of its pods, without containerd."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tiphys.cmd import containerd_remains
from tiphys.cmd.containerd import Containerd
from tiphys.cmd.containerd_config import CAP_SYS_RESOURCE, ContainerdPaths, lacks_capability, render


def rendered(data_dir: Path, **changes: object) -> dict[str, object]:
    values = {"sandbox_image": "pause:1", "snapshotter": "overlayfs", "restrict_oom_score_adj": False} | changes
    return tomllib.loads(render(ContainerdPaths(data_dir), **values))  # type: ignore[arg-type]


def test_everything_lies_under_the_data_directory() -> None:
    data_dir = Path('/var/lib/my "cluster"')
    config = rendered(data_dir)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]  # type: ignore[index]
    runc = cri["containerd"]["runtimes"]["runc"]["options"]
    places = (config["root"], config["state"], config["grpc"]["address"], runc["Root"], cri["cni"]["conf_dir"])  # type: ignore[index]
    assert all(str(place).startswith(str(data_dir)) for place in places)
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["stream_server_address"] == "127.0.0.1"


@pytest.mark.parametrize("restricted", [True, False])
def test_the_host_decides_on_oom_scores(restricted: bool) -> None:
    config = rendered(Path("/d"), restrict_oom_score_adj=restricted)
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is restricted  # type: ignore[index]


@pytest.mark.parametrize(
    ("mask", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False), ("0000000000000000", True)]
)
def test_capabilities_are_read_from_the_kernel(mask: str, lacks: bool) -> None:
    assert lacks_capability(CAP_SYS_RESOURCE, f"Name:\tx\nCapEff:\t{mask}\nCapBnd:\t0\n") is lacks


def test_a_data_directory_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    ContainerdPaths(Path("/var/lib/tiphys")).check()
    with pytest.raises(ValueError, match="too long"):
        ContainerdPaths(tmp_path / ("x" * 100)).check()


def test_a_recycled_process_id_is_not_the_daemon(tmp_path: Path) -> None:
    containerd = Containerd(tmp_path, sandbox_image="pause:1")
    assert containerd.pid() is None
    containerd.paths.home.mkdir()
    containerd.paths.pid_file.write_text("1 999999999999")
    assert containerd.pid() is None


def test_mounts_below_a_folder_the_newest_first() -> None:
    mounts = "a / ext4\nb /d/state x\nc /d/state/one\\040two x\nd /d/state2 x\ne /d/other x\n"
    assert containerd_remains.mounts_below(Path("/d/state"), mounts) == ["/d/state/one two", "/d/state"]


def test_the_shims_of_another_containerd_are_not_ours() -> None:
    assert containerd_remains.shim_pids(Path("/no/such/socket")) == []


async def test_taking_back_nothing_is_fine(tmp_path: Path) -> None:
    containerd = Containerd(tmp_path / "never", sandbox_image="pause:1")
    await containerd.destroy()
    await containerd.stop()
