"""The images a cluster without a registry starts from: sandbox, busybox and nginx."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.cmd.image_build import Entry, ImageConfig, Tree, architecture, write_archive
from tiphys.cmd.image_build_debian import MERGED_DIRECTORIES, packages_tree

SANDBOX_IMAGE = "localhost/tiphys/pause:1"
INGRESS_IMAGE = "localhost/tiphys/ingress:1"  # nginx, with inotifywait to hear of new configuration
FORMAT = 1  # part of an archive's name: raise it when the same recipe makes another image
# The dynamic one: a static glibc looks up names with libraries that must be found beside it.
BUSYBOX = "usr/bin/busybox"
LIBRARIES = "usr/lib/"

_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"
# Debian builds busybox's wget without timeouts, and then it crashes when it is given one.
_WGET = b"""\
#!/bin/sh
seconds= next=
for argument do
  shift
  if [ "$next" ]; then seconds=$argument next=; continue; fi
  case $argument in
    -T|--timeout) next=1;;
    -T*) seconds=${argument#-T};;
    --timeout=*) seconds=${argument#*=};;
    *) set -- "$@" "$argument";;
  esac
done
exec ${seconds:+timeout "$seconds"} busybox wget "$@"
"""
SYSTEM_FILES = {
    "usr/bin/wget": Entry(0o755, _WGET),
    "etc/passwd": Entry(0o644, _PASSWD),
    "etc/group": Entry(0o644, _GROUP),
    "etc/nsswitch.conf": Entry(0o644, b"passwd: files\ngroup: files\nhosts: files dns\n"),
    "root": Entry(0o700),
    "tmp": Entry(0o1777),
    "var/tmp": Entry(0o1777),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image from Debian packages; ``files`` replace what the packages bring, ``keep`` limits it to these paths."""

    name: str
    references: tuple[str, ...]
    packages: tuple[str, ...]
    config: ImageConfig
    files: Mapping[str, Entry] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    applets: bool = False

    def fingerprint(self) -> str:
        """Changes when the recipe does; equal fingerprints may share a built archive."""
        facts = [
            FORMAT,
            architecture(),
            self.references,
            self.packages,
            self.config.to_dict(),
            [[name, e.mode, (e.data or b"").decode("latin-1"), e.target] for name, e in sorted(self.files.items())],
            self.keep,
            self.applets,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


_NGINX_CONF = b"""\
user  www-data;
worker_processes  auto;
error_log  /var/log/nginx/error.log notice;
pid        /run/nginx.pid;
events { worker_connections  1024; }
http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    access_log    /var/log/nginx/access.log combined;
    sendfile      on;
    keepalive_timeout  65;
    include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_SITE = b"""\
server {
    listen       80;
    server_name  localhost;
    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
    error_page   500 502 503 504  /50x.html;
    location = /50x.html { root   /usr/share/nginx/html; }
}
"""


def _tags(name: str, *tags: str) -> tuple[str, ...]:
    return tuple(f"docker.io/library/{name}:{tag}" for tag in ("latest", *tags))


PAUSE_RECIPE = Recipe(
    name="pause",
    references=(SANDBOX_IMAGE,),
    packages=("catatonit",),
    keep=("usr/bin/catatonit", "usr/share/doc/catatonit/copyright"),
    config=ImageConfig(entrypoint=("/usr/bin/catatonit", "-P"), user="65534:65534"),
)
BUSYBOX_RECIPE = Recipe(
    name="busybox",
    references=_tags("busybox", "stable", "1", "1.28", "1.35", "1.36"),
    packages=("busybox",),
    config=ImageConfig(command=("sh",)),
    files=SYSTEM_FILES,
    applets=True,
)
NGINX_RECIPE = Recipe(
    name="nginx",
    references=(*_tags("nginx", "stable", "alpine", "1", "1.22", "1.27", "1.14.2", "1.16.1"), INGRESS_IMAGE),
    packages=("nginx-light", "busybox", "inotify-tools"),
    config=ImageConfig(command=("nginx", "-g", "daemon off;"), exposed_ports=("80/tcp",), stop_signal="SIGQUIT"),
    files={
        **SYSTEM_FILES,
        "etc/passwd": Entry(0o644, _PASSWD + b"www-data:x:33:33:www-data:/var/www:/bin/false\n"),
        "etc/group": Entry(0o644, _GROUP + b"www-data:x:33:\n"),
        "etc/nginx/nginx.conf": Entry(0o644, _NGINX_CONF),
        "etc/nginx/conf.d/default.conf": Entry(0o644, _NGINX_SITE),
        "var/log/nginx/access.log": Entry(0o777, target="/dev/stdout"),
        "var/log/nginx/error.log": Entry(0o777, target="/dev/stderr"),
        "var/lib/nginx": Entry(0o755),
        "run": Entry(0o755),
        "var/run": Entry(0o777, target="/run"),
    },
    applets=True,
)
RECIPES = (PAUSE_RECIPE, BUSYBOX_RECIPE, NGINX_RECIPE)


def _applets(tree: Tree) -> Tree:
    """A link for each applet, under the directory busybox itself names. It is run with the image's own libraries."""
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in tree.items():
            path = Path(folder) / name
            if name == BUSYBOX or name.startswith(LIBRARIES):
                path.parent.mkdir(parents=True, exist_ok=True)
                if entry.target and "/" not in entry.target:
                    path.symlink_to(entry.target)
                elif entry.data is not None:
                    path.write_bytes(entry.data)
                    path.chmod(0o755)
        loader = next(path for path in Path(folder).rglob("ld-linux*") if path.is_file() and not path.is_symlink())
        command = [str(loader), "--library-path", str(loader.parent), f"{folder}/{BUSYBOX}", "--list-full"]
        listed = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout.decode()
    links: Tree = {}
    for applet in listed.split():
        name = applet if applet.startswith("usr/") else f"usr/{applet}"
        links[name] = Entry(0o777, target="/" + BUSYBOX)
    links.pop(BUSYBOX, None)
    return links


def tree_of(recipe: Recipe, cache: Path) -> Tree:
    tree = packages_tree(recipe.packages, cache)
    if recipe.keep:
        tree = {name: entry for name, entry in tree.items() if name in recipe.keep}
    if recipe.applets:
        tree = with_applets(tree)
    return {**tree, **recipe.files}


def with_applets(tree: Tree) -> Tree:
    """The tree, in which busybox is, with a link for each applet that is no program of its own."""
    links = _applets(tree)
    linked = {**links, **tree}
    for name in {link.split("/")[1] for link in links}:
        if name in MERGED_DIRECTORIES:
            linked[name] = Entry(0o777, target=f"usr/{name}")
    return linked


def build(recipe: Recipe, folder: Path, *, again: bool = False) -> Path:
    """The archive of a recipe, built only if ``folder`` has none of the same fingerprint. Raises PackageError."""
    archive = folder / f"{recipe.name}-{recipe.fingerprint()}.tar"
    if again or not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(archive, tree_of(recipe, folder / "packages"), recipe.config, recipe.references)
        for older in folder.glob(f"{recipe.name}-????????????.tar"):
            if older != archive:
                older.unlink()
    return archive
