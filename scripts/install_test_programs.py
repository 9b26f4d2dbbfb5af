"""Install what the tests need of a Debian or Ubuntu host: a node's programs and a registry to pull from."""

from __future__ import annotations

import sys

from tiphys.cmd.host_packages import PROGRAMS, HostPackagesError, Program, install, missing

TEST_PROGRAMS = (
    *PROGRAMS,
    Program("docker-registry", "docker-registry"),
    Program("mkfs.xfs", "xfsprogs"),
    Program("etcd", "etcd-server"),
)

try:
    install(missing(TEST_PROGRAMS), on_progress=print)
except HostPackagesError as error:
    # Tests that need them say so by name; the others run.
    print(error, file=sys.stderr)
