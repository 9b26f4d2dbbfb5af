"""A failure on a cluster is told with what the cluster said."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, register_random, settings

from tests.e2e.cluster import Cluster
from tiphys.base.chance import CHANCE

# What hypothesis replays is to find the same chance.
register_random(CHANCE)

# The same examples every time, on machines of any speed. To look for new ones: pytest --hypothesis-profile=explore.
_OF_ANY_SPEED = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", _OF_ANY_SPEED, derandomize=True)
settings.register_profile("explore", _OF_ANY_SPEED, derandomize=False)
settings.load_profile("steady")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and report.when == "call":
        for cluster in _clusters(item):
            # The cluster may be what is broken.
            with contextlib.suppress(Exception):
                pods = cluster.kubectl("get", "pods", "-A", "-o", "wide", check=False, timeout_seconds=10)
                report.sections.append((f"pods of {cluster.data_dir}", pods.stdout + pods.stderr))
                unready = cluster.kubectl(
                    "get", "pods", "-A", "--field-selector=status.phase=Pending", "-o", "json", check=False,
                    timeout_seconds=10,
                )  # fmt: skip
                report.sections.append(("pending pods", unready.stdout[:20_000]))
            with contextlib.suppress(OSError):
                report.sections.append((f"logs of {cluster.data_dir}", cluster.logs()))
    return report


def _clusters(item: pytest.Item) -> list[Cluster]:
    values = getattr(item, "funcargs", {}).values()
    return list({id(value): value for value in values if isinstance(value, Cluster)}.values())
