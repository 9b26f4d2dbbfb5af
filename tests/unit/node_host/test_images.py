"""Images built from files and from Debian packages' own words, without apt and without a runtime."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tiphys.cmd import image_build_recipes
from tiphys.cmd.image_build import Entry, ImageConfig, layer, normalize_reference, read_folder, write_archive
from tiphys.cmd.image_build_debian import closure, missing_libraries, parse_dependencies, read_package
from tiphys.cmd.image_build_recipes import BUSYBOX_RECIPE, RECIPES, build
from tiphys.cmd.images import ImageError, load, parse_imported

TREE = {"usr/bin/run": Entry(0o755, b"#!/bin/sh\n"), "bin": Entry(0o777, target="usr/bin"), "tmp": Entry(0o1777)}
CONFIG = ImageConfig(command=("run",), exposed_ports=("80/tcp",))


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("me/app", "docker.io/me/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
    ],
)
def test_names_are_completed_as_everyone_does(short: str, full: str) -> None:
    assert normalize_reference(short) == full


def test_equal_trees_are_equal_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "a", TREE, CONFIG, ["app"])
    write_archive(tmp_path / "b", dict(reversed(TREE.items())), CONFIG, ["app"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_archive_is_an_oci_layout_whose_digests_hold(tmp_path: Path) -> None:
    write_archive(tmp_path / "image.tar", TREE, CONFIG, ["app", "app:2"])
    with tarfile.open(tmp_path / "image.tar") as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(blob).hexdigest() == name.rpartition("/")[2]
    index = json.loads(blobs["index.json"])
    names = [m["annotations"]["io.containerd.image.name"] for m in index["manifests"]]
    assert names == ["docker.io/library/app:latest", "docker.io/library/app:2"]
    manifest = json.loads(blobs["blobs/sha256/" + index["manifests"][0]["digest"].split(":")[1]])
    config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"].split(":")[1]])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"] == {
        "Cmd": ["run"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "ExposedPorts": {"80/tcp": {}},
    }


def test_a_layer_has_every_parent_and_belongs_to_root(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(layer(TREE))
    with tarfile.open(tmp_path / "layer") as tar:
        members = {m.name: m for m in tar}
    assert list(members) == ["bin", "tmp", "usr", "usr/bin", "usr/bin/run"]
    assert members["tmp"].mode == 0o1777
    assert members["bin"].linkname == "usr/bin"
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}


def test_a_folder_becomes_a_tree(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "run").write_bytes(b"x")
    (tmp_path / "bin" / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("bin/run")
    os.mkfifo(tmp_path / "pipe")
    tree = read_folder(tmp_path)
    assert tree["bin/run"] == Entry(0o755, b"x")
    assert tree["link"].target == "bin/run"
    assert tree["bin"].is_directory
    assert "pipe" not in tree


APT = """\
app
  Depends: libone
 |Depends: debconf
  Depends: <virtual>
    provider
    other
  PreDepends: dpkg
libone
  Depends: libtwo
libtwo
<virtual>
provider
"""


def test_dependencies_are_closed_over_and_installers_left_out() -> None:
    graph = parse_dependencies(APT)
    assert graph["app"] == ("libone", "debconf", "provider", "dpkg")
    assert closure(graph, ["app"]) == ["app", "libone", "libtwo", "provider"]
    assert "dpkg" in closure(graph, ["app", "dpkg"])


def test_a_program_without_its_library_is_noticed() -> None:
    program = Entry(0o755, b"\x7fELF" + b"\0libone.so.1\0libtwo.so.2\0")
    tree = {"usr/bin/app": program, "usr/lib/x/libone.so.1": Entry(0o644, b"")}
    assert missing_libraries(tree) == ["libtwo.so.2"]


def test_a_package_is_read_without_installing_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    document = "usr/share/doc/app"
    for name in ("DEBIAN/control", "bin/app", f"{document}/copyright", f"{document}/NEWS", "etc/init.d/app"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("Package: app\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n")
    subprocess.run(["dpkg-deb", "-b", root, tmp_path / "app.deb"], check=True, capture_output=True)
    files = {name for name, entry in read_package(tmp_path / "app.deb").items() if not entry.is_directory}
    # On a merged /usr, without documentation but for the licence.
    assert files == {"usr/bin/app", "usr/share/doc/app/copyright"}


def test_an_archive_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(image_build_recipes, "tree_of", lambda recipe, cache: calls.append(recipe.name) or TREE)
    (tmp_path / "busybox-000000000000.tar").write_bytes(b"of an older recipe")
    first = build(BUSYBOX_RECIPE, tmp_path)
    assert build(BUSYBOX_RECIPE, tmp_path) == first
    assert calls == ["busybox"]
    assert list(tmp_path.glob("*.tar")) == [first]
    build(BUSYBOX_RECIPE, tmp_path, again=True)
    assert calls == ["busybox", "busybox"]


def test_recipes_do_not_share_names() -> None:
    names = [reference for recipe in RECIPES for reference in recipe.references]
    assert len(names) == len(set(names))
    assert all(normalize_reference(name) == name for name in names)


async def test_loading_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        await load(tmp_path / "socket", tmp_path / "absent.tar")


def test_imported_names_are_read_from_ctr() -> None:
    output = "unpacking docker.io/library/a:1 (sha256:0)...done\nunpacking localhost/b:2 (sha256:1)...done\n"
    assert parse_imported(output) == ["docker.io/library/a:1", "localhost/b:2"]


@pytest.mark.parametrize(
    "arguments",
    [["-T", "2", "-q", "URL"], ["-T2", "-q", "URL"], ["-q", "URL", "--timeout=2"], ["-q", "--timeout", "2", "URL"]],
)
def test_the_busybox_image_has_a_wget_with_timeouts(tmp_path: Path, arguments: list[str]) -> None:
    wget = BUSYBOX_RECIPE.files["usr/bin/wget"]
    for name, text in (("timeout", '#!/bin/sh\necho timeout "$@"\n'), ("busybox", '#!/bin/sh\necho busybox "$@"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = tmp_path / "wget"
    script.write_bytes(wget.data or b"")
    command = ["/bin/sh", script, *arguments]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout == "timeout 2 busybox wget -q URL\n"
