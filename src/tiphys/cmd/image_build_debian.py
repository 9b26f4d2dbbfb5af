"""A root file system from Debian packages: downloaded by apt, read without installing, closed over shared libraries."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tiphys.cmd.image_build import Entry, Tree

# Wanted by maintainer scripts and running systems, not by a program in a container; not followed either.
NOT_FOLLOWED = frozenset(
    {
        *("adduser", "cdebconf", "debconf", "debianutils", "dpkg", "init-system-helpers", "iproute2", "lsb-base"),
        *("perl-base", "sensible-utils", "sysvinit-utils", "systemd", "ucf"),
    }
)
NOT_KEPT = re.compile(
    r"usr/share/(doc/[^/]+/(?!copyright$)|man/|locale/|lintian/|bash-completion/|vim/|apport/|bug/|info/|menu/|pixmaps/)"
    r"|usr/lib/[^/]+/gconv/|etc/(init\.d|logrotate\.d|cron\.|ufw|default)/|lib/systemd/|usr/lib/systemd/"
)
MERGED_DIRECTORIES = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
APT_TIMEOUT_SECONDS = 300


class PackageError(Exception):
    """Packages cannot be had or do not make a whole program; the text is for the user."""


def _run(command: list[str], cwd: Path | None = None) -> bytes:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=APT_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise PackageError(f"{' '.join(command[:3])}…: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def parse_dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """``apt-cache depends --recurse`` output to what each package depends on; a virtual one is its first provider."""
    graph: dict[str, list[str]] = {}
    current, virtual = "", False
    for line in text.splitlines():
        stripped = line.strip()
        if not line.startswith(" "):
            current, virtual = stripped, False
            graph.setdefault(current, [])
        elif stripped.startswith(("Depends:", "PreDepends:", "|Depends:", "|PreDepends:")):
            name = stripped.split(": ", 1)[1]
            virtual = name.startswith("<")
            if not virtual:
                graph[current].append(name)
        elif virtual:
            graph[current].append(stripped)
            virtual = False
    return {name: tuple(dict.fromkeys(found)) for name, found in graph.items()}


def closure(graph: Mapping[str, tuple[str, ...]], packages: Iterable[str]) -> list[str]:
    """The packages and what they depend on, sorted; those of NOT_FOLLOWED only if asked for by name."""
    pending, wanted = list(packages), set()
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += [d for d in graph.get(name, ()) if d not in NOT_FOLLOWED]
    return sorted(wanted)


def resolve(packages: Iterable[str]) -> list[str]:
    names = list(packages)
    exclude = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    options = ["-o", "APT::Cache::ShowOnlyFirstOr=true"]
    output = _run(["apt-cache", "depends", "--recurse", *exclude, *options, *names])
    return closure(parse_dependencies(output.decode()), names)


def download(packages: Iterable[str], cache: Path) -> list[Path]:
    """The newest .deb of each package, in the same order; those in the cache are not fetched again."""
    cache.mkdir(parents=True, exist_ok=True)
    names = list(packages)
    apt_get = ["apt-get", "-o", "APT::Sandbox::User=root", "-qq"]
    files = [line.split(" ")[1] for line in _run([*apt_get, "--print-uris", "download", *names]).decode().splitlines()]
    missing = [file for file in files if not (cache / file).is_file()]
    if missing:
        _run([*apt_get, "download", *(file.split("_", 1)[0] for file in missing)], cwd=cache)
    absent = [file for file in files if not (cache / file).is_file()]
    if absent:
        raise PackageError(f"apt-get download did not bring {', '.join(absent)}")
    return [cache / file for file in files]


def _merged(name: str) -> str:
    """A path as on a system with merged /usr, which the image is."""
    first = name.split("/", 1)[0]
    return f"usr/{name}" if first in MERGED_DIRECTORIES else name


def read_package(package: Path) -> Tree:
    """The files a package would install, but its documentation (the copyright stays) and system integration."""
    tree: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(_run(["dpkg-deb", "--fsys-tarfile", str(package)]))) as tar:
        for member in tar:
            name = _merged(member.name.removeprefix("./").strip("/"))
            if name in ("", ".") or NOT_KEPT.match(name):
                continue
            if member.isdir():
                if name not in MERGED_DIRECTORIES:
                    tree[name] = Entry(member.mode)
            elif member.issym():
                tree[name] = Entry(0o777, target=member.linkname)
            elif member.isfile() or member.islnk():
                source = tar.extractfile(member)
                tree[name] = Entry(member.mode, data=source.read() if source else b"")
    return tree


def read_packages(packages: Iterable[Path]) -> Tree:
    tree: Tree = {}
    for package in packages:
        tree |= read_package(package)
    for directory in MERGED_DIRECTORIES:
        if any(name.startswith(f"usr/{directory}/") for name in tree):
            tree[directory] = Entry(0o777, target=f"usr/{directory}")
    return tree


NEEDED = re.compile(rb"\x00(lib[A-Za-z0-9_+.-]+\.so[.0-9]*|ld-linux[A-Za-z0-9_.-]+)(?=\x00)")


def missing_libraries(tree: Mapping[str, Entry]) -> list[str]:
    """Sonames that dynamic programs (under bin and sbin) name and no file of the tree bears."""
    present = {PurePosixPath(name).name for name in tree}
    wanted: set[str] = set()
    for name, entry in tree.items():
        if "bin/" in name and entry.data and entry.data[:4] == b"\x7fELF":
            head = entry.data[: _dynamic_strings_end(entry.data)]
            wanted |= {match.decode() for match in NEEDED.findall(head)}
    return sorted(wanted - present)


def _dynamic_strings_end(elf: bytes) -> int:
    """The dynamic string table is at the front of a program, before its code: look no further."""
    return min(len(elf), 64 * 1024)


def packages_tree(packages: Iterable[str], cache: Path) -> Tree:
    """The root file system of the packages with their dependencies. Raises PackageError with the reason."""
    tree = read_packages(download(resolve(packages), cache))
    missing = missing_libraries(tree)
    if missing:
        raise PackageError(f"no package brought {', '.join(missing)}")
    return tree
