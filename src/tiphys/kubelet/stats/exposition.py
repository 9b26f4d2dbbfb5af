"""The bodies of /metrics/resource and /metrics/cadvisor, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.base.clock import parse_rfc3339
from tiphys.kubelet.stats.measuring import ContainerUse, PodUse, Snapshot

Samples = list[tuple[str, float | int | None, int]]
"""Labels in braces, value, milliseconds since the epoch."""


def resource_metrics(snapshot: Snapshot) -> bytes:
    """What schedulers and autoscalers of use need."""
    now = int(snapshot.time * 1000)
    containers = [(pod, one) for pod in snapshot.pods for one in pod.containers]
    lines = [
        *_family("node_cpu_usage_seconds_total", "counter", [("", _seconds(snapshot.cpu_nanoseconds), now)]),
        *_family("node_memory_working_set_bytes", "gauge", [("", snapshot.memory["workingSetBytes"], now)]),
        *_family(
            "container_cpu_usage_seconds_total",
            "counter",
            [(_labels(p, c), _seconds(c.stats.cpu_usage_nanoseconds), _millis(c)) for p, c in containers],
        ),
        *_family(
            "container_memory_working_set_bytes",
            "gauge",
            [(_labels(p, c), c.stats.memory_working_set_bytes, _millis(c)) for p, c in containers],
        ),
        *_family(
            "container_start_time_seconds",
            "gauge",
            [(_labels(p, c), _started(c), _millis(c)) for p, c in containers],
        ),
        *_family(
            "pod_cpu_usage_seconds_total",
            "counter",
            [(_pod_labels(p), _seconds(p.group.cpu_nanoseconds), now) for p in snapshot.pods],
        ),
        *_family(
            "pod_memory_working_set_bytes",
            "gauge",
            [(_pod_labels(p), p.group.working_set_bytes, now) for p in snapshot.pods],
        ),
        "# TYPE resource_scrape_error gauge",
        "resource_scrape_error 0",
    ]
    return ("\n".join(lines) + "\n").encode()


def cadvisor_metrics(snapshot: Snapshot, cores: int, memory_bytes: int) -> bytes:
    """The part of cAdvisor's metrics that dashboards of pods are made from."""
    now = int(snapshot.time * 1000)
    containers = [(pod, one) for pod in snapshot.pods for one in pod.containers]

    def of_containers(name: str, kind: str, attribute: str, scale: float = 1) -> Iterator[str]:
        samples: Samples = []
        for pod, one in containers:
            value = getattr(one.stats, attribute)
            samples.append((_full_labels(pod, one), None if value is None else value * scale, _millis(one)))
        return _family(name, kind, samples)

    def of_links(name: str, attribute: str) -> Iterator[str]:
        samples: Samples = [
            (f'{{interface="{link.name}",{_pod_labels(pod)[1:]}', getattr(link, attribute), now)
            for pod in snapshot.pods
            for link in pod.interfaces
        ]
        return _family(name, "counter", samples)

    lines = [
        *of_containers("container_cpu_usage_seconds_total", "counter", "cpu_usage_nanoseconds", 1e-9),
        *of_containers("container_memory_usage_bytes", "gauge", "memory_usage_bytes"),
        *of_containers("container_memory_working_set_bytes", "gauge", "memory_working_set_bytes"),
        *of_containers("container_memory_rss", "gauge", "memory_rss_bytes"),
        *of_containers("container_fs_usage_bytes", "gauge", "writable_layer_bytes"),
        *of_containers("container_fs_inodes_total", "gauge", "writable_layer_inodes"),
        *_family(
            "container_start_time_seconds",
            "gauge",
            [(_full_labels(p, c), _started(c), _millis(c)) for p, c in containers],
        ),
        *of_links("container_network_receive_bytes_total", "received_bytes"),
        *of_links("container_network_receive_errors_total", "received_errors"),
        *of_links("container_network_transmit_bytes_total", "sent_bytes"),
        *of_links("container_network_transmit_errors_total", "sent_errors"),
        *_family("container_processes", "gauge", [(_pod_labels(p), p.group.processes, now) for p in snapshot.pods]),
        *_family("machine_cpu_cores", "gauge", [("", cores, now)]),
        *_family("machine_memory_bytes", "gauge", [("", memory_bytes, now)]),
    ]
    return ("\n".join(lines) + "\n").encode()


def _family(name: str, kind: str, samples: Samples) -> Iterator[str]:
    told = [sample for sample in samples if sample[1] is not None]
    if told:
        yield f"# TYPE {name} {kind}"
        for labels, value, millis in told:
            yield f"{name}{labels} {value} {millis}"


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _started(one: ContainerUse) -> float | None:
    return parse_rfc3339(one.started) if one.started else None


def _millis(one: ContainerUse) -> int:
    return one.stats.timestamp_nanoseconds // 1_000_000


def _labels(pod: PodUse, one: ContainerUse) -> str:
    return f'{{container="{one.name}",namespace="{pod.namespace}",pod="{pod.name}"}}'


def _full_labels(pod: PodUse, one: ContainerUse) -> str:
    return f'{{container="{one.name}",id="{one.stats.id}",namespace="{pod.namespace}",pod="{pod.name}"}}'


def _pod_labels(pod: PodUse) -> str:
    return f'{{namespace="{pod.namespace}",pod="{pod.name}"}}'
