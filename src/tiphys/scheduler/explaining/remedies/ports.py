"""NodePorts: another host port, or without the pod that has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, called, delete_pods, listed, remove_op
from tiphys.scheduler.template import HostPort, PodInfo

_EVERY_ADDRESS = "0.0.0.0"


def free_ports(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    wanted = scene.template.host_ports
    fewest: list[PodInfo] | None = None
    where = 0
    for row in rows[:64]:
        users = [
            pod
            for pod in scene.cluster.pods_on[int(row)].values()
            if any(_collide(one, other) for one in wanted for other in pod.template.host_ports)
        ]
        if users and (fewest is None or len(users) < len(fewest)):
            fewest, where = users, int(row)
    if not scene.pod.spec.host_network:
        operations = _operations(scene)
        ports = listed(sorted({str(port) for _, _, port in wanted}))
        change = scene.patch(*operations)
        text = f"do without the host port{'s' if len(wanted) > 1 else ''} {ports}"
        yield Candidate("RemoveHostPort", text, (change,), 4)
    if fewest is not None:
        names = listed([called(pod) for pod in fewest])
        text = f"remove pod{'s' if len(fewest) > 1 else ''} {names} from node {scene.name(where)}: it has the host port"
        changes = delete_pods([pod.key for pod in fewest])
        yield Candidate("RemovePods", text, changes, 6 + len(fewest), np.array([where]))


def _collide(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or _EVERY_ADDRESS in (one[0], other[0]))


def _operations(scene: Scene) -> list[dict[str, Any]]:
    spec = scene.pod.spec
    return [
        remove_op(f"/spec/{path}/{index}/ports/{number}/hostPort")
        for path, containers in (("containers", spec.containers), ("initContainers", spec.init_containers))
        for index, container in enumerate(containers)
        for number, port in enumerate(container.ports)
        if port.host_port
    ]
