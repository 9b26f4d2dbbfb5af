"""`tiphys image build | load | list`."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tiphys.cmd import config as cluster_config
from tiphys.cmd import image_build_tiphys
from tiphys.cmd.config import ConfigError
from tiphys.cmd.containerd_config import ContainerdPaths
from tiphys.cmd.hosts import record
from tiphys.cmd.image_build import ImageConfig, normalize_reference, read_folder, write_archive
from tiphys.cmd.image_build_debian import PackageError, packages_tree
from tiphys.cmd.image_build_recipes import RECIPES
from tiphys.cmd.image_build_recipes import build as build_recipe
from tiphys.cmd.images import ImageError, list_images, load
from tiphys.cmd.node import containerd_of, image_cache
from tiphys.cri.errors import CriError

console = Console(highlight=False, soft_wrap=True)


def build(packages: list[str], folder: Path | None, name: str, entrypoint: str, output: Path) -> None:
    """Write an image archive to `output`: a recipe by its name, Debian packages with what they need, or a folder."""
    if bool(packages) == bool(folder):
        raise ConfigError("name packages, or give --folder: one of the two")
    if packages == [image_build_tiphys.NAME] and not name:
        try:
            archive = image_build_tiphys.build(image_cache())
        except PackageError as error:
            raise ConfigError(str(error)) from error
        shutil.copyfile(archive, output)
        console.print(f"{output}: {image_build_tiphys.reference()}")
        return
    recipe = next((r for r in RECIPES if packages == [r.name]), None)
    try:
        if recipe is not None and not name:
            archive = build_recipe(recipe, image_cache())
            output.write_bytes(archive.read_bytes())
            console.print(f"{output}: {', '.join(recipe.references)}")
            return
        if not name:
            raise ConfigError("an image needs a name: --name app:1")
        if folder is not None:
            if not folder.is_dir():
                raise ConfigError(f"--folder {folder} is not a folder")
            tree = read_folder(folder)
        else:
            with tempfile.TemporaryDirectory(prefix="tiphys-image-") as cache:
                tree = packages_tree(packages, Path(cache))
    except PackageError as error:
        raise ConfigError(str(error)) from error
    reference = normalize_reference(name)
    write_archive(output, tree, ImageConfig(entrypoint=tuple(shlex.split(entrypoint))), [reference])
    console.print(f"{output}: {reference}")


def load_archive(archive: Path, data_dir: Path) -> None:
    """Import an archive into the containerd of every node of the cluster here, and print the names it brought."""
    names: dict[str, None] = {}
    for socket in _sockets(data_dir):
        try:
            names |= dict.fromkeys(asyncio.run(load(socket, archive)))
        except ImageError as error:
            raise ConfigError(str(error)) from error
    for name in names:
        console.print(name)


def _sockets(data_dir: Path) -> list[Path]:
    """The containerd of this machine's node, or of every host that is a node and runs."""
    config = cluster_config.load(data_dir.resolve())
    hosts = record.load(config)
    if hosts is None:
        return [containerd_of(config).socket]
    found = [ContainerdPaths(record.directory(config, host)).socket for host in hosts.of("worker")]
    alive = [socket for socket in found if socket.is_socket()]
    if not alive:
        raise ConfigError("no node of the cluster runs: `tiphys up` starts them")
    return alive


def show(data_dir: Path) -> None:
    """Print the node's images; of a cluster on hosts, those of its first node that runs."""
    socket = _sockets(data_dir)[0]
    try:
        images = asyncio.run(list_images(socket))
    except CriError as error:
        raise ConfigError(f"containerd does not answer ({error}): is the cluster up?") from error
    table = Table("image", "id", "size", box=None)
    for image in sorted(images, key=lambda i: i.repo_tags):
        for tag in image.repo_tags or ("<none>",):
            table.add_row(tag, image.id.removeprefix("sha256:")[:12], f"{image.size_bytes / 1e6:.1f} MB")
    console.print(table)
