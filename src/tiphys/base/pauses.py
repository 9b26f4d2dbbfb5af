"""How long the garbage collector stops the process: measured where it happens, shown on /metrics."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_OLDEST_GENERATION: Final = 2


class CollectionPauses:
    """A prometheus_client collector of collections of the generations that take time (not the youngest).

    `longest_seconds`: the longest of them since `start`. Costs two clock reads a collection.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._began = 0.0
        self._counts = [0, 0, 0]
        self._seconds = [0.0, 0.0, 0.0]

    def start(self) -> None:
        """Measure from now on; the measuring object must live as long as the process, or be stopped."""
        gc.callbacks.append(self._called)

    def stop(self) -> None:
        gc.callbacks.remove(self._called)

    def _called(self, phase: str, info: dict[str, Any]) -> None:
        generation = info["generation"]
        if not generation:
            return
        if phase == "start":
            self._began = time.perf_counter()
            return
        took = time.perf_counter() - self._began
        self._counts[generation] += 1
        self._seconds[generation] += took
        self.longest_seconds = max(self.longest_seconds, took)

    def collect(self) -> Iterator[Metric]:
        count = CounterMetricFamily("python_gc_pauses", "Collections measured.", labels=["generation"])
        total = CounterMetricFamily("python_gc_pause_seconds", "Time spent in them.", labels=["generation"])
        for generation in range(1, _OLDEST_GENERATION + 1):
            count.add_metric([str(generation)], self._counts[generation])
            total.add_metric([str(generation)], self._seconds[generation])
        yield count
        yield total
        longest = GaugeMetricFamily("python_gc_longest_pause_seconds", "The longest of them so far.")
        longest.add_metric([], self.longest_seconds)
        yield longest
