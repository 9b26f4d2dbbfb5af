"""The operators' own Python environment, and the published examples of kopf: made once, kept in .cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / "operators.txt"
_CACHE = ROOT / ".cache"
_UV = Path(sys.executable).parent / "uv"
_INSTALL_TIMEOUT_SECONDS = 300


def environment() -> Path:
    """The `bin` folder of the environment that the lock file describes."""
    made = _CACHE / f"operators-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    done = made / ".complete"
    if not done.exists():
        shutil.rmtree(made, ignore_errors=True)
        _run([str(_UV), "venv", "--quiet", "--python", sys.executable, str(made)])
        install = [str(_UV), "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
        _run(install, {"VIRTUAL_ENV": str(made)})
        done.touch()
    return made / "bin"


def kopf_examples() -> Path:
    """The examples that come with the locked kopf: only its source archive has them."""
    version, hashes = _locked("kopf")
    unpacked = _CACHE / f"kopf-{version}"
    if not unpacked.is_dir():
        download = [str(environment() / "python"), "-m", "ensurepip", "--upgrade"]
        _run(download)
        _CACHE.mkdir(exist_ok=True)
        archive = _CACHE / f"kopf-{version}.tar.gz"
        _run(
            [
                *(str(environment() / "python"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-binary", ":all:", "--dest", str(_CACHE), f"kopf=={version}"),
            ]
        )
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert found in hashes, f"{archive} is not what was locked"
        with tarfile.open(archive) as packed:
            packed.extractall(_CACHE, filter="data")
    return unpacked / "examples"


def _locked(package: str) -> tuple[str, set[str]]:
    """A package's version and hashes in the lock file."""
    text = LOCK.read_text()
    entry = re.search(rf"^{package}==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
    assert entry is not None, f"{package} is not locked"
    return entry[1], set(re.findall(r"sha256:(\w+)", entry[2]))


def _run(command: list[str], variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT_SECONDS,
        env=os.environ | (variables or {}),
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
