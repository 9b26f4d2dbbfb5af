"""The programs a node needs from the host's distribution: which are missing, and their installation by apt."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

APT_TIMEOUT_SECONDS = 900
POLICY_RC_D = Path("/usr/sbin/policy-rc.d")


class HostPackagesError(Exception):
    """Programs are missing and could not be installed; the text says what the user can do."""


@dataclass(frozen=True, slots=True)
class Program:
    """``name`` is a program on the PATH, or an absolute path; ``package`` is what brings it on Debian and Ubuntu."""

    name: str
    package: str

    def present(self) -> bool:
        return Path(self.name).exists() if self.name.startswith("/") else shutil.which(self.name) is not None


PROGRAMS = (
    Program("containerd", "containerd"),
    Program("ctr", "containerd"),
    Program("runc", "runc"),
    Program("nft", "nftables"),
    Program("/usr/lib/cni/bridge", "containernetworking-plugins"),
    Program("/usr/lib/cni/host-local", "containernetworking-plugins"),
    Program("/usr/lib/cni/loopback", "containernetworking-plugins"),
    Program("ip", "iproute2"),
    Program("conntrack", "conntrack"),
    Program("mount", "mount"),
    Program("dpkg-deb", "dpkg"),
)


def missing(programs: tuple[Program, ...] = PROGRAMS) -> tuple[str, ...]:
    """The packages to install, sorted; empty when nothing is missing. A program from elsewhere counts as present."""
    return tuple(sorted({program.package for program in programs if not program.present()}))


def install(packages: tuple[str, ...], *, on_progress: Callable[[str], None] = lambda _: None) -> None:
    """Install packages by apt, asking nothing, removing nothing and starting no service. Raises HostPackagesError."""
    if not packages:
        return
    wanted = " ".join(packages)
    if os.geteuid() != 0:
        raise HostPackagesError(f"missing: {wanted}. Run this as root, or: sudo apt-get install {wanted}")
    if shutil.which("apt-get") is None:
        raise HostPackagesError(f"missing, and this is no Debian or Ubuntu: install what brings {wanted}")
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "--no-remove", *packages]
    with _services_stay_off():
        on_progress(f"installing {wanted}")
        error = _apt(command)
        if error:
            on_progress("refreshing the package lists")
            error = _apt(["apt-get", "update", "-qq"]) or _apt(command)
    if error:
        raise HostPackagesError(f"apt-get could not install {wanted}: {error}")
    still = missing(tuple(program for program in PROGRAMS if program.package in packages))
    if still:
        raise HostPackagesError(f"installed, but their programs are not found: {' '.join(still)}")


def _apt(command: list[str]) -> str:
    """Run apt; "" when it went well, else the line that says why not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=APT_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("E:")]
    return lines[0] if lines else f"exit code {done.returncode}"


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian asks policy-rc.d before it starts a package's service; 101 means no. Clusters run their own."""
    if POLICY_RC_D.exists():
        yield
        return
    POLICY_RC_D.write_text("#!/bin/sh\nexit 101\n")
    POLICY_RC_D.chmod(0o755)
    try:
        yield
    finally:
        POLICY_RC_D.unlink(missing_ok=True)
