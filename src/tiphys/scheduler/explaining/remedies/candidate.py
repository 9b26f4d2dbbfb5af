"""What a remedy is before it is known to work, and the place it is thought up at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.judging import Judgement
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.template import PodInfo, Template


class Candidate(NamedTuple):
    """Changes that may help. `steps` is what a person would count; `weight` how much they ask of whom, least first."""

    kind: str
    text: str
    """An imperative without a full stop: ``lower the cpu request from 8 to 3500m``."""
    changes: tuple[Change, ...]
    weight: int
    rows: Ints | None = None
    """The rows it is about, if it changes nodes or the pods on them; None: any."""
    steps: int = 1


class Scene(NamedTuple):
    """One pod in one cluster, and what the filters said."""

    pod: Pod
    model: Model
    judgement: Judgement

    @property
    def cluster(self) -> Cluster:
        return self.model.cluster

    @property
    def template(self) -> Template:
        return self.judgement.template

    def name(self, row: int) -> str:
        return self.cluster.nodes.names[row]

    def patch(self, *operations: dict[str, Any]) -> Change:
        """A change of the pod itself."""
        meta = self.pod.metadata
        return Change(
            action="patch", kind="Pod", namespace=meta.namespace or "", name=meta.name or "", patch=operations
        )

    def patch_node(self, row: int, *operations: dict[str, Any]) -> Change:
        return Change(action="patch", kind="Node", name=self.name(row), patch=operations)


class Fixer(Protocol):
    """Thinks of what would end a plugin's reasons on the nodes of a group; `rows` are those that matter."""

    def __call__(self, scene: Scene, group: Group, rows: Ints) -> Iterable[Candidate]: ...


def replace_op(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def add_op(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def remove_op(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def escaped(key: str) -> str:
    """A key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def called(pod: PodInfo) -> str:
    """``shop/web-0 (of StatefulSet web)``: what makes it makes another when it is removed."""
    owner = next((owner for owner in pod.pod.metadata.owner_references if owner.controller), None)
    return "/".join(pod.key) + (f" (of {owner.kind} {owner.name})" if owner is not None else "")


def delete_pods(pods: Sequence[tuple[str, str]]) -> tuple[Change, ...]:
    return tuple(Change(action="delete", kind="Pod", namespace=namespace, name=name) for namespace, name in pods)


def listed(names: Sequence[str], most: int = 3) -> str:
    """``a, b and c``; ``a, b, c and 4 more``."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
