"""The faults of a bad day: each breaks something, waits as long as it hurts, and repairs what cannot by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.e2e.bad_day.place import Place
from tests.e2e.cluster import eventually

HOLD_SECONDS: Final = 20.0
"""How long a link stays cut: longer than the grace period of the tests' clusters."""


def apiserver_killed(place: Place) -> None:
    _kill_and_see_it_return(place, place.servers[0], "apiserver")


def etcd_member_killed(place: Place) -> None:
    leader = place.etcd_leader()
    _kill_and_see_it_return(place, next(host for host in place.servers if host != leader), "etcd")


def etcd_leader_killed(place: Place) -> None:
    _kill_and_see_it_return(place, place.etcd_leader(), "etcd")


def leader_host_killed(place: Place) -> None:
    """The host whose controllers decide, with its apiserver and its member of etcd."""
    host = place.lease_holder()
    place.cluster.stop(host)
    try:
        eventually(lambda: place.lease_holder() not in ("", host), "another control plane leads", 60)
    finally:
        place.cluster.start(host)


def worker_killed(place: Place) -> None:
    host = place.workers[1]
    place.cluster.stop(host)
    try:
        eventually(lambda: place.ready_elsewhere(host), "its pods run on other hosts", 90)
    finally:
        place.cluster.start(host)


def worker_cut_off(place: Place) -> None:
    _cut_off(place, place.workers[1])


def control_plane_cut_off(place: Place) -> None:
    _cut_off(place, place.servers[0])


def disk_full(place: Place) -> None:
    host = place.workers[-1]
    file = place.fill_disk(host)
    try:
        eventually(lambda: _has_disk_pressure(place, host), "the node says that its disk is full", 60)
    finally:
        file.unlink()


FAULTS: Final[dict[str, Callable[[Place], None]]] = {
    "apiserver killed": apiserver_killed,
    "etcd member killed": etcd_member_killed,
    "etcd's leader killed": etcd_leader_killed,
    "host of the leading control plane killed": leader_host_killed,
    "worker host killed": worker_killed,
    "worker host's link cut": worker_cut_off,
    "control plane host's link cut": control_plane_cut_off,
    "disk full on a worker host": disk_full,
}


def _kill_and_see_it_return(place: Place, host: str, process: str) -> None:
    before = place.kill(host, process)
    eventually(lambda: place.pid(host, process) not in (0, before), f"{process} on {host} runs again", 30)


def _cut_off(place: Place, host: str) -> None:
    place.cluster.partition(host)
    try:
        time.sleep(HOLD_SECONDS)
    finally:
        place.cluster.heal(host)


def _has_disk_pressure(place: Place, host: str) -> bool:
    conditions = place.cluster.get("node", host)["status"]["conditions"]
    return any(one["type"] == "DiskPressure" and one["status"] == "True" for one in conditions)
