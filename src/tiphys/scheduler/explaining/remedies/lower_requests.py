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
            weight = 2 if all(step.target for step in made) else 6
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
    told: list[str] = []
    if spec.resources is not None and resource in spec.resources.requests:
        left = target - (asked - _value(spec.resources.requests[resource], resource))
        if left <= 0:
            return None
        quantity = Quantity(amounts.text(resource, left))
        operations.append(replace_op(f"/spec/resources/requests/{escaped(resource)}", str(quantity)))
        spec = replace(
            spec, resources=replace(spec.resources, requests={**spec.resources.requests, resource: quantity})
        )
        target = left
        with_pod_level, spec = spec, replace(spec, resources=None, overhead={})
    else:
        with_pod_level = None
    for where, index in _by_size(spec, resource):
        excess = pod_requests(spec).get(resource, 0) - target
        if excess <= 0:
            break
        container: Container = getattr(spec, where)[index]
        has = _value(container.resources.requests[resource], resource)
        lowered = _set(spec, where, index, resource, max(0, has - excess))
        gained = pod_requests(spec).get(resource, 0) - pod_requests(lowered).get(resource, 0)
        if gained <= 0:
            continue
        spec = lowered
        kept = max(0, has - excess)
        told.append(f"{container.name} from {amounts.text(resource, has)} to {amounts.text(resource, kept)}")
        operations += _operations(where, index, container, resource, kept)
    if pod_requests(spec).get(resource, 0) > target or not operations:
        return None
    if target == 0:
        return _Step(f"do without {resource}", operations, 0)
    final = pod_requests(with_pod_level or spec).get(resource, 0)
    text = f"lower the {resource} request from {amounts.text(resource, asked)} to {amounts.text(resource, final)}"
    if len(pod.spec.containers) + len(pod.spec.init_containers) > 1 and told:
        text += f" ({'; '.join(told[:3])})"
    return _Step(text, operations, target)


def _by_size(spec: PodSpec, resource: str) -> list[tuple[str, int]]:
    """The containers that ask for it, the hungriest first; as often as may be needed for init containers to follow."""
    found = []
    for where in ("containers", "init_containers"):
        for index, container in enumerate(getattr(spec, where)):
            amount = container.resources.requests.get(resource)
            if amount is not None and _value(amount, resource) > 0:
                found.append((_value(amount, resource), where, index))
    return [(where, index) for _, where, index in sorted(found, key=lambda entry: (-entry[0], entry[1], entry[2]))]


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
