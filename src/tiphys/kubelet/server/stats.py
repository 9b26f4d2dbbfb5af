"""Use of the node and its pods: /stats/summary and /metrics/resource."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tiphys.api import codec
from tiphys.base.clock import Clock, rfc3339
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import ContainerStats
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.facts import memory_info
from tiphys.kubelet.spec.names import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID

_TICKS = os.sysconf("SC_CLK_TCK")


def node_cpu_nanoseconds() -> int:
    """CPU time all processors have spent working since boot."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * 1_000_000_000 // _TICKS


def node_memory() -> dict[str, int]:
    """availableBytes, usageBytes and workingSetBytes of the node."""
    info = memory_info()
    available = info.get("MemAvailable", 0)
    usage = info["MemTotal"] - info.get("MemFree", 0)
    return {
        "availableBytes": available,
        "usageBytes": usage,
        "workingSetBytes": info["MemTotal"] - available,
    }


async def _running(runtime: Runtime) -> list[ContainerStats]:
    """Use of what runs: of containers that ended the runtime knows no use, and no time either. Raises CriError."""
    return [s for s in await runtime.list_container_stats() if s.cpu_usage_nanoseconds is not None]


def by_pod(stats: Iterable[ContainerStats]) -> dict[str, list[ContainerStats]]:
    grouped: dict[str, list[ContainerStats]] = defaultdict(list)
    for container in stats:
        uid = container.labels.get(POD_UID)
        if uid:
            grouped[uid].append(container)
    return grouped


def _container(stats: ContainerStats) -> dict[str, Any]:
    time = rfc3339(stats.timestamp_nanoseconds / 1e9)
    result: dict[str, Any] = {"name": stats.labels.get(CONTAINER_NAME, stats.name), "startTime": None}
    if stats.cpu_usage_nanoseconds is not None:
        result["cpu"] = {"time": time, "usageCoreNanoSeconds": stats.cpu_usage_nanoseconds}
    memory = {
        "workingSetBytes": stats.memory_working_set_bytes,
        "usageBytes": stats.memory_usage_bytes,
        "rssBytes": stats.memory_rss_bytes,
        "pageFaults": stats.memory_page_faults,
        "majorPageFaults": stats.memory_major_page_faults,
    }
    result["memory"] = {"time": time, **{k: v for k, v in memory.items() if v is not None}}
    if stats.writable_layer_bytes is not None:
        result["rootfs"] = {
            "time": time,
            "usedBytes": stats.writable_layer_bytes,
            "inodesUsed": stats.writable_layer_inodes or 0,
        }
    return result


def _total(values: Iterable[int | None]) -> int:
    return sum(v for v in values if v is not None)


def _pod(containers: list[ContainerStats], started: str | None) -> dict[str, Any]:
    labels = containers[0].labels
    time = rfc3339(max(c.timestamp_nanoseconds for c in containers) / 1e9)
    return {
        "podRef": {
            "name": labels.get(POD_NAME, ""),
            "namespace": labels.get(POD_NAMESPACE, ""),
            "uid": labels.get(POD_UID, ""),
        },
        "startTime": started,
        "containers": [_container(c) for c in containers],
        "cpu": {"time": time, "usageCoreNanoSeconds": _total(c.cpu_usage_nanoseconds for c in containers)},
        "memory": {
            "time": time,
            "usageBytes": _total(c.memory_usage_bytes for c in containers),
            "workingSetBytes": _total(c.memory_working_set_bytes for c in containers),
            "rssBytes": _total(c.memory_rss_bytes for c in containers),
        },
    }


async def summary(runtime: Runtime, config: KubeletConfig, clock: Clock, started: Mapping[str, str]) -> bytes:
    """The body of /stats/summary; `started` are pods' start times by uid. Raises CriError."""
    time = rfc3339(clock.now())
    disk = shutil.disk_usage(config.data_dir)
    filesystem = {
        "time": time,
        "availableBytes": disk.free,
        "capacityBytes": disk.total,
        "usedBytes": disk.used,
    }
    pods = by_pod(await _running(runtime))
    return codec.encode_any(
        {
            "node": {
                "nodeName": config.node_name,
                "startTime": None,
                "cpu": {"time": time, "usageCoreNanoSeconds": node_cpu_nanoseconds()},
                "memory": {"time": time, **node_memory()},
                "fs": filesystem,
                "runtime": {"imageFs": filesystem},
            },
            "pods": [_pod(containers, started.get(uid)) for uid, containers in sorted(pods.items())],
        }
    )


async def resource_metrics(runtime: Runtime, clock: Clock) -> bytes:
    """The body of /metrics/resource, in Prometheus' text format. Raises CriError."""
    now = int(clock.now() * 1000)
    lines = [
        "# TYPE node_cpu_usage_seconds_total counter",
        f"node_cpu_usage_seconds_total {node_cpu_nanoseconds() / 1e9:.6f} {now}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {node_memory()['workingSetBytes']} {now}",
    ]
    stats = await _running(runtime)
    pods = by_pod(stats)
    lines.append("# TYPE container_cpu_usage_seconds_total counter")
    lines.extend(
        f"container_cpu_usage_seconds_total{_labels(c)} {c.cpu_usage_nanoseconds / 1e9:.6f} {_millis(c)}"
        for c in stats
        if c.cpu_usage_nanoseconds is not None
    )
    lines.append("# TYPE container_memory_working_set_bytes gauge")
    lines.extend(
        f"container_memory_working_set_bytes{_labels(c)} {c.memory_working_set_bytes} {_millis(c)}"
        for c in stats
        if c.memory_working_set_bytes is not None
    )
    lines.append("# TYPE pod_cpu_usage_seconds_total counter")
    lines.extend(
        f"pod_cpu_usage_seconds_total{_pod_labels(cs[0])} "
        f"{_total(c.cpu_usage_nanoseconds for c in cs) / 1e9:.6f} {_millis(cs[0])}"
        for cs in pods.values()
    )
    lines.append("# TYPE pod_memory_working_set_bytes gauge")
    lines.extend(
        f"pod_memory_working_set_bytes{_pod_labels(cs[0])} {_total(c.memory_working_set_bytes for c in cs)} "
        f"{_millis(cs[0])}"
        for cs in pods.values()
    )
    return ("\n".join(lines) + "\n").encode()


def _millis(stats: ContainerStats) -> int:
    return stats.timestamp_nanoseconds // 1_000_000


def _labels(stats: ContainerStats) -> str:
    labels = stats.labels
    return (
        f'{{container="{labels.get(CONTAINER_NAME, stats.name)}",'
        f'namespace="{labels.get(POD_NAMESPACE, "")}",pod="{labels.get(POD_NAME, "")}"}}'
    )


def _pod_labels(stats: ContainerStats) -> str:
    return f'{{namespace="{stats.labels.get(POD_NAMESPACE, "")}",pod="{stats.labels.get(POD_NAME, "")}"}}'
