"""The body of /stats/summary: upstream's Summary API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from tiphys.base.clock import Clock, rfc3339
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.stats import host_usage
from tiphys.kubelet.stats.cgroup_usage import GroupUsage
from tiphys.kubelet.stats.host_usage import Filesystem, Interface
from tiphys.kubelet.stats.measuring import ContainerUse, PodFacts, PodUse, Snapshot

#: Walking folders is dear: what was found is told again for a minute.
VOLUMES_FRESH_SECONDS: Final = 60.0
Document = dict[str, Any]


class Files:
    """Sizes of folders, measured off the loop and remembered for a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Path, tuple[float, Filesystem | None]] = {}

    async def sizes(self, paths: set[Path]) -> dict[Path, Filesystem]:
        """Of those that are there. Others than `paths` are forgotten."""
        now = self._clock.monotonic()
        fresh = {p: k for p, k in self._known.items() if p in paths and now - k[0] < VOLUMES_FRESH_SECONDS}
        missing = [path for path in paths if path not in fresh]
        if missing:
            found = await asyncio.get_running_loop().run_in_executor(None, lambda: [_folder(p) for p in missing])
            fresh |= {path: (now, size) for path, size in zip(missing, found, strict=True)}
        self._known = fresh
        return {path: size for path, (_, size) in fresh.items() if size is not None}


def _folder(path: Path) -> Filesystem | None:
    try:
        return host_usage.folder(path)
    except OSError:
        return None


async def summary(snapshot: Snapshot, runtime: Runtime, config: KubeletConfig, files: Files) -> Document:
    """The whole document."""
    time = rfc3339(snapshot.time)
    folders = {path for pod in snapshot.pods if pod.facts is not None for path in _folders(pod.facts)}
    sizes = await files.sizes(folders)
    disk = host_usage.filesystem(config.data_dir)
    maximum, current = host_usage.processes()
    links = host_usage.interfaces()
    node: Document = {
        "nodeName": config.node_name,
        "systemContainers": _system_containers(snapshot, time),
        "startTime": rfc3339(host_usage.boot_time()),
        "cpu": _cpu(time, snapshot.nano_cores, snapshot.cpu_nanoseconds),
        "memory": {"time": time, **snapshot.memory},
        "network": _network(time, links),
        "fs": _files(time, disk),
        "runtime": {"imageFs": await _images(time, disk, runtime), "containerFs": _files(time, disk)},
        "rlimit": {"time": time, "maxpid": maximum, "curproc": current},
    }
    return {"node": node, "pods": [_pod(pod, time, disk, sizes) for pod in snapshot.pods]}


def _folders(facts: PodFacts) -> list[Path]:
    return [*facts.volumes.values(), *([facts.logs] if facts.logs is not None else [])]


def _system_containers(snapshot: Snapshot, time: str) -> list[Document]:
    if snapshot.all_pods is None:
        return []
    group = snapshot.all_pods
    return [
        {
            "name": "pods",
            "startTime": rfc3339(host_usage.boot_time()),
            "cpu": _cpu(time, None, group.cpu_nanoseconds),
            "memory": _memory(time, group),
        }
    ]


def _pod(pod: PodUse, time: str, disk: Filesystem, sizes: dict[Path, Filesystem]) -> Document:
    facts = pod.facts
    document: Document = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": (facts.pod.status.start_time if facts is not None else None) or None,
        "containers": [_container(one, disk, facts, sizes) for one in pod.containers],
        "cpu": _cpu(time, pod.nano_cores, pod.group.cpu_nanoseconds),
        "memory": _memory(time, pod.group),
    }
    if pod.interfaces:
        document["network"] = _network(time, list(pod.interfaces))
    if pod.group.processes is not None:
        document["process_stats"] = {"process_count": pod.group.processes}
    if facts is not None:
        volumes = [_volume(facts, name, sizes[path], time) for name, path in facts.volumes.items() if path in sizes]
        if volumes:
            document["volume"] = volumes
        logs = sizes.get(facts.logs) if facts.logs is not None else None
        layers = sum(one.stats.writable_layer_bytes or 0 for one in pod.containers)
        local = sum(v["usedBytes"] for v in volumes if v["name"] in _ephemeral(facts))
        used = layers + local + (logs.used_bytes if logs is not None else 0)
        document["ephemeral-storage"] = _files(time, disk) | {"usedBytes": used}
    return document


def _container(one: ContainerUse, disk: Filesystem, facts: PodFacts | None, sizes: dict[Path, Filesystem]) -> Document:
    stats = one.stats
    time = rfc3339(stats.timestamp_nanoseconds / 1e9)
    group = GroupUsage(
        stats.cpu_usage_nanoseconds,
        stats.memory_usage_bytes,
        stats.memory_working_set_bytes,
        stats.memory_rss_bytes,
        stats.memory_page_faults,
        stats.memory_major_page_faults,
    )
    document: Document = {
        "name": one.name,
        "startTime": one.started or None,
        "cpu": _cpu(time, one.nano_cores, stats.cpu_usage_nanoseconds),
        "memory": _memory(time, group),
    }
    if stats.writable_layer_bytes is not None:
        used = {"usedBytes": stats.writable_layer_bytes, "inodesUsed": stats.writable_layer_inodes or 0}
        document["rootfs"] = _files(time, disk) | used
    logs = sizes.get(facts.logs) if facts is not None and facts.logs is not None else None
    if logs is not None and facts is not None:
        # One folder holds the logs of all containers: each is told its share.
        share = max(1, len(facts.pod.spec.containers))
        document["logs"] = _files(time, logs) | {"usedBytes": logs.used_bytes // share}
    return document


def _volume(facts: PodFacts, name: str, size: Filesystem, time: str) -> Document:
    document = {"name": name, **_files(time, size)}
    claims = {v.name: v.persistent_volume_claim.claim_name for v in facts.pod.spec.volumes if v.persistent_volume_claim}
    if name in claims:
        document["pvcRef"] = {"name": claims[name], "namespace": facts.pod.metadata.namespace}
    return document


def _ephemeral(facts: PodFacts) -> frozenset[str]:
    """The volumes that take from the node's own disk: emptyDir not in memory."""
    volumes = facts.pod.spec.volumes
    return frozenset(v.name for v in volumes if v.empty_dir is not None and v.empty_dir.medium != "Memory")


def _cpu(time: str, nano_cores: int | None, nanoseconds: int | None) -> Document:
    document: Document = {"time": time}
    if nano_cores is not None:
        document["usageNanoCores"] = nano_cores
    if nanoseconds is not None:
        document["usageCoreNanoSeconds"] = nanoseconds
    return document


def _memory(time: str, group: GroupUsage) -> Document:
    values = {
        "usageBytes": group.memory_bytes,
        "workingSetBytes": group.working_set_bytes,
        "rssBytes": group.rss_bytes,
        "pageFaults": group.page_faults,
        "majorPageFaults": group.major_page_faults,
    }
    return {"time": time, **{name: value for name, value in values.items() if value is not None}}


def _network(time: str, links: list[Interface]) -> Document:
    entries = [
        {
            "name": link.name,
            "rxBytes": link.received_bytes,
            "rxErrors": link.received_errors,
            "txBytes": link.sent_bytes,
            "txErrors": link.sent_errors,
        }
        for link in links
    ]
    first: Document = next((e for e in entries if e["name"] == "eth0"), entries[0] if entries else {})
    return {"time": time, **first, "interfaces": entries}


def _files(time: str, size: Filesystem) -> Document:
    return {
        "time": time,
        "availableBytes": size.available_bytes,
        "capacityBytes": size.capacity_bytes,
        "usedBytes": size.used_bytes,
        "inodesFree": size.inodes_free,
        "inodes": size.inodes,
        "inodesUsed": size.inodes_used,
    }


async def _images(time: str, disk: Filesystem, runtime: Runtime) -> Document:
    try:
        used = sum(filesystem.used_bytes for filesystem in await runtime.image_filesystems())
    except CriError:
        return _files(time, disk)
    return _files(time, disk) | {"usedBytes": used}
