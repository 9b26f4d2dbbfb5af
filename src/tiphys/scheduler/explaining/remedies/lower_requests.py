"""NodeResourcesFit: ask for less. The smallest reduction with which some node takes the pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, Pod, PodSpec
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining import amounts
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, escaped, remove_op, replace_op
from tiphys.scheduler.nodes import PODS_COLUMN
from tiphys.scheduler.requests import pod_requests

_POD_LEVEL = ("cpu", "memory")


def lower_requests(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    nodes = scene.cluster.nodes
    vector = scene.cluster.vector(scene.template)
    free = nodes.allocatable[rows] - nodes.requested[rows]
    short = (free < vector) & (vector > 0)
    # Which two resources fall short differs by node: each set is a remedy of its own, at the node that needs least.
    for short_columns in {tuple(np.flatnonzero(line).tolist()) for line in short}:
        if not short_columns or PODS_COLUMN in short_columns or len(short_columns) > 2:
            continue
        members = np.flatnonzero((short == np.isin(np.arange(len(vector)), short_columns)).all(axis=1))
        columns = list(short_columns)
        lost = ((vector[columns] - free[members][:, columns]) / vector[columns]).max(axis=1)
        best = members[int(lost.argmin())]
        names = {column: name for name, column in nodes.resources.items()}
        made = _lower(scene.pod, {names[column]: int(free[best, column]) for column in columns})
        if made is not None:
            # Who asks for a device mostly needs it.
            weight = 2 if all(step.target for step in made) else 20
            text = " and ".join(step.text for step in made)
            operations = [operation for step in made for operation in step.operations]
            yield Candidate("LowerRequest", text, (scene.patch(*operations),), weight, None, len(made))


class _Step(NamedTuple):
    text: str
    operations: list[dict[str, Any]]
    target: int


def _lower(pod: Pod, room: dict[str, int]) -> list[_Step] | None:
    steps = []
    for resource, free in room.items():
        target = amounts.rounded_down(resource, max(free, 0))
        standard = resource in ("cpu", "memory", "ephemeral-storage")
        if target <= 0 and standard:
            # A pod without cpu is no remedy.
            return None
        step = _lower_one(pod, resource, target)
        if step is None:
            return None
        steps.append(step)
    return steps


def _lower_one(pod: Pod, resource: str, target: int) -> _Step | None:
    """Operations after which the pod asks for at most `target`; None if there are none (overhead is not its own)."""
    asked = pod_requests(pod.spec).get(resource, 0)
    operations: list[dict[str, Any]] = []
    spec = pod.spec
    if spec.resources is not None and resource in spec.resources.requests:
        # What the pod asks for as a whole counts; what its containers ask for must stay within.
        overhead = asked - _value(spec.resources.requests[resource], resource)
        final, target = target, target - overhead
        if target <= 0:
            return None
        operations.append(replace_op(f"/spec/resources/requests/{escaped(resource)}", amounts.text(resource, target)))
        spec = replace(spec, resources=None, overhead={})
    else:
        final = target
    lowered = _capped(_capped(spec, resource, target, _RUNNING), resource, target, _STARTING)
    if pod_requests(lowered).get(resource, 0) > target:
        return None
    told = []
    for where in ("containers", "init_containers"):
        for index, (before, after) in enumerate(zip(getattr(spec, where), getattr(lowered, where), strict=True)):
            had, keeps = _amount(before, resource), _amount(after, resource)
            if had != keeps:
                told.append(f"{before.name} from {amounts.text(resource, had)} to {amounts.text(resource, keeps)}")
                operations += _operations(where, index, before, resource, keeps)
    if not operations:
        return None
    if target == 0:
        return _Step(f"do without {resource}", operations, 0)
    text = f"lower the {resource} request from {amounts.text(resource, asked)} to {amounts.text(resource, final)}"
    if len(pod.spec.containers) + len(pod.spec.init_containers) > 1 and told:
        text += f" ({'; '.join(told[:3])})"
    return _Step(text, operations, target)


def _runs(where: str, container: Container) -> bool:
    """Whether the container runs as long as the pod: sidecars do."""
    return where == "containers" or container.restart_policy == "Always"


_RUNNING, _STARTING = True, False


def _capped(spec: PodSpec, resource: str, target: int, running: bool) -> PodSpec:
    """No container of that sort over a cap: the highest with which all that is of the sort stays within `target`."""
    sort = [
        (where, index)
        for where in ("containers", "init_containers")
        for index, container in enumerate(getattr(spec, where))
        if _runs(where, container) is running and _amount(container, resource)
    ]

    def total(cap: int) -> int:
        return _total(_with_cap(spec, sort, resource, cap), resource, running)

    if not sort or _total(spec, resource, running) <= target:
        return spec
    unit = amounts.unit(resource) if target >= amounts.unit(resource) else 1
    low, high = 0, max(_amount(getattr(spec, where)[index], resource) for where, index in sort) // unit + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle * unit) <= target else (low, middle)
    capped = _with_cap(spec, sort, resource, low * unit)
    # What is left over of one unit a container is the first's that was lowered.
    spare = target - _total(capped, resource, running)
    for where, index in sort:
        keeps = _amount(getattr(capped, where)[index], resource)
        if keeps < _amount(getattr(spec, where)[index], resource) and spare > 0:
            more = _set(capped, where, index, resource, keeps + spare)
            if _total(more, resource, running) <= target:
                return more
    return capped


def _total(spec: PodSpec, resource: str, running: bool) -> int:
    """What the pod asks for; `running`: without the containers that only start it."""
    if running:
        spec = replace(spec, init_containers=tuple(c for c in spec.init_containers if c.restart_policy == "Always"))
    return pod_requests(spec).get(resource, 0)


def _with_cap(spec: PodSpec, sort: list[tuple[str, int]], resource: str, cap: int) -> PodSpec:
    for where, index in sort:
        if _amount(getattr(spec, where)[index], resource) > cap:
            spec = _set(spec, where, index, resource, cap)
    return spec


def _amount(container: Container, resource: str) -> int:
    quantity = container.resources.requests.get(resource)
    return _value(quantity, resource) if quantity is not None else 0


def _set(spec: PodSpec, where: str, index: int, resource: str, amount: int) -> PodSpec:
    containers = list(getattr(spec, where))
    old = containers[index].resources
    requests = {**old.requests, resource: Quantity(amounts.text(resource, amount))}
    containers[index] = replace(containers[index], resources=replace(old, requests=requests))
    return replace(spec, **{where: tuple(containers)})


def _operations(where: str, index: int, container: Container, resource: str, amount: int) -> list[dict[str, Any]]:
    path = "containers" if where == "containers" else "initContainers"
    parts = ["requests"]
    # Of extended resources and huge pages the limit is the request.
    if resource in container.resources.limits and resource not in ("cpu", "memory", "ephemeral-storage"):
        parts.append("limits")
    paths = [f"/spec/{path}/{index}/resources/{part}/{escaped(resource)}" for part in parts]
    if amount == 0:
        return [remove_op(found) for found in paths]
    return [replace_op(found, amounts.text(resource, amount)) for found in paths]


def _value(quantity: Quantity, resource: str) -> int:
    return quantity.milli if resource == "cpu" else quantity.value
