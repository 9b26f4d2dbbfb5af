"""Use as the difference of two readings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.metrics.readings import Point, Use, parse, use

TEXT = """\
# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 100.5 1700000000500
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1.5e+09 1700000000500
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="d",pod="p"} 2.25 1700000000000
container_cpu_usage_seconds_total{container="half",namespace="d",pod="p"} 2.25
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="c",namespace="d",pod="p"} 4096 1700000000000
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="c",namespace="d",pod="p"} 1.69999999e+09 1700000000000
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="d",pod="p"} 2.3 1700000000000
"""


def test_a_kubelets_answer_is_read() -> None:
    reading = parse(TEXT, now=5.0)
    assert reading.node == Point(1_700_000_000.5, 100.5, 1_500_000_000)
    assert reading.containers == {("d", "p", "c"): Point(1_700_000_000.0, 2.25, 4096, 1_699_999_990.0)}


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(ValueError):
        parse("404 page not found {", now=0.0)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Point(0, 1.0, 1, 0), Point(10, 6.0, 7, 0), Use(10, 10, 500_000_000, 7)),
        (Point(10, 1.0, 1, 0), Point(10, 1.0, 1, 0), None),  # the same reading
        (None, Point(10, 1.0, 7, 0), None),  # nothing to compare with
        (None, Point(10, 1.0, 7, 5), Use(10, 5, 200_000_000, 7)),  # started meanwhile
        (None, Point(10, 1.0, 7, 9), None),  # started a moment ago
        (Point(0, 9.0, 1, -50), Point(10, 1.0, 7, 5), Use(10, 5, 200_000_000, 7)),  # restarted
        (Point(0, 9.0, 1, 5), Point(10, 1.0, 7, 5), None),  # a counter that ran backwards
    ],
)
def test_use_is_told_when_it_can_be(before: Point | None, after: Point, expected: Use | None) -> None:
    assert use(before, after) == expected


@given(st.floats(0, 1e6), st.floats(0.1, 100), st.floats(0, 64), st.integers(0, 1 << 40))
def test_a_steady_load_is_found_again(start: float, window: float, cores: float, memory: int) -> None:
    before = Point(start, 5.0, 0)
    found = use(before, Point(start + window, 5.0 + cores * window, memory))
    assert found is not None and found.memory_bytes == memory
    assert found.cpu_nanos == pytest.approx(cores * 1e9, rel=1e-3, abs=1e4)
