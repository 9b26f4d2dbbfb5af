"""The bad day, shortened: each fault once under load; what was acknowledged is there, and all is well again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.bad_day.day import NODE_PORT, live
from tests.e2e.bad_day.faults import FAULTS
from tests.e2e.bad_day.place import Place
from tests.e2e.mission.conftest import GRACE_SECONDS, running

SLACK_SECONDS = 10


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with running(9, "--nodes", "3", "--control-planes", "3", "--etcd-members", "3") as cluster:
        made = Place(cluster)
        made.prepare()
        yield made


@pytest.mark.timeout(600)
def test_every_fault_of_a_bad_day_ends_well(place: Place) -> None:
    record = live(place, 0, print)
    assert [chapter.fault for chapter in record.chapters] == list(FAULTS)
    assert record.converged
    assert record.acknowledged > 100
    assert not record.lost, "writes that were acknowledged are lost"
    for chapter in record.chapters:
        for way, seconds in chapter.longest_outage_seconds.items():
            assert seconds < GRACE_SECONDS + SLACK_SECONDS, f"{chapter.fault}: {way} had no answer for {seconds:.1f} s"
    by_node_port = record.failed[NODE_PORT] / record.requests[NODE_PORT]
    assert by_node_port < 0.2, "a third of the pods are away for some seconds, not more"
