"""The extenders of a configuration, asked together about a pod and some nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.logging import get_logger
from tiphys.scheduler.extenders import wire
from tiphys.scheduler.extenders.choosing import Opinion
from tiphys.scheduler.extenders.settings import Extender
from tiphys.scheduler.extenders.transport import ExtenderError, Transport
from tiphys.scheduler.template import PodInfo

SCORE_FACTOR: Final = 10
"""An extender's scores go to 10, a plugin's to 100."""
_logger = get_logger(__name__)
_T = TypeVar("_T")


class _One:
    """One extender: its settings and the way to it."""

    def __init__(self, settings: Extender, transport: Transport) -> None:
        self.settings = settings
        self.transport = transport
        self._managed = frozenset(resource.name for resource in settings.managed_resources)

    def wants(self, pod: Pod) -> bool:
        return not self._managed or wire.managed(pod, self._managed)

    async def filter(self, pod: Pod, nodes: Sequence[Node]) -> wire.FilterResult:
        settings = self.settings
        body = await wire.arguments(pod, nodes, names_only=settings.node_cache_capable)
        answer = await self.transport.post(settings.filter_verb, body)
        result = _decoded(lambda: wire.filter_result(answer, by_name=settings.node_cache_capable))
        if result.error:
            raise ExtenderError(result.error)
        known = {node.metadata.name for node in nodes}
        for name in result.passed:
            if name not in known:
                said = f'extender "{settings.url_prefix}" claims a filtered node "{name}"'
                raise ExtenderError(f"{said} which is not found in the input node list")
        return result

    async def prioritize(self, pod: Pod, nodes: Sequence[Node]) -> dict[str, int]:
        settings = self.settings
        body = await wire.arguments(pod, nodes, names_only=settings.node_cache_capable)
        answer = await self.transport.post(settings.prioritize_verb, body)
        scores = _decoded(lambda: wire.priorities(answer))
        return {name: score * settings.weight for name, score in scores.items()}


class Extenders:
    """In upstream's order: those that may be ignored come last. `make_transport` is what each is reached by."""

    def __init__(
        self, settings: Iterable[Extender], make_transport: Callable[[Extender], Transport] = Transport
    ) -> None:
        given = sorted(settings, key=lambda each: each.ignorable)
        self._all = [_One(each, make_transport(each)) for each in given]
        self._asked = [each for each in self._all if each.settings.filter_verb or each.settings.prioritize_verb]
        self._binders = [each for each in self._all if each.settings.bind_verb]

    def want(self, pod: Pod) -> bool:
        """Whether one is to be asked before the pod gets a node."""
        return any(each.wants(pod) for each in self._asked)

    async def ask(self, pod: Pod, nodes: Sequence[Node]) -> Opinion:
        """What they say of these nodes, all of which can take the pod. Raises ExtenderError if one that may not be
        ignored fails to filter; one that fails to prioritize has no preference."""
        asked = [each for each in self._asked if each.wants(pod)]
        failed: dict[str, str] = {}
        unresolvable: dict[str, str] = {}
        left = list(nodes)
        for each in asked:
            if not each.settings.filter_verb or not left:
                continue
            try:
                result = await each.filter(pod, left)
            except ExtenderError as error:
                if not each.settings.ignorable:
                    raise
                _logger.warning("extender ignored", extender=each.settings.url_prefix, error=str(error))
                continue
            unresolvable |= result.unresolvable
            failed |= {name: why for name, why in result.failed.items() if name not in result.unresolvable}
            passed = frozenset(result.passed)
            left = [node for node in left if node.metadata.name in passed]
        scores: dict[str, int] = {}
        if len(left) > 1:
            answers = await asyncio.gather(*(_preference(each, pod, left) for each in asked))
            for answer in answers:
                for name, score in answer.items():
                    scores[name] = scores.get(name, 0) + score * SCORE_FACTOR
        given, passed = (frozenset(node.metadata.name or "" for node in some) for some in (nodes, left))
        return Opinion(given, passed, failed, unresolvable, scores)

    async def bind(self, info: PodInfo) -> bool:
        """Have the extender that binds, if it is interested, bind the pod: whether it did. Raises ExtenderError."""
        for each in self._binders:
            if not each.wants(info.pod):
                continue
            namespace, name = info.key
            body = wire.binding_arguments(namespace, name, info.uid, info.node_name)
            try:
                answer = await each.transport.post(each.settings.bind_verb, body)
                if words := _decoded(lambda answer=answer: wire.binding_error(answer)):  # type: ignore[misc]
                    raise ExtenderError(words)
            except ExtenderError as error:
                if not each.settings.ignorable:
                    raise
                _logger.warning("extender ignored", extender=each.settings.url_prefix, error=str(error))
                continue
            return True
        return False

    async def close(self) -> None:
        for each in self._all:
            await each.transport.close()


async def _preference(extender: _One, pod: Pod, nodes: Sequence[Node]) -> dict[str, int]:
    if not extender.settings.prioritize_verb:
        return {}
    try:
        return await extender.prioritize(pod, nodes)
    except ExtenderError as error:
        _logger.warning("extender has no preference", extender=extender.settings.url_prefix, error=str(error))
        return {}


def _decoded(decode: Callable[[], _T]) -> _T:
    try:
        return decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExtenderError(f"the extender's answer cannot be read: {error}") from error
