"""ResourceQuota: no write takes a namespace over what it may use.

Upstream claims its share by a conditional update of each quota's status. Here use is counted from the watch cache, plus
what has been let through and is not yet in the cache: exact at any moment, however far behind the controller that keeps
the status is. Where apiservers share a store, each counts again in its turn (`quota_turns`), when no other may write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from tiphys.api.quantity import Quantity
from tiphys.api.quota import Amounts, in_scope, of_object, rendered
from tiphys.api.scheme import Resource
from tiphys.api.types.core_v1 import Pod, ResourceQuota
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Base, Lookup, refuse
from tiphys.apiserver.admission.quota_turns import QuotaTurns
from tiphys.apiserver.registry.context import Write

_MUST_SPECIFY: Final = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
_GROWING: Final = ("persistentvolumeclaims", "services")
_UNCOUNTED: Final = "events"
_COUNTS_LIMIT: Final = 1000


class _Claim(NamedTuple):
    """A write that was let through and is not in the cache yet."""

    resource: Resource
    namespace: str
    obj: Any
    amounts: Amounts


class _Count(NamedTuple):
    """What objects count for in one quota, by key and revision, so that each version is decoded once.

    None: out of the quota's scopes.
    """

    scopes: object
    known: dict[str, tuple[int, Amounts | None]]


class QuotaAdmission(Base):
    """For creations of any namespaced object, and for updates of those that can come to use more."""

    def __init__(self, lookup: Lookup, turns: QuotaTurns) -> None:
        self._lookup = lookup
        self._turns = turns
        self._claims: dict[int, _Claim] = {}
        self._counts: dict[tuple[str, str, str], _Count] = {}
        self._next = 0

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if subresource or plural == _UNCOUNTED:
            return False
        return operation == CREATE or (operation == UPDATE and not group and plural in _GROWING)

    def validate(self, write: Write) -> None:
        if not write.namespace or not self._lookup.any(ResourceQuota, write.namespace):
            return
        asked = _growth(write)
        if self._check(write, asked, 0):
            self._reserve(write, asked)

    def _check(self, write: Write, asked: Amounts, own_claim: int) -> bool:
        """Whether any quota counts the write. Raises ApiError if it is too much, beside all claims but its own."""
        counted = False
        for quota in self._lookup.list(ResourceQuota, write.namespace):
            if not _covers(quota, write.resource, write.obj):
                continue
            if write.resource.qualified == "pods" and (missing := _unspecified(write.obj, quota.spec.hard)):
                raise refuse(write, f"failed quota: {quota.metadata.name}: must specify {missing}")
            wanted = {name: amount for name, amount in asked.items() if name in quota.spec.hard}
            if wanted:
                counted = True
                self._compare(write, quota, wanted, own_claim)
        return counted

    def _compare(self, write: Write, quota: ResourceQuota, wanted: Amounts, own_claim: int) -> None:
        hard = quota.spec.hard
        used = self._used(write.resource, quota, wanted, own_claim)
        over = sorted(name for name in wanted if used[name] + wanted[name] > hard[name].exact)
        if over:
            limited = ",".join(f"{name}={hard[name]}" for name in over)
            raise refuse(
                write,
                f"exceeded quota: {quota.metadata.name}, requested: {_listed(over, wanted, hard)}, "
                f"used: {_listed(over, used, hard)}, limited: {limited}",
            )

    def _used(self, resource: Resource, quota: ResourceQuota, names: Iterable[str], own_claim: int) -> Amounts:
        namespace = quota.metadata.namespace or ""
        used = dict.fromkeys(names, Fraction(0))
        parts = [
            c.amounts
            for number, c in self._claims.items()
            if number != own_claim and _same(c, resource, namespace) and _covers(quota, c.resource, c.obj)
        ]
        for amounts in (*parts, *self._stored(resource, quota, namespace)):
            for name in used:
                if name in amounts:
                    used[name] += amounts[name]
        return used

    def _stored(self, resource: Resource, quota: ResourceQuota, namespace: str) -> list[Amounts]:
        place = (namespace, quota.metadata.name or "", resource.qualified)
        scopes = (quota.metadata.uid, quota.spec.scopes, quota.spec.scope_selector)
        count = self._counts.get(place)
        before = count.known if count is not None and count.scopes == scopes else {}
        now: dict[str, tuple[int, Amounts | None]] = {}
        for version in self._lookup.versions(resource, namespace):
            kept = before.get(version.key)
            if kept is None or kept[0] != version.revision:
                obj = self._lookup.decode(resource.struct, version.value)
                amounts = _amounts(resource, obj) if _covers(quota, resource, obj) else None
                kept = (version.revision, amounts)
            now[version.key] = kept
        if len(self._counts) >= _COUNTS_LIMIT:
            self._counts.clear()
        self._counts[place] = _Count(scopes, now)
        return [amounts for _, amounts in now.values() if amounts is not None]

    def _reserve(self, write: Write, asked: Amounts) -> None:
        number = self._next = self._next + 1
        self._claims[number] = _Claim(write.resource, write.namespace, write.obj, asked)

        def release() -> None:
            self._claims.pop(number, None)

        async def count_again() -> None:
            leave = await self._turns.join(write.namespace)
            write.undo.append(leave)
            write.shown.append(leave)
            self._check(write, asked, number)

        write.undo.append(release)
        write.shown.append(release)
        if self._turns.needed:
            write.before.append(count_again)


def _same(claim: _Claim, resource: Resource, namespace: str) -> bool:
    return claim.namespace == namespace and claim.resource.qualified == resource.qualified


def _amounts(resource: Resource, obj: Any) -> Amounts:
    return of_object(resource.qualified, resource.plural, resource.group, obj)


def _growth(write: Write) -> Amounts:
    """What the write would use in addition; only what grows."""
    asked = _amounts(write.resource, write.obj)
    before = {} if write.old is None else _amounts(write.resource, write.old)
    more = {name: amount - before.get(name, 0) for name, amount in asked.items()}
    return {name: amount for name, amount in more.items() if amount > 0}


def _covers(quota: ResourceQuota, resource: Resource, obj: Any) -> bool:
    if resource.qualified == "pods":
        return in_scope(quota, obj)
    return not quota.spec.scopes and quota.spec.scope_selector is None


def _unspecified(pod: Pod, hard: Mapping[str, Quantity]) -> str:
    """Containers that do not say what they need of a limited resource: ``cpu for: a,b; memory for: a``."""
    found = []
    for name in _MUST_SPECIFY:
        if name not in hard:
            continue
        plain = name.removeprefix("requests.").removeprefix("limits.")
        silent = sorted(
            c.name
            for c in (*pod.spec.containers, *pod.spec.init_containers)
            if plain not in (c.resources.limits if name.startswith("limits.") else c.resources.requests)
        )
        if silent:
            found.append(f"{name} for: {','.join(silent)}")
    return "; ".join(found)


def _listed(names: Iterable[str], amounts: Amounts, like: Mapping[str, Quantity]) -> str:
    return ",".join(f"{name}={rendered(amounts[name], like[name])}" for name in names)
