"""Plugins of others, kept from harming more than themselves: what raises is reported by name, and refuses only what it
must.

    constructor, key, filter ──► the pods the plugin would decide about wait, with the plugin's name as the reason
    passes                   ──► those nodes are refused             score, post_filter ──► as if it said nothing
    reserve, permit, pre_bind, bind ──► that pod is tried again      unreserve, post_bind ──► a line in the log
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod
from tiphys.base.logging import get_logger
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Rejected
from tiphys.scheduler.node_plugin import note_failure
from tiphys.scheduler.template import PodInfo, Template

BROKEN: Final = "_broken"
"""The attribute of a plugin that says why it could not be made; empty if it could."""
_logger = get_logger(__name__)
_EXPECTED: Final = (Rejected, ApiError, OSError, TimeoutError)


def guarded(kind: type[Plugin]) -> type[Plugin]:
    """A subclass that does the same and whose failures are contained. It has the points that `kind` has."""
    own: dict[str, Any] = {"__init__": _init(kind), "__doc__": kind.__doc__, BROKEN: ""}
    for method, contain in _CONTAINED.items():
        if getattr(kind, method) is not getattr(Plugin, method):
            own[method] = contain(kind, method)
    return type(kind.__name__, (kind,), own)


def unusable(name: str, why: str) -> type[Plugin]:
    """Stands for a plugin that is not there: enabled at a point, it lets no pod pass there; scores it leaves alone."""

    def __init__(self: Plugin, args: Any = None, handle: Any = None) -> None:
        self.args, self.handle = args, handle

    def refuse(self: Plugin, *_: Any) -> Any:
        raise Rejected(why, unschedulable=False)

    async def refuse_later(self: Plugin, *_: Any) -> Any:
        raise Rejected(why, unschedulable=False)

    own = {
        "name": name,
        "args_type": dict,
        BROKEN: why,
        "__init__": __init__,
        # Nothing is reported of a pod outside the queue: `filter` refuses it where its owner sees why.
        "pre_enqueue": lambda self, pod: "",
        "filter": lambda self, template, cluster: _Refused(why, cluster),
        "score": lambda self, template, cluster: None,
        "post_filter": lambda self, failure: None,
        "reserve": refuse,
        "unreserve": lambda self, info, node_name: None,
        "permit": refuse,
        "pre_bind": refuse_later,
        "bind": refuse_later,
        "post_bind": lambda self, info, node_name: None,
    }
    return type(name, (Plugin,), own)


class _Refused(NodeFilter):
    """No node: the reason is the plugin's state."""

    def __init__(self, why: str, cluster: Cluster) -> None:
        self.pod_reason = why
        self._active = cluster.nodes.active

    def passes(self, rows: Rows) -> Bools:
        return np.zeros(len(self._active[rows]), np.bool_)


class _Filter(NodeFilter):
    """Another's filter; rows it fails for are refused."""

    def __init__(self, plugin: Plugin, inner: NodeFilter, cluster: Cluster) -> None:
        self._plugin = plugin
        self._inner = inner
        self._active = cluster.nodes.active
        self._failure = ""
        self.pod_reason = inner.pod_reason

    def passes(self, rows: Rows) -> Bools:
        count = len(self._active[rows])
        try:
            passes = np.asarray(self._inner.passes(rows), np.bool_)
            if passes.shape not in ((count,), (1,)):
                raise ValueError(f"passes() returned the shape {passes.shape} for {count} rows")
        except Exception as error:
            self._failure = _failed(self._plugin, "filter", error)
            return np.zeros(count, np.bool_)
        return passes

    def concerns(self, template: Template) -> bool:
        try:
            return bool(self._inner.concerns(template))
        except Exception as error:
            self._failure = _failed(self._plugin, "filter", error)
            return True

    def changed(self, change: Change) -> bool:
        try:
            return bool(self._inner.changed(change))
        except Exception as error:
            self._failure = _failed(self._plugin, "filter", error)
            return True

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        try:
            yield from [(self._failure, np.ones(len(rows), np.bool_))] if self._failure else self._inner.reasons(rows)
        except Exception as error:
            yield _failed(self._plugin, "filter", error), np.ones(len(rows), np.bool_)

    def unresolvable(self, rows: Ints) -> Bools:
        try:
            return np.asarray(self._inner.unresolvable(rows), np.bool_) | bool(self._failure)
        except Exception as error:
            _failed(self._plugin, "filter", error)
            return np.ones(len(rows), np.bool_)


class _WideFilter(_Filter):
    local = False


class _Score(NodeScore):
    """Another's scores; all nodes are alike where it fails."""

    def __init__(self, plugin: Plugin, inner: NodeScore, cluster: Cluster) -> None:
        self._plugin = plugin
        self._inner = inner
        self._active = cluster.nodes.active

    def score(self, rows: Rows) -> Ints:
        count = len(self._active[rows])
        try:
            scores = np.asarray(self._inner.score(rows)).astype(np.int64)
            if scores.shape not in ((count,), (1,)):
                raise ValueError(f"score() returned the shape {scores.shape} for {count} rows")
        except Exception as error:
            _failed(self._plugin, "score", error)
            return np.zeros(count, np.int64)
        return scores

    def concerns(self, template: Template) -> bool:
        try:
            return bool(self._inner.concerns(template))
        except Exception as error:
            _failed(self._plugin, "score", error)
            return True

    def changed(self, change: Change) -> bool:
        try:
            return bool(self._inner.changed(change))
        except Exception as error:
            _failed(self._plugin, "score", error)
            return True

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        try:
            normalized = np.asarray(self._inner.normalize(scores, feasible)).astype(np.int64)
            if normalized.shape != scores.shape:
                raise ValueError(f"normalize() returned the shape {normalized.shape} for {len(scores)} nodes")
        except Exception as error:
            _failed(self._plugin, "score", error)
            return np.zeros_like(scores)
        return normalized


_SCORES: Final[dict[tuple[bool, bool], type[_Score]]] = {
    (local, normalized): type("_Score", (_Score,), {"local": local, "normalized": normalized})
    for local in (True, False)
    for normalized in (True, False)
}


def _failed(plugin: Plugin, point: str, error: Exception) -> str:
    """Say so once; returns what users are told."""
    if note_failure(plugin.name, error):
        _logger.exception("a plugin failed", plugin=plugin.name, point=point)
    return f'plugin "{plugin.name}" failed at {point}: {error!r}'


def _init(kind: type[Plugin]) -> Callable[..., None]:
    def __init__(self: Plugin, args: Any = None, handle: Any = None) -> None:
        try:
            kind.__init__(self, args, handle)
        except Exception as error:
            Plugin.__init__(self, args, handle)
            setattr(self, BROKEN, _failed(self, "start", error))

    return __init__


def _why_broken(plugin: Plugin) -> str:
    return str(getattr(plugin, BROKEN))


def _key(kind: type[Plugin], method: str) -> Any:
    def key(self: Plugin, pod: Pod) -> object:
        if _why_broken(self):
            return None
        try:
            return kind.key(self, pod)
        except Exception as error:
            # `filter` refuses pods that carry this.
            return {"failed": _failed(self, "key", error)}

    return key


def _pre_enqueue(kind: type[Plugin], method: str) -> Any:
    def pre_enqueue(self: Plugin, pod: Pod) -> str:
        if why := _why_broken(self):
            return why
        try:
            return str(kind.pre_enqueue(self, pod))
        except Exception as error:
            return _failed(self, "preEnqueue", error)

    return pre_enqueue


def _filter(kind: type[Plugin], method: str) -> Any:
    def filter_(self: Plugin, template: Template, cluster: Cluster) -> NodeFilter | None:
        why, fact = _why_broken(self), template.facts.get(self.name)
        if isinstance(fact, dict) and "failed" in fact:
            why = str(fact["failed"])
        if why:
            return _Refused(why, cluster)
        try:
            inner = kind.filter(self, template, cluster)
            if inner is None:
                return None
            return (_Filter if inner.local else _WideFilter)(self, inner, cluster)
        except Exception as error:
            return _Refused(_failed(self, "filter", error), cluster)

    return filter_


def _score(kind: type[Plugin], method: str) -> Any:
    def score(self: Plugin, template: Template, cluster: Cluster) -> NodeScore | None:
        if _why_broken(self):
            return None
        try:
            inner = kind.score(self, template, cluster)
            return None if inner is None else _SCORES[inner.local, inner.normalized](self, inner, cluster)
        except Exception as error:
            _failed(self, "score", error)
            return None

    return score


def _quiet(kind: type[Plugin], method: str) -> Any:
    """It says nothing if it fails."""

    def quiet(self: Plugin, *given: Any) -> Any:
        try:
            return None if _why_broken(self) else getattr(kind, method)(self, *given)
        except Exception as error:
            _failed(self, method, error)
            return None

    return quiet


def _rejecting(kind: type[Plugin], method: str) -> Any:
    def rejecting(self: Plugin, info: PodInfo, node_name: str) -> Any:
        if why := _why_broken(self):
            raise Rejected(why, unschedulable=False)
        try:
            return getattr(kind, method)(self, info, node_name)
        except _EXPECTED:
            raise
        except Exception as error:
            raise Rejected(_failed(self, method, error), unschedulable=False) from error

    return rejecting


def _rejecting_later(kind: type[Plugin], method: str) -> Any:
    async def rejecting(self: Plugin, info: PodInfo, node_name: str) -> Any:
        if why := _why_broken(self):
            raise Rejected(why, unschedulable=False)
        try:
            return await getattr(kind, method)(self, info, node_name)
        except _EXPECTED:
            raise
        except Exception as error:
            raise Rejected(_failed(self, method, error), unschedulable=False) from error

    return rejecting


def _has_work(kind: type[Plugin], method: str) -> Any:
    def has_work(self: Plugin, info: PodInfo) -> bool:
        try:
            return bool(_why_broken(self)) or bool(kind.has_work(self, info))
        except Exception as error:
            _failed(self, "preBind", error)
            return True

    return has_work


_CONTAINED: Final[dict[str, Callable[[type[Plugin], str], Any]]] = {
    "key": _key,
    "pre_enqueue": _pre_enqueue,
    "filter": _filter,
    "score": _score,
    "post_filter": _quiet,
    "reserve": _rejecting,
    "unreserve": _quiet,
    "permit": _rejecting,
    "has_work": _has_work,
    "pre_bind": _rejecting_later,
    "bind": _rejecting_later,
    "post_bind": _quiet,
}
