"""What a cgroup and everything in it use, on cgroup v1 and v2 hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_V1_CPU: Final = ("cpuacct", "cpu,cpuacct", "cpu")


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """Since the group was made; memory in bytes. None: the host does not say."""

    cpu_nanoseconds: int | None = None
    memory_bytes: int | None = None
    working_set_bytes: int | None = None
    rss_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    processes: int | None = None


def group_usage(mount: Path, path: str, *, unified: bool) -> GroupUsage | None:
    """Use of the group `path` (absolute within each hierarchy) below `mount`; None if it is not there."""
    return _unified(mount / path.lstrip("/")) if unified else _divided(mount, path.lstrip("/"))


def first_process(mount: Path, path: str, *, unified: bool) -> int | None:
    """Some process of the group or of one below it: by it the group's network is found."""
    root = mount / path.lstrip("/") if unified else mount / "memory" / path.lstrip("/")
    try:
        groups = [root, *(entry for entry in root.iterdir() if entry.is_dir())]
        for group in groups:
            first = (group / "cgroup.procs").read_text().partition("\n")[0]
            if first:
                return int(first)
    except (OSError, ValueError):
        return None
    return None


def _unified(group: Path) -> GroupUsage | None:
    if not group.is_dir():
        return None
    cpu, memory = _pairs(group / "cpu.stat"), _pairs(group / "memory.stat")
    used = _number(group / "memory.current")
    microseconds = cpu.get("usage_usec")
    return GroupUsage(
        cpu_nanoseconds=None if microseconds is None else microseconds * 1000,
        memory_bytes=used,
        working_set_bytes=_working_set(used, memory.get("inactive_file")),
        rss_bytes=memory.get("anon"),
        page_faults=memory.get("pgfault"),
        major_page_faults=memory.get("pgmajfault"),
        processes=_number(group / "pids.current"),
    )


def _divided(mount: Path, path: str) -> GroupUsage | None:
    group = mount / "memory" / path
    if not group.is_dir():
        return None
    memory = _pairs(group / "memory.stat")
    used = _number(group / "memory.usage_in_bytes")
    cpu = (_number(mount / name / path / "cpuacct.usage") for name in _V1_CPU)
    return GroupUsage(
        cpu_nanoseconds=next((value for value in cpu if value is not None), None),
        memory_bytes=used,
        working_set_bytes=_working_set(used, memory.get("total_inactive_file")),
        rss_bytes=memory.get("total_rss"),
        page_faults=memory.get("total_pgfault"),
        major_page_faults=memory.get("total_pgmajfault"),
        processes=_number(mount / "pids" / path / "pids.current"),
    )


def _working_set(used: int | None, inactive_file: int | None) -> int | None:
    """What cannot be given back without hurting: everything but file pages that nobody touched lately."""
    return None if used is None else max(0, used - (inactive_file or 0))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _pairs(file: Path) -> dict[str, int]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" ") for line in lines)
    return {name: int(value) for name, _, value in pairs if value.isdigit()}
